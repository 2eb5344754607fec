"""What every corpus offers: to an evaluation, and to ``deepfake-mtl prepare``."""

import logging
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from deepfake_mtl.data.corpora.scanning import video_name
from deepfake_mtl.data.missing import DOWNLOAD, OnMissing, find_missing
from deepfake_mtl.data.records import VideoRecord
from deepfake_mtl.errors import CorpusError

NATIVE: Final = "native"
"""`VideoRecord.compression` where a corpus is published in one compression only."""

_log = logging.getLogger(__name__)


class Corpus(ABC):
    """Videos with labels, and which of them are tested on.

    Args:
        root: Folder of the corpus.
        on_missing: Whether videos that a list of the corpus names and that are not there are an
            error, or are left out with a warning.

    Attributes:
        name: Name of the corpus, the first part of its videos' keys.
        root: Folder of the corpus.
        compression: Compression of its videos; `NATIVE` where only one is published.
        is_synthetic: Whether it was rendered, by ``deepfake-mtl synthesize``.
        how_to_complete: What to do to get videos that are missing, for messages.
    """

    name: str
    compression: str
    how_to_complete: str = DOWNLOAD

    def __init__(self, root: str | os.PathLike[str], on_missing: OnMissing) -> None:
        self.root = Path(root)
        self.on_missing: OnMissing = on_missing
        self.is_synthetic = (self.root / "synthetic.json").is_file()

    @abstractmethod
    def index(self) -> list[VideoRecord]:
        """List all videos: originals first, then in the order of their records. Opens none."""

    def test_list(self) -> list[str] | None:
        """Return the keys of the official test list, whether the videos are there or not.

        Returns:
            None where no such list was published: then all videos are tested on.
        """
        return None

    def test_videos(self) -> list[VideoRecord]:
        """List the videos of `test_list` in the order of `index`, or all where there is no list.

        Raises:
            CorpusError: The list or some of its videos are missing.
            SplitError: The lists of identities are missing or wrong.
        """
        keys = self.test_list()
        if keys is None:
            return self.index()
        return listed_videos(
            self.index(), keys, self.on_missing, "the test list", self.how_to_complete
        )


class CorpusReader(Corpus):
    """A corpus as published, from which ``deepfake-mtl prepare`` makes a store of faces.

    Args:
        root: Folder of the corpus.
        compression: One of `compressions`; None is the default of the class.
        on_missing: See `Corpus`.

    Attributes:
        title: Name of the corpus in messages.
        compressions: Compressions in which it is published.
        holds: Files and folders that its folder must hold.
        remedy: What to do if they are not there.

    Raises:
        CorpusError: The folder is not that of the corpus, or there is no such compression.
    """

    title: ClassVar[str]
    compression: str = NATIVE
    compressions: ClassVar[tuple[str, ...]] = (NATIVE,)
    holds: ClassVar[tuple[str, ...]] = ()
    remedy: ClassVar[str] = "name the folder that it was unpacked into"

    def __init__(
        self,
        root: str | os.PathLike[str],
        compression: str | None = None,
        *,
        on_missing: OnMissing = "error",
    ) -> None:
        super().__init__(root, on_missing)
        if compression not in (None, *self.compressions):
            known = ", ".join(self.compressions)
            raise CorpusError(
                f"{self.title} is published in "
                f"{'one compression' if known == NATIVE else known}: {compression} cannot be asked "
                f"for; leave the compression out, or name {known}"
            )
        self.compression = compression or self.compression
        self._check_root()

    @property
    def splits_folder(self) -> Path | None:
        """Where the lists of identities lie by default, in the form of FaceForensics++, if any."""
        return None

    def expected(self, records: Sequence[VideoRecord]) -> list[str]:  # noqa: ARG002 (of some)
        """Return the keys of the videos that should be there, as far as anything tells.

        Lists of the corpus tell, or videos of other methods that are made of the same people.

        Args:
            records: What is there.
        """
        return self.test_list() or []

    def original_of(self, record: VideoRecord) -> str | None:  # noqa: ARG002 (of some)
        """Return the name of the original whose picture a fake shows, whether it is there or not.

        Returns:
            None of originals, and where the corpus does not tell.
        """
        return None

    def mask_path(self, record: VideoRecord) -> Path | None:  # noqa: ARG002 (of some)
        """Return where the video of a fake's masks lies if it was downloaded; else None."""
        return None

    def _check_root(self) -> None:
        expected = " and ".join(self.holds)
        if not self.root.is_dir():
            raise CorpusError(
                f"{self.root}: no such folder; name the folder of {self.title}, which holds "
                f"{expected}"
            )
        if not self._holds_all():
            found = ", ".join(sorted(entry.name for entry in self.root.iterdir())[:8])
            raise CorpusError(
                f"{self.root}: not a folder of {self.title}: it should hold {expected}, but holds "
                f"{found or 'nothing'}; {self.remedy}"
            )

    def _holds_all(self) -> bool:
        return all((self.root / name).exists() for name in self.holds)

    def _named(self, method: str, path: Path, form: re.Pattern[str], rule: str) -> VideoRecord:
        """Return the record of a video whose name tells who is to be seen.

        Args:
            method: Name of the method.
            path: A file, or a folder of frames.
            form: What names are like; the first groups, two at most, are who is to be seen.
            rule: What `form` says, for the message.

        Raises:
            CorpusError: It has another name.
        """
        name = video_name(path)
        people = form.fullmatch(name)
        if not people:
            raise CorpusError(
                f"{path}: {rule}; move this one elsewhere or give it its official name"
            )
        return VideoRecord(self.name, method, self.compression, name, people.groups()[:2], path)


def listed_videos(
    records: Sequence[VideoRecord],
    keys: Sequence[str],
    on_missing: OnMissing,
    source: str,
    obtain: str = DOWNLOAD,
) -> list[VideoRecord]:
    """Choose the videos that a list names, in the order of the records.

    Args:
        records: What there is.
        keys: What the list names.
        on_missing: Whether names without a video are an error, or a warning.
        source: What the list is, for the message.
        obtain: How to get missing videos, likewise.

    Raises:
        CorpusError: Videos are missing and may not be, or none is left.
    """
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
