"""Who works in the folder of a run: one benchmark, and one command that it has started.

A benchmark that is killed may leave a command behind, and no lock is inherited on every system. So
there are two: the benchmark holds that of the run, and the command holds one of its own, from its
first moment to its end. A benchmark that takes over writes its own name first, and waits for the
command that it finds at work. A command that comes to its lock late, after the benchmark that
started it was killed, reads the name of another and does nothing.

``python -m deepfake_mtl.experiments.locks FOLDER NAME WORD ...`` is such a command: it holds its
lock while it does what ``deepfake-mtl WORD ...`` does.
"""

import runpy
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout
from tqdm import tqdm

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.util.files import open_whole

_RUN: Final = ".running"
_COMMAND: Final = ".working"
_OWNER: Final = ".owner"


@contextmanager
def own_run(folder: Path) -> Iterator[str]:
    """Be the only benchmark that works in the folder of a run, with no command left at work there.

    Args:
        folder: Folder of the run.

    Yields:
        The name by which commands are to be started; see `locked_command`.

    Raises:
        ConfigurationError: The file system has no locks.
        CorpusError: The folder cannot be written to.
    """
    with _lock(folder / _RUN):
        name = uuid.uuid4().hex
        with open_whole(folder / _OWNER) as file:
            file.append(name.encode())
        with _lock(folder / _COMMAND):
            pass  # now no command of another benchmark is at work, nor can one begin
        yield name


def locked_command(folder: Path, name: str, words: Sequence[str]) -> list[str]:
    """Return the command line of a command that holds its lock while it works.

    Args:
        folder: Folder of the run.
        name: What `own_run` gave.
        words: Arguments of ``deepfake-mtl``.
    """
    return [sys.executable, "-m", __spec__.name, str(folder), name, *words]


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    lock = FileLock(path)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            tqdm.write(f"{path.parent}: waiting for a process that is at it", file=sys.stderr)
            lock.acquire()
    except (OSError, NotImplementedError) as error:
        raise ConfigurationError(
            f"{path}: cannot be locked ({error}); choose a folder on another disk with `out`"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _main() -> None:
    folder, name, *words = sys.argv[1:]
    with _lock(Path(folder) / _COMMAND):
        if (Path(folder) / _OWNER).read_text(encoding="utf-8") != name:
            sys.exit("the benchmark that started this was killed, and another has taken over")
        # As if it had been started without a lock: processes that it starts repeat its words.
        sys.argv[1:] = words
        runpy.run_module("deepfake_mtl", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
