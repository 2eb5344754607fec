"""A small world of rendered talking faces that stands in for FaceForensics++."""

from deepfake_mtl.synthetic.config import SyntheticConfig
from deepfake_mtl.synthetic.contact_sheet import contact_sheet
from deepfake_mtl.synthetic.world import MARKER, synthesize

__all__ = ["MARKER", "SyntheticConfig", "contact_sheet", "synthesize"]
