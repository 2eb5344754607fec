"""UADFV (Yang, Li and Lyu, ICASSP 2019, arXiv 1811.00661)."""

from typing import Final

from deepfake_mtl.data.corpora.base import CorpusReader
from deepfake_mtl.data.corpora.scanning import list_videos, ordered, report_others, video_name
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

    name = "uadfv"
    title = "UADFV"
    holds = ("real", "fake")
    remedy = "name the folder that holds the two folders of videos"

    def index(self) -> list[VideoRecord]:
        """List all videos.

        Raises:
            CorpusError: There are none.
        """
        report_others(self.root, self.holds)
        records = []
        for folder, method in (("real", ORIGINAL), ("fake", self.title)):
            for path in list_videos(self.root / folder):
                name = video_name(path)
                person = name if method == ORIGINAL else name.removesuffix(_FAKE_ENDING)
                records.append(
                    VideoRecord(self.name, method, self.compression, name, (person,), path)
                )
        return ordered(self.root, records)

    def original_of(self, record: VideoRecord) -> str | None:
        """Return the name of the real video of a fake's number."""
        return record.name.removesuffix(_FAKE_ENDING) if record.is_fake else None
