"""Checkpoints of a training: written whole, and gone on from to the last bit."""

from deepfake_mtl.checkpoints.files import WholeCheckpointIO
from deepfake_mtl.checkpoints.last import LastCheckpoint
from deepfake_mtl.checkpoints.random_states import RandomStates

__all__ = ["LastCheckpoint", "RandomStates", "WholeCheckpointIO"]
