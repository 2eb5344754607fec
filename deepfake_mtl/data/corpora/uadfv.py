"""UADFV (Yang, Li and Lyu, ICASSP 2019, arXiv 1811.00661)."""

from pathlib import Path
from typing import ClassVar, Final

from deepfake_mtl.data.corpora.base import CorpusReader
from deepfake_mtl.data.corpora.scanning import check_folder, list_videos, ordered, report_others
from deepfake_mtl.data.records import ORIGINAL, VideoRecord

_FAKE_ENDING: Final = "_fake"


class UADFV(CorpusReader):
    """The videos of UADFV.

    ::

        root/
          real/0000.mp4            49 videos
          fake/0000_fake.mp4       49 videos, each of a real one

    A fake shows the person of the real video of its number; whose face was put in is not said. Its
    method is ``UADFV``. There is no test list: all videos are tested on, as in the paper of
    Celeb-DF (arXiv 1909.12962).
    """

    name: ClassVar[str] = "uadfv"
    title: ClassVar[str] = "UADFV"

    def index(self) -> list[VideoRecord]:
        """List all videos.

        Raises:
            CorpusError: There are none.
        """
        folders = {"real": ORIGINAL, "fake": self.title}
        report_others(self.root, folders)
        return ordered(
            self.root,
            [
                self._record(method, path)
                for folder, method in folders.items()
                for path in list_videos(self.root / folder)
            ],
        )

    def original_of(self, record: VideoRecord) -> str | None:
        """Return the name of the real video of a fake's number."""
        return record.name.removesuffix(_FAKE_ENDING) if record.is_fake else None

    def _check_root(self) -> None:
        remedy = "name the folder that holds the two folders of videos"
        check_folder(self.root, self.title, ("real", "fake"), remedy)

    def _record(self, method: str, path: Path) -> VideoRecord:
        name = path.name if path.is_dir() else path.stem
        person = name if method == ORIGINAL else name.removesuffix(_FAKE_ENDING)
        return VideoRecord(self.name, method, self.compression, name, (person,), path)
