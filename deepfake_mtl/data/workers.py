"""What a process that reads clips begins with."""

from typing import Final

from deepfake_mtl.data.opencv_threads import use_one_thread
from deepfake_mtl.util.processes import leave_signals_to_parent

_GRACE: Final = 30
"""Seconds that a worker outlives SIGTERM, as long as SLURM waits before it kills."""


def begin_worker(worker: int) -> None:
    """Keep OpenCV to one thread, and leave signals to the training."""
    use_one_thread(worker)
    leave_signals_to_parent(_GRACE)
