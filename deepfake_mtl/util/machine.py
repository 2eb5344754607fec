"""Facts about the machine and its processes, on every system.

psutil answers where it can. What it cannot tell is read from the files of Linux, where there are
any, and has a default elsewhere.
"""

import math
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]

CORES: Final = "DEEPFAKE_MTL_CORES"
"""Variable of the environment: number of cores for a process that has others beside it."""

_ROOT: Final = Path("/")


def usable_cores() -> int:
    """Return the number of cores that this process may keep busy, at least 1.

    These are the cores of the machine, or those that the process is bound to (Linux and Windows
    can bind one to some), or as many as the share of processor time of its container comes to
    (control groups of Linux), or as the environment variable `CORES` says, whichever is least.
    """
    try:
        bound = len(psutil.Process().cpu_affinity())
    except (AttributeError, psutil.Error):  # macOS binds no process
        bound = psutil.cpu_count() or 1
    told = os.environ.get(CORES, "")
    share = int(told) if told.isdecimal() else bound
    return max(1, min(bound, share, math.ceil(min(container_cores(), bound))))


def container_cores(root: Path = _ROOT) -> float:
    """Return how many cores' time the control groups of this process allow; infinite if any.

    Args:
        root: Root of the file system.
    """
    limits = [math.inf]
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, group = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        # Within a container the file names groups of the host, which are not there to be read.
        parts = [part for part in group.split("/") if part and part != ".."]
        for depth in range(len(parts) + 1):
            limits += _quota(mount.joinpath(*parts[:depth]))
    return min(limits)


def processor_time(process: int | None) -> float:
    """Return the seconds that a process has computed; infinite where the system does not tell.

    Args:
        process: Number of the process; None stands for this process.
    """
    try:
        spent = psutil.Process(process).cpu_times()
    except psutil.Error:
        return math.inf
    return float(spent.user + spent.system)


def private_memory(process: int | None) -> int:
    """Return the bytes that a process holds for itself; 0 if it has ended.

    Where the system tells, files that are mapped into memory, such as libraries, are left out.

    Args:
        process: Number of the process; None stands for this process.
    """
    try:
        memory = psutil.Process(process).memory_info()
    except psutil.Error:
        return 0
    if hasattr(memory, "private"):  # Windows
        return int(memory.private)
    return int(memory.rss) - int(getattr(memory, "shared", 0))


def peak_memory() -> int:
    """Return the most bytes that this process has held in memory so far."""
    if sys.platform == "win32":
        peak = int(psutil.Process().memory_info().peak_wset)
    else:
        import resource  # noqa: PLC0415 (not on Windows)

        unit = 1 if sys.platform == "darwin" else 1024
        peak = unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak


def processor_name() -> str:
    """Return the name of the processor's model, or else of its kind."""
    for line in _lines(_ROOT / "proc/cpuinfo"):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _quota(group: Path) -> Iterator[float]:
    """Yield the limit of a control group, where it has one: of version 2, or of version 1."""
    for text in _lines(group / "cpu.max"):
        quota, period = text.split()
        if quota != "max":
            yield int(quota) / int(period)
    quotas, periods = _lines(group / "cpu.cfs_quota_us"), _lines(group / "cpu.cfs_period_us")
    for quota, period in zip(quotas, periods, strict=False):
        if int(quota) > 0:
            yield int(quota) / int(period)


def _lines(path: Path) -> list[str]:
    """Return the lines of one of the system's files; none where it has no such file."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
