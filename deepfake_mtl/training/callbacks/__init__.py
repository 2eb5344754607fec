"""What a run leaves behind: results, predictions, a page, pictures, and how its tasks agree."""

from deepfake_mtl.training.callbacks.conflict import GradientConflictMonitor
from deepfake_mtl.training.callbacks.features import FeatureWriter
from deepfake_mtl.training.callbacks.progress import CalmProgressBar
from deepfake_mtl.training.callbacks.results import ResultsWriter
from deepfake_mtl.training.callbacks.strip import ClipStrip

__all__ = [
    "CalmProgressBar",
    "ClipStrip",
    "FeatureWriter",
    "GradientConflictMonitor",
    "ResultsWriter",
]
