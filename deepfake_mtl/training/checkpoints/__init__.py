"""Checkpoints of a training: written whole, and gone on from to the last bit."""

from typing import TYPE_CHECKING

from deepfake_mtl.util.lazy import lazy_names

if TYPE_CHECKING:
    from deepfake_mtl.training.checkpoints.best import BestCheckpoint
    from deepfake_mtl.training.checkpoints.files import WholeCheckpointIO
    from deepfake_mtl.training.checkpoints.last import LastCheckpoint
    from deepfake_mtl.training.checkpoints.random_states import RandomStates
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = ["BestCheckpoint", "LastCheckpoint", "RandomStates", "WholeCheckpointIO"]
