"""DeepFakeDetection (Google and Jigsaw, 2019), hosted with FaceForensics++."""

import re
from collections.abc import Sequence
from typing import ClassVar, Final

from deepfake_mtl.data.corpora.faceforensics_tree import FaceForensicsTree, check_fakes
from deepfake_mtl.data.records import ORIGINAL, VideoRecord

_ORIGINAL_NAME: Final = re.compile(r"(\d+)__.+")
_FAKE_NAME: Final = re.compile(r"(\d+)_(\d+)__(.+)__[0-9A-Z]{8}")


class DeepFakeDetection(FaceForensicsTree):
    """The videos of actors, original and manipulated, in the folder of FaceForensics++.

    ::

        root/
          original_sequences/actors/{raw,c23,c40}/videos/01__kitchen_pan.mp4
          manipulated_sequences/DeepFakeDetection/{raw,c23,c40}/videos/
            01_02__kitchen_pan__03X7CELV.mp4          (target_source__scene__8 characters)

    The people are not those of FaceForensics++, and its splits do not apply. There is no test
    list: all videos are tested on, as is usual. The arguments are those of `FaceForensics`.
    """

    name: ClassVar[str] = "deepfakedetection"
    methods: ClassVar[tuple[str, ...]] = ("DeepFakeDetection",)
    originals: ClassVar[str] = "actors"
    splits_folder: Final = None

    def index(self, methods: Sequence[str] | None = None) -> list[VideoRecord]:
        """List the videos as `FaceForensics.index` does, but fakes must be there.

        Raises:
            CorpusError: They are not.
        """
        return check_fakes(self, super().index(methods))

    def test_list(self) -> list[str] | None:
        """Return None: no test list was published."""
        return None

    def original_of(self, record: VideoRecord) -> str | None:
        """Return the name of the target's video of the same scene; None of originals."""
        fake = _FAKE_NAME.fullmatch(record.name)
        return f"{fake[1]}__{fake[3]}" if fake else None

    def _identities(self, method: str, name: str) -> tuple[str, ...] | None:
        if method == ORIGINAL:
            original = _ORIGINAL_NAME.fullmatch(name)
            return (original[1],) if original else None
        fake = _FAKE_NAME.fullmatch(name)
        return (fake[1], fake[2]) if fake else None

    def _expected_name(self, method: str) -> str:
        return "ACTOR__SCENE" if method == ORIGINAL else "TARGET_SOURCE__SCENE__8CHARACTERS"
