"""Processes that judge videos, and may die of one: a decoder may crash, or never end.

The process that watches them imports no PyTorch and opens no video.
"""

import math
import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deepfake_mtl.errors import CheckpointError, ConfigurationError, DeepfakeMTLError
from deepfake_mtl.inference.batch.jobs import Job, JobResult
from deepfake_mtl.inference.options import DetectOptions
from deepfake_mtl.util.machine import private_memory, processor_time, usable_cores
from deepfake_mtl.util.memory import limit_memory
from deepfake_mtl.util.processes import ending

if TYPE_CHECKING:  # what the parent does without
    from deepfake_mtl.inference.api import VideoDetector
    from deepfake_mtl.inference.verdict import Setup

_TO_START: Final = 600.0
"""Seconds within which a process must be ready."""

_WAITING: Final = 5
"""Times the patience, after which a process is given up that does not even compute."""

_MOST: Final = 8
"""Processes that are started on a CPU unless told otherwise."""

_A_DEVICE: Final = 2

_BEAT: Final = 0.5
"""Seconds between two signs of life."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How processes are run.

    Attributes:
        checkpoint: Checkpoint or folder of the detector.
        options: How videos are judged.
        count: Number of processes; None takes one a core, at most 8, or two a GPU, of which one
            reads its video while the other computes.
        most: Number of processes, at most: that of the videos.
        trust: Packages from which the checkpoint may have classes imported.
        patience: Seconds of computing without progress after which a process is ended.
        memory: Number of bytes that a video may take beyond what the detector takes. A process
            that holds more is ended. Detectors on the CPU of a Linux system are refused more before
            they hold it, which costs the one allocation only; drivers of GPUs reserve addresses
            without end.
    """

    checkpoint: Path
    options: DetectOptions
    count: int | None = None
    most: int = 1 << 16
    trust: tuple[str, ...] = ()
    patience: float = 60.0
    memory: int = 4 << 30


