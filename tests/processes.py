"""Processes for tests, forked from one interpreter that has imported what takes seconds.

For tests in which it does not matter how a process starts: a fresh one would import PyTorch and
Lightning, which takes longer than what most tests do. The interpreter that is forked has run
nothing, so no thread is lost; where a system has none, processes are spawned.
"""

import multiprocessing
from collections.abc import Callable
from typing import Final

from torch.multiprocessing import start_processes

METHOD: Final = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
_PRELOADED: Final = ["pytorch_lightning", "torchmetrics", "tests.two_ranks"]


def run_processes(count: int, function: Callable[..., None], *arguments: object) -> None:
    """Run a function of a module in several processes at once.

    Args:
        count: Number of processes.
        function: Called with the number of the process, from 0, and the arguments.
        arguments: Anything that can be pickled.

    Raises:
        Exception: One of them failed; its traceback is told.
    """
    if METHOD == "forkserver":
        multiprocessing.set_forkserver_preload(_PRELOADED)
    start_processes(function, arguments, count, start_method=METHOD)
