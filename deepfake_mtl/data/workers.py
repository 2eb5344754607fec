"""What a process that reads clips begins with."""

import os
import signal
import threading
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
    if hasattr(signal, "sigwaitinfo"):  # tells who sent a signal; macOS lacks it
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_outlive, args=(os.getppid(),), daemon=True).start()


def _outlive(parent: int) -> None:
    """Put off the end that others ask for; what the training itself ends is ended at once."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        signal.alarm(_GRACE)
    os._exit(0)
