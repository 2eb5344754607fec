"""FaceShifter (Li et al., arXiv 1912.13457), the fifth manipulation of FaceForensics++."""

from deepfake_mtl.data.corpora.faceforensics import FaceForensics


class FaceShifter(FaceForensics):
    """The videos of FaceShifter, and the originals, in the folder of FaceForensics++.

    ::

        root/
          original_sequences/youtube/{raw,c23,c40}/videos/004.mp4
          manipulated_sequences/FaceShifter/{raw,c23,c40}/videos/004_982.mp4     (target_source)
          splits/{train,val,test}.json

    It was added to FaceForensics++ after its paper, on the same pairs of people: the test videos
    are those of ``splits/test.json``, 140 originals and 140 fakes. The arguments are those of
    `FaceForensics`.
    """

    name = "faceshifter"
    methods = ("FaceShifter",)
