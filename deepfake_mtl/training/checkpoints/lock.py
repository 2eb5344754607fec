"""A folder of checkpoints is of one training at a time."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytorch_lightning as pl
from filelock import FileLock, Timeout
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.trainer.states import TrainerFn

from deepfake_mtl.errors import ConfigurationError

LOCK: Final = ".training"

_HELD: Final = "DEEPFAKE_MTL_LOCKED"
"""Environment variable: folders that this process, or the one that started it, has locked."""


@contextmanager
def lock_training(folder: Path) -> Iterator[None]:
    """Be the only training that writes to a folder of checkpoints.

    What this process has locked already, or that which started it as one of its ranks, stays so.

    Raises:
        ConfigurationError: Another process trains there, or the folder cannot be written to.
    """
    name = str(folder.resolve())
    if name in _held():
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ConfigurationError(
            f"{folder}: another training is writing to this folder; wait until it has ended, or "
            "name another by default_root_dir (or dirpath)"
        ) from error
    except (OSError, NotImplementedError) as error:
        raise ConfigurationError(
            f"{folder}: cannot be locked ({error}); name a folder that can be written to, on a "
            "disk that has locks, by default_root_dir (or dirpath)"
        ) from error
    os.environ[_HELD] = "\n".join([*_held(), name])
    try:
        yield
    finally:
        os.environ[_HELD] = "\n".join(each for each in _held() if each != name)
        lock.release()


def _held() -> list[str]:
    return os.environ.get(_HELD, "").split("\n")


class FolderLock(Callback):
    """A callback that writes checkpoints, and keeps their folder locked until its teardown."""

    _stack: ExitStack | None = None

    def lock(self, trainer: pl.Trainer, folder: str | Path) -> None:
        """Lock the folder of a training, on its first process.

        Raises:
            ConfigurationError: See `lock_training`.
        """
        fits = trainer.state.fn == TrainerFn.FITTING
        writes = trainer.is_global_zero and not trainer.fast_dev_run  # type: ignore[attr-defined]
        if fits and writes and "://" not in str(folder):
            self._stack = self._stack or ExitStack()
            self._stack.enter_context(lock_training(Path(folder)))

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Let go of the folder."""
        super().teardown(trainer, pl_module, stage)
        self._unlock()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Let go of the folder, when all else is done there."""
        super().on_exception(trainer, pl_module, exception)
        self._unlock()

    def _unlock(self) -> None:
        if self._stack is not None:
            self._stack.close()