class Workers:
    """A pool of processes that judge videos.

    Args:
        settings: How they are run.

    Attributes:
        setup: What all verdicts of the detector have in common.

    Raises:
        CheckpointError: The detector cannot be loaded.
        ConfigurationError: Or not be used.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        if (settings.count is not None and settings.count < 1) or settings.patience <= 0:
            raise ConfigurationError(
                f"workers is {settings.count}, patience {settings.patience}: at least 1, above 0"
            )
        if not settings.checkpoint.exists():  # rather now than after seconds of importing
            raise CheckpointError(f"{settings.checkpoint}: no such checkpoint; check the path")
        self._settings = settings
        self._started = 0
        self._idle: list[_Worker] = [self._start()]
        self._busy: list[_Worker] = []
        try:
            self.setup, self._count = self._idle[0].wait_until_ready()
        except BaseException:
            self.close()
            raise

    def run(
        self, jobs: Sequence[Job], progress: Callable[[Job, int, int], None]
    ) -> Iterator[JobResult]:
        """Do jobs, in whatever order they end.

        Args:
            jobs: What is to be done.
            progress: Told the job, its number of frames that are done, and of all.

        Yields:
            One result for each job.
        """
        waiting = deque(jobs)
        while waiting or self._busy:
            while waiting and len(self._busy) < self._count:
                worker = self._idle.pop() if self._idle else self._start()
                worker.give(waiting.popleft())
                self._busy.append(worker)
            wait([worker.connection for worker in self._busy], timeout=_BEAT)
            for worker in list(self._busy):
                result = worker.hear(progress)
                if result is not None:
                    self._busy.remove(worker)
                    if worker.alive:
                        self._idle.append(worker)
                    yield result

    def _start(self) -> "_Worker":
        self._started += 1
        return _Worker(self._settings, self._started - 1)

    def close(self) -> None:
        """End all processes."""
        for worker in (*self._idle, *self._busy):
            worker.end()
        self._idle, self._busy = [], []


class _Worker:
    def __init__(self, settings: WorkerSettings, number: int) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would inherit threads of others
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=_serve, args=(theirs, settings, number), daemon=True
        )
        self.process.start()
        theirs.close()  # so that its end is noticed
        self.alive = True
        self._patience, self._memory = settings.patience, settings.memory
        self._own = 0
        self._ready = False
        self._job: Job | None = None
        self._note_life()

    def wait_until_ready(self) -> tuple["Setup", int]:
        """Return what all verdicts of its detector have in common, and the number of workers."""
        try:
            if not self.connection.poll(_TO_START):
                raise CheckpointError("the detector was not loaded within ten minutes")
            kind, content = self.connection.recv()
        except EOFError:
            self.process.join()
            raise CheckpointError(
                "a process that loads the detector died, as one does that the system kills for "
                "want of memory"
            ) from None
        if kind == "unusable":
            raise content
        self._note_ready()
        setup, count = content
        return setup, count

    def give(self, job: Job) -> None:
        """Have a job done."""
        self._job = job
        self._note_life()
        with suppress(OSError):  # it died, which `hear` finds out
            self.connection.send(job)

    def hear(self, progress: Callable[[Job, int, int], None]) -> JobResult | None:
        """Return what became of its job, once that is known."""
        job = self._job
        if job is None:
            raise RuntimeError("nothing was asked")
        try:
            while self.connection.poll():
                kind, content = self.connection.recv()
                self._note_life()
                if kind == "judged":
                    self._job = None
                    return JobResult(job, content)
                if kind == "progress":
                    progress(job, *content)
                elif kind == "ready":
                    self._note_ready()
                elif kind == "unusable":
                    raise content
        except (EOFError, OSError):
            return self._died(job)
        if self._is_lost():
            seconds = f"{self._patience:g} seconds"
            reason = f"no frame was done within {seconds}; raise `patience`, or convert it"
        elif self._ready and private_memory(self.process.pid) > self._own + self._memory:
            reason = f"it takes more than {self._memory / 2**30:.3g} GiB of memory; convert it"
        else:
            return None
        self.end()
        return JobResult(job, None, f"{job.video}: was given up: {reason}")

    def _is_lost(self) -> bool:
        """Return whether it gave no sign of life in much work, or in even longer waiting."""
        silent = time.monotonic() - self._heard
        if not self._ready:
            return silent > _TO_START
        if silent <= self._patience:
            return False
        # On a machine that has other things to do, time passes without it being at fault.
        worked = processor_time(self.process.pid) - self._worked
        return (
            math.isnan(worked)
            or worked > 0.8 * self._patience
            or silent > _WAITING * self._patience
        )

    def _note_ready(self) -> None:
        self._ready = True
        self._own = private_memory(self.process.pid)

    def _note_life(self) -> None:
        self._heard = time.monotonic()
        self._worked = processor_time(self.process.pid)

    def end(self) -> None:
        """End the process, whatever it does."""
        self.alive = False
        self.process.kill()
        self.process.join()
        self.connection.close()

    def _died(self, job: Job) -> JobResult:
        self.process.join()
        how = ending(self.process.exitcode or 0)
        self.end()
        return JobResult(
            job, None, f"{job.video}: the process that judged it died ({how}): the decoder crashed"
        )


def _serve(connection: Connection, settings: WorkerSettings, number: int) -> None:
    """Judge what comes, until nothing does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent sees to it
    try:
        detector, count = _load(settings, number)
    except DeepfakeMTLError as error:
        connection.send(("unusable", error))
        return
    from deepfake_mtl.inference.batch.writing import judge  # noqa: PLC0415 (not in the parent)

    connection.send(("ready", (detector.setup, count)))
    told = time.monotonic()

    def progress(done: int, frames: int) -> None:
        nonlocal told
        if time.monotonic() - told > _BEAT:
            told = time.monotonic()
            _send(connection, "progress", (done, frames))

    while True:
        try:
            job = connection.recv()
        except (EOFError, OSError):
            return
        _send(connection, "judged", judge(detector, job, progress))


def _send(connection: Connection, kind: str, content: object) -> None:
    try:
        connection.send((kind, content))
    except OSError:
        # Nobody listens any more. Not by an exception, which would become a verdict.
        os._exit(1)


def _load(settings: WorkerSettings, number: int) -> tuple["VideoDetector", int]:
    """Return the detector of a worker, and how many workers there should be."""
    import cv2  # noqa: PLC0415
    import torch  # noqa: PLC0415

    from deepfake_mtl.inference.api import VideoDetector, find_devices  # noqa: PLC0415

    devices = find_devices(settings.options.device)
    device = devices[number % len(devices)]
    usual = min(usable_cores(), _MOST) if device.type == "cpu" else _A_DEVICE * len(devices)
    count = min(settings.count or usual, max(settings.most, 1))
    threads = max(1, usable_cores() // count)
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    options = replace(settings.options, device=str(device))
    detector = VideoDetector.from_checkpoint(settings.checkpoint, options, settings.trust)
    if device.type == "cpu":
        limit_memory(settings.memory)
    return detector, count
