"""DeepFakeDetection (Google and Jigsaw, 2019), hosted with FaceForensics++."""

import re

from deepfake_mtl.data.corpora.faceforensics import FaceForensicsTree
from deepfake_mtl.data.records import VideoRecord


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

    name = "deepfakedetection"
    methods = ("DeepFakeDetection",)
    originals = "actors"
    names = (re.compile(r"(\d+)__.+"), re.compile(r"(\d+)_(\d+)__(.+)__[0-9A-Z]{8}"))
    rules = ("ACTOR__SCENE", "TARGET_SOURCE__SCENE__8CHARACTERS")

    def original_of(self, record: VideoRecord) -> str | None:
        """Return the name of the target's video of the same scene; None of originals."""
        fake = self.names[1].fullmatch(record.name)
        return f"{fake[1]}__{fake[3]}" if fake else None
