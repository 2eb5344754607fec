"""One module a corpus: from a folder on disk to a list of records."""

from deepfake_mtl.data.corpora.faceforensics import FaceForensics

__all__ = ["FaceForensics"]
