"""Tasks: what a detector learns from the features of its encoder."""

from typing import TYPE_CHECKING

from deepfake_mtl.util.lazy import lazy_names

if TYPE_CHECKING:
    from deepfake_mtl.tasks.base import Features, Task, TaskStep
    from deepfake_mtl.tasks.contrast import BinaryContrast, ContrastiveTask, ManipulationContrast
    from deepfake_mtl.tasks.cross_entropy import (
        BinaryCrossEntropy,
        CrossEntropyTask,
        ManipulationCrossEntropy,
    )
    from deepfake_mtl.tasks.moco import MoCoSettings
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "BinaryContrast",
    "BinaryCrossEntropy",
    "ContrastiveTask",
    "CrossEntropyTask",
    "Features",
    "ManipulationContrast",
    "ManipulationCrossEntropy",
    "MoCoSettings",
    "Task",
    "TaskStep",
]
