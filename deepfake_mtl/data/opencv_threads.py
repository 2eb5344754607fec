"""OpenCV and processes that fork, as the workers of a data loader do.

A fork copies no thread but its own. OpenCV in the child still believes in its pool of threads, and
waits for them forever, be it to work or to end. So the pool is dissolved before a fork, and OpenCV
of the parent makes itself a new one where it is needed.
"""

import cv2

from deepfake_mtl.util.processes import before_forks

_threads = 1


def use_one_thread(worker: int) -> None:  # noqa: ARG001 (given by the DataLoader)
    """Let a worker of a data loader use one core: there are as many workers as cores."""
    cv2.setNumThreads(1)


def _dissolve() -> None:
    global _threads  # noqa: PLW0603 (from one hook to another)
    _threads = cv2.getNumThreads()
    cv2.setNumThreads(1)


def _restore() -> None:
    cv2.setNumThreads(_threads)


before_forks(_dissolve, _restore)
