"""A small world of rendered talking faces that stands in for FaceForensics++."""

from typing import TYPE_CHECKING

from deepfake_mtl.util.lazy import lazy_names

if TYPE_CHECKING:
    from deepfake_mtl.synthetic.config import SyntheticConfig
    from deepfake_mtl.synthetic.sheet import contact_sheet
    from deepfake_mtl.synthetic.world import MARKER, synthesize
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = ["MARKER", "SyntheticConfig", "contact_sheet", "synthesize"]
