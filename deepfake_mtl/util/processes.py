"""Processes of our own, and the signals that reach them.

Linux has all of what is asked for here. macOS does not tell who sent a signal. Windows has neither
forks nor signals between processes; what it has instead is the event of the keys Ctrl and Break,
which reaches a process that heads a group of its own as ``SIGBREAK``.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from typing import Any


def stopping_signals() -> tuple[signal.Signals, ...]:
    """Return the signals by which a process is asked to end when it has saved what it has."""
    if sys.platform == "win32":
        signals = (signal.SIGTERM, signal.SIGBREAK)
    else:
        signals = (signal.SIGTERM,)
    return signals


def apart() -> dict[str, Any]:
    """Return the options of `subprocess.Popen` that keep the keyboard's signals from a process."""
    options: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return options


def ask_to_stop(process: "subprocess.Popen[bytes]", *, saves: bool) -> None:
    """Ask a process that was started `apart` to end.

    Args:
        process: The process.
        saves: Whether it answers `stopping_signals` by saving first. Other processes get what the
            keyboard would send.
    """
    if sys.platform == "win32":
        process.send_signal(signal.CTRL_BREAK_EVENT)
    else:
        process.send_signal(signal.SIGTERM if saves else signal.SIGINT)


def ending(status: int) -> str:
    """Return how a process ended, in words, by its exit status or, negative, its signal."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:  # one without a name
        return f"signal {-status}"


def killed_for_memory() -> frozenset[int]:
    """Return the exit codes of processes that the system ends for want of memory."""
    if sys.platform == "win32":
        codes = frozenset[int]()
    else:
        codes = frozenset({-signal.SIGKILL, -signal.SIGBUS})
    return codes


def before_forks(before: Callable[[], None], after: Callable[[], None]) -> None:
    """Call functions before this process forks, and afterwards, where processes fork at all."""
    if sys.platform != "win32":
        os.register_at_fork(before=before, after_in_parent=after)


def end_with_parent() -> None:
    """End this process at once when the one that started it by `multiprocessing` has ended.

    What waits for work in a pool of processes would otherwise wait for ever once the parent was
    killed.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


@contextmanager
def starting_workers() -> Iterator[None]:
    """Put off signals to processes that are started here, until they `leave_signals_to_parent`.

    These inherit what this thread puts off, and so do all of their threads, also those that
    libraries start while they are imported: a thread that did not would take a signal for all.
    """
    if sys.platform == "win32":
        yield
    else:
        # Where it is started by what starts the processes, it lets signals through again.
        resource_tracker.ensure_running()
        signals = {signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2}
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_signals_to_parent(grace: int) -> None:
    """Let the process that made this one decide when it ends, whatever signals others send.

    Schedulers send SIGTERM, and the signal to requeue a job, to all processes of it. A worker that
    died of that would end its parent before it has saved.

    On Linux SIGTERM of others is put off, and SIGTERM of the parent ends this process at once. On
    macOS this process goes into a group of its own, so that what is sent to the parent's group
    does not reach it. On Windows there is nothing to do.

    Args:
        grace: Seconds until this process ends after a SIGTERM of others.
    """
    if sys.platform != "win32":
        for signum in (signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(signum, signal.SIG_IGN)
        if sys.platform != "darwin":
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            threading.Thread(target=_outlive, args=(grace,), daemon=True).start()
        else:
            os.setpgrp()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # forgets one that was put off
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1, signal.SIGUSR2})


if sys.platform not in {"win32", "darwin"}:

    def _outlive(grace: int) -> None:
        """Put off the end that others ask for; what the parent itself ends is ended at once."""
        parent = multiprocessing.parent_process()  # not the process of a fork server
        number = os.getppid() if parent is None else parent.pid
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != number:
            signal.alarm(grace)
        os._exit(0)
