"""A video in, a verdict out, with a detector that was trained; needs no Lightning.

A video's way: `video` (the file) -> `views` and `tracking` (faces) -> `clips` (and their scores)
-> `face_track` (what is kept of each face) -> `aggregation` and `reliability` (what is said) ->
`verdict` (JSON) -> `report` (page). `pipeline` is the loop over frames, `api` the whole; `batch`
does it for many videos, and `export` writes a detector that does it elsewhere.
"""

from typing import TYPE_CHECKING

from deepfake_mtl.util.lazy import lazy_names

if TYPE_CHECKING:
    from deepfake_mtl.inference.api import VideoDetector
    from deepfake_mtl.inference.options import DetectOptions
    from deepfake_mtl.inference.verdict import Verdict
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = ["DetectOptions", "Verdict", "VideoDetector"]
