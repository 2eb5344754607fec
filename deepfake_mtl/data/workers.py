"""Processes that read clips, as the workers of a data loader do, OpenCV in them, and forks.

A fork copies no thread but its own. OpenCV in the child still believes in its pool of threads, and
waits for them forever, be it to work or to end. So the pool is dissolved before a fork, and OpenCV
of the parent makes itself a new one where it is needed.
"""

from typing import Final

import cv2

from deepfake_mtl.util.processes import before_forks, leave_signals_to_parent

_GRACE: Final = 30
"""Seconds that a worker outlives SIGTERM, as long as SLURM waits before it kills."""

_threads = 1


def begin_worker(worker: int) -> None:  # noqa: ARG001 (given by the DataLoader)
    """Let a worker use one core, as there are as many workers, and leave signals to the training.

    Args:
        worker: Number of the worker.
    """
    cv2.setNumThreads(1)
    leave_signals_to_parent(_GRACE)


def _dissolve() -> None:
    global _threads  # noqa: PLW0603 (from one hook to another)
    _threads = cv2.getNumThreads()
    cv2.setNumThreads(1)


def _restore() -> None:
    cv2.setNumThreads(_threads)


before_forks(_dissolve, _restore)
