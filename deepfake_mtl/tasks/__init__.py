"""Tasks: what a detector learns from the features of its encoder."""

from deepfake_mtl.tasks.base import Features, Task, TaskStep
from deepfake_mtl.tasks.contrast import BinaryContrast, ContrastiveTask, ManipulationContrast
from deepfake_mtl.tasks.cross_entropy import BinaryCrossEntropy, ManipulationCrossEntropy
from deepfake_mtl.tasks.moco import MoCoSettings

__all__ = [
    "BinaryContrast",
    "BinaryCrossEntropy",
    "ContrastiveTask",
    "Features",
    "ManipulationContrast",
    "ManipulationCrossEntropy",
    "MoCoSettings",
    "Task",
    "TaskStep",
]
