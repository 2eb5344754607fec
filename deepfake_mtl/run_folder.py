"""Where a run keeps what."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from deepfake_mtl.data.treatments import parse_degradation
from deepfake_mtl.errors import ConfigurationError

_LOCK: Final = ".training"


def results_folder(run: Path, test_on: str | None, degradation: str | None) -> Path:
    """Return where a test writes to: a folder of its own for each corpus and degradation.

    Args:
        run: The run folder.
        test_on: As of the datamodule.
        degradation: Likewise.
    """
    if test_on is not None:
        name, separator, _ = test_on.partition("=")
        run = run / "tests" / (name if separator else Path(name).resolve().name)
    if degradation is not None:
        name, strength = parse_degradation(degradation)
        run = run / "robustness" / f"{name}-{strength:g}"
    return run


@contextmanager
def lock_training(run: Path) -> Iterator[None]:
    """Be the only training that writes to a run folder.

    Raises:
        ConfigurationError: Another process trains there, or the folder cannot be written to.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
        lock = FileLock(run / _LOCK)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ConfigurationError(
            f"{run}: another training is writing to this folder; wait until it has ended, or name "
            "another by default_root_dir"
        ) from error
    except (OSError, NotImplementedError) as error:
        raise ConfigurationError(
            f"{run}: cannot be locked ({error}); name a folder that can be written to, on a disk "
            "that has locks, by default_root_dir"
        ) from error
    try:
        yield
    finally:
        lock.release()
