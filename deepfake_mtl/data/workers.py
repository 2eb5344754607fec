"""What a process that reads clips begins with."""

import signal
from types import FrameType
from typing import Final

from deepfake_mtl.data.opencv_threads import use_one_thread

_GRACE: Final = 30
"""Seconds that a worker outlives SIGTERM, as long as SLURM waits before it kills."""


def begin_worker(worker: int) -> None:
    """Keep OpenCV to one thread, and leave signals to the training.

    Schedulers send SIGTERM, and the signal to requeue a job, to all of its processes. A worker that
    died of it would end the training in the middle of a step, before it has saved.
    """
    use_one_thread(worker)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _outlive)


def _outlive(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 (a handler's)
    # The next one ends the process at once: the loader sends one to workers that are stuck.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.alarm(_GRACE)
