"""Celeb-DF v2 (Li et al., CVPR 2020, arXiv 1909.12962)."""

import re
from typing import Final

from deepfake_mtl.data.corpora.base import CorpusReader
from deepfake_mtl.data.corpora.scanning import list_videos, ordered, report_others
from deepfake_mtl.data.records import ORIGINAL, VideoRecord
from deepfake_mtl.data.text_files import listed_path, read_lines
from deepfake_mtl.errors import CorpusError

TEST_LIST: Final = "List_of_testing_videos.txt"

_FAKE: Final = "Celeb-synthesis"
_NAMES: Final = {
    "Celeb-real": re.compile(r"(id\d+)_\d+"),
    "YouTube-real": re.compile(r"(\d+)"),
    _FAKE: re.compile(r"(id\d+)_(id\d+)_\d+"),
}
"""What videos are called in each folder; the groups are who is to be seen."""

_REAL_LABEL: Final = {"1": True, "0": False}
"""Labels of the test list, in which 1 means real."""


class CelebDF(CorpusReader):
    """The videos of Celeb-DF v2, in the folders of its download.

    ::

        root/
          Celeb-real/id0_0001.mp4               person 0, video 1
          YouTube-real/00170.mp4                people of their own
          Celeb-synthesis/id0_id1_0001.mp4      video 1 of person 0 with the face of person 1
          List_of_testing_videos.txt            1 YouTube-real/00170.mp4      (1 means real)

    The first person of a fake is whose video it is, the second whose face was put in (the authors
    in issue 6 of yuezunli/celeb-deepfakeforensics). Its method is ``Celeb-synthesis``.

    The test videos are those of ``List_of_testing_videos.txt``: 518, of which 178 are real.
    """

    name = "celebdf"
    title = "Celeb-DF v2"
    holds = tuple(_NAMES)
    remedy = "unpack Celeb-DF v2 there, or name the folder that it was unpacked into"

    def index(self) -> list[VideoRecord]:
        """List all videos.

        Raises:
            CorpusError: A video has no name of the corpus, or there are none.
        """
        report_others(self.root, (*_NAMES, TEST_LIST))
        records = []
        for folder, form in _NAMES.items():
            rule, videos = f"a video of {folder} is named {form.pattern}", self.root / folder
            records += [self._named(_method(folder), p, form, rule) for p in list_videos(videos)]
        return ordered(self.root, records)

    def test_list(self) -> list[str]:
        """Return the keys of ``List_of_testing_videos.txt``.

        Raises:
            CorpusError: It is missing, or a line is not of its form or contradicts its folder.
        """
        remedy = f"it is part of the download of {self.title}: put it there"
        return [
            self._listed(place, line) for place, line in read_lines(self.root / TEST_LIST, remedy)
        ]

    def original_of(self, record: VideoRecord) -> str | None:
        """Return the name of the video into which the face was put."""
        if not record.is_fake:
            return None
        target, _, number = record.name.split("_")
        return f"{target}_{number}"

    def _listed(self, place: str, line: str) -> str:
        label, _, video = line.replace("\t", " ").partition(" ")
        video_path = listed_path(video)
        folder = str(video_path.parent)
        if label not in _REAL_LABEL or folder not in _NAMES:
            raise CorpusError(
                f"{place}: {line!r} is not of the form 1 YouTube-real/00170.mp4; restore the "
                "official list"
            )
        if _REAL_LABEL[label] == (folder == _FAKE):
            raise CorpusError(
                f"{place}: {line!r} contradicts itself: in Celeb-DF 1 means real and 0 "
                "fake; restore the official list"
            )
        return f"{self.name}/{_method(folder)}/{self.compression}/{video_path.stem}"


def _method(folder: str) -> str:
    return folder if folder == _FAKE else ORIGINAL
