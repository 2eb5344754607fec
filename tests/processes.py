"""Processes for tests, forked from one interpreter that has imported what takes seconds.

For tests in which it does not matter how a process starts: a fresh one would import PyTorch and
Lightning, which takes longer than what most tests do. The interpreter that is forked has run
nothing, so no thread is lost; where a system has none, processes are spawned.
"""

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from torch.multiprocessing import start_processes

METHOD: Final = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
_PRELOADED: Final = [
    "pytorch_lightning",
    "torchmetrics",
    "tests.two_ranks",
    "deepfake_mtl.training.command",
]


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


class Command:
    """A command of this library in a process, a session and a process group of its own.

    Args:
        words: Words of the command line.
        log: Where its output goes.
        environment: What it finds in its environment besides what this process has.
    """

    def __init__(self, words: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        multiprocessing.set_forkserver_preload(_PRELOADED)
        context = multiprocessing.get_context(METHOD)
        self._log = log
        self._process = context.Process(
            target=_run_command, args=(list(words), str(log), dict(environment), Path.cwd())
        )
        self._process.start()

    @property
    def pid(self) -> int:
        """The process, which leads its group as soon as it writes anything."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """As of `subprocess.Popen`; None while it runs."""
        return self._process.exitcode

    def output(self, patience: float) -> str:
        """Wait for its end, and return what it said."""
        self._process.join(patience)
        assert self._process.exitcode is not None, "it goes on"
        return self._log.read_text(encoding="utf-8", errors="replace")


def _run_command(words: list[str], log: str, environment: dict[str, str], folder: Path) -> None:
    os.setsid()
    with open(log, "ab") as file:  # noqa: PTH123 (its descriptor is taken over)
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    os.environ.update(environment)
    os.chdir(folder)
    import torch  # noqa: PLC0415 (the forked interpreter has it)

    from deepfake_mtl.cli import main  # noqa: PLC0415

    torch.set_num_threads(int(environment.get("OMP_NUM_THREADS", "1")))
    sys.exit(main(words))
