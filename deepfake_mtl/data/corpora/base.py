"""What every corpus offers: to an evaluation, and to ``deepfake-mtl prepare``."""

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final, Protocol

from deepfake_mtl.data.missing import DOWNLOAD, OnMissing, find_missing
from deepfake_mtl.data.records import VideoRecord
from deepfake_mtl.errors import CorpusError

NATIVE: Final = "native"
"""`VideoRecord.compression` where a corpus is published in one compression only."""

_log = logging.getLogger(__name__)


class Corpus(Protocol):
    """Videos with labels, and which of them are tested on.

    Attributes:
        name: Name of the corpus, the first part of its videos' keys.
        root: Folder of the corpus.
        compression: Compression of its videos; `NATIVE` where only one is published.
        is_synthetic: Whether it is a synthetic world.
        how_to_complete: What to do to get videos that are missing, for messages.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 (see above)

    @property
    def root(self) -> Path: ...  # noqa: D102

    @property
    def compression(self) -> str: ...  # noqa: D102

    @property
    def is_synthetic(self) -> bool: ...  # noqa: D102

    @property
    def how_to_complete(self) -> str: ...  # noqa: D102

    def index(self) -> list[VideoRecord]:
        """List all videos: originals first, then in the order of their records. Opens none."""
        ...

    def test_list(self) -> list[str] | None:
        """Return the keys of the official test list, whether the videos are there or not.

        Returns:
            None where there is no such list: then all videos are tested on.
        """
        ...

    def test_videos(self) -> list[VideoRecord]:
        """List the videos of `test_list` in the order of `index`, or all where there is no list."""
        ...


class VideoCorpus(Corpus, Protocol):
    """A corpus as published, from which ``deepfake-mtl prepare`` makes a store of faces.

    Attributes:
        splits_folder: Where the lists of identities lie by default, in the form of
            FaceForensics++; None of a corpus that has none.
    """

    @property
    def splits_folder(self) -> Path | None: ...  # noqa: D102 (see above)

    def expected(self, records: Sequence[VideoRecord]) -> list[str]:
        """Return the keys of the videos that should be there, as far as anything tells.

        Lists of the corpus tell, or videos of other methods that are made of the same people.

        Args:
            records: What is there.
        """
        ...

    def original_of(self, record: VideoRecord) -> str | None:
        """Return the name of the original whose picture a fake shows, whether it is there or not.

        Returns:
            None of originals, and where the corpus does not tell.
        """
        ...

    def mask_path(self, record: VideoRecord) -> Path | None:
        """Return where the video of a fake's masks lies if it was downloaded; else None."""
        ...


class CorpusReader(ABC):
    """What the readers of corpora of one compression share; a `VideoCorpus`.

    Args:
        root: Folder of the corpus.
        compression: None or `NATIVE`.
        on_missing: Whether videos that a list of the corpus names and that are not there are an
            error, or are left out with a warning.

    Raises:
        CorpusError: The folder is not that of the corpus, or another compression is asked for.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    compression: Final = NATIVE
    splits_folder: Final = None
    how_to_complete: Final = DOWNLOAD

    def __init__(
        self,
        root: str | os.PathLike[str],
        compression: str | None = None,
        *,
        on_missing: OnMissing = "error",
    ) -> None:
        if compression not in (None, NATIVE):
            raise CorpusError(
                f"{self.title} is published in one compression: {compression} cannot be asked for; "
                f"leave the compression out, or name it {NATIVE}"
            )
        self.root = Path(root)
        self.on_missing: OnMissing = on_missing
        self._check_root()

    @property
    def is_synthetic(self) -> bool:
        """Whether the folder says that it was rendered."""
        return (self.root / "synthetic.json").is_file()

    @abstractmethod
    def index(self) -> list[VideoRecord]:
        """List all videos without opening any."""

    def test_list(self) -> list[str] | None:
        """Return None: no test list was published."""
        return None

    def test_videos(self) -> list[VideoRecord]:
        """List the videos of `test_list`, or all where there is no list.

        Raises:
            CorpusError: The list or some of its videos are missing.
        """
        return listed_videos(self.index(), self.test_list(), self.on_missing)

    def expected(self, records: Sequence[VideoRecord]) -> list[str]:  # noqa: ARG002 (of the protocol)
        """Return the keys of the test list; other lists are an error of `index` if they fail."""
        return self.test_list() or []

    def original_of(self, record: VideoRecord) -> str | None:  # noqa: ARG002 (of the protocol)
        """Return None: the corpus does not tell."""
        return None

    def mask_path(self, record: VideoRecord) -> Path | None:  # noqa: ARG002 (of the protocol)
        """Return None: no masks were published."""
        return None

    @abstractmethod
    def _check_root(self) -> None: ...


def listed_videos(
    records: Sequence[VideoRecord],
    keys: Sequence[str] | None,
    on_missing: OnMissing,
    source: str = "the test list",
    obtain: str = DOWNLOAD,
) -> list[VideoRecord]:
    """Choose the videos that a list names, in the order of the records.

    Args:
        records: What there is.
        keys: What the list names; None takes all.
        on_missing: Whether names without a video are an error, or a warning.
        source: What the list is, for the message.
        obtain: How to get missing videos, likewise.

    Raises:
        CorpusError: Videos are missing and may not be, or none is left.
    """
    if keys is None:
        return list(records)
    wanted = set(keys)
    missing = find_missing(keys, {record.key for record in records})
    if missing:
        if on_missing == "error":
            raise CorpusError(missing.error(f"{source} names", obtain))
        _log.warning("skipped: %s", missing.describe(f"{source} names"))
    chosen = [record for record in records if record.key in wanted]
    if not chosen:
        raise CorpusError(f"none of the {len(wanted)} videos of {source} is there; check the root")
    return chosen
