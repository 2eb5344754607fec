"""What a process says to the system about its memory, where the system listens."""

import ctypes
import sys
from typing import Final

import psutil  # type: ignore[import-untyped]

_TRIM_THRESHOLD: Final = -1  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
_MMAP_THRESHOLD: Final = -3
_KEPT: Final = 256 * 1024**2
_LARGEST: Final = 32 * 1024**2  # the most that glibc allows


def keep_freed_memory() -> None:
    """Have malloc keep up to 256 MiB of what is freed; does nothing where it is not glibc's.

    By default glibc gives large pieces back to the system as soon as they are freed, and asks for
    them anew for the next frame, page by page: a fifth of the time that cropping a video takes.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
        if mallopt is not None:
            mallopt(_MMAP_THRESHOLD, _LARGEST)
            mallopt(_TRIM_THRESHOLD, _KEPT)


def limit_memory(more: int) -> None:
    """Let allocations fail that go beyond what this process has, by so many bytes.

    Linux alone keeps to such a limit: Windows has none that a process sets itself, and macOS takes
    note of it only. There nothing is done, and somebody else has to watch the process.

    Args:
        more: Bytes of addresses beyond those that are in use.
    """
    if sys.platform == "linux":
        import resource  # noqa: PLC0415 (not on Windows)

        limit = psutil.Process().memory_info().vms + more
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        if hard == resource.RLIM_INFINITY or limit < hard:
            resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
