"""OpenCV and processes that fork, as the workers of a data loader and of a pool do.

A fork copies no thread but its own. OpenCV in the child still believes in its pool of threads, and
waits for them forever, be it to work or to end. So the pool is dissolved before a fork, and OpenCV
of the parent makes itself a new one where it is needed.
"""

import os

import cv2

_threads = 1


def use_one_thread(worker: int = 0) -> None:  # noqa: ARG001 (given by the DataLoader)
    """Let a worker process use one core: there are as many workers as cores."""
    cv2.setNumThreads(1)


def _dissolve() -> None:
    global _threads  # noqa: PLW0603 (from one hook to another)
    _threads = cv2.getNumThreads()
    cv2.setNumThreads(1)


def _restore() -> None:
    cv2.setNumThreads(_threads)


if hasattr(os, "register_at_fork"):  # where processes fork at all
    os.register_at_fork(before=_dissolve, after_in_parent=_restore)
