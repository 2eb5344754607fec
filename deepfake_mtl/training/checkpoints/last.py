"""The checkpoint that a training goes on from, within an epoch and after a signal, too."""

import logging
import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.exceptions import SIGTERMException

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.models.distributed import LateAgreement
from deepfake_mtl.training.checkpoints.files import CHECKPOINTS, LAST, keep_previous
from deepfake_mtl.training.checkpoints.lock import FolderLock
from deepfake_mtl.util.processes import stopping_signals

_log = logging.getLogger(__name__)

_VALIDATION: Final = "epoch_loop.val_loop.batch_progress"


class LastCheckpoint(FolderLock, Checkpoint):
    """Write ``last.ckpt`` at the end of each epoch, every so many steps, and when told to stop.

    The one before is kept as ``previous.ckpt``. A training that goes on from either is the same, to
    the last bit on a CPU, as one that was never interrupted, also in the middle of an epoch: no
    checkpoint is written between the micro-batches of a step, nor between a step and the validation
    that follows it.

    SIGTERM ends the training after the running step, with a checkpoint of it and the exit status
    143 (128 + 15); on Windows the keys Ctrl and Break do, with 149. So does the signal by which
    SLURM announces the end of a job, after Lightning's handler has written its checkpoint and has
    put the job into the queue again. Lightning by itself does the latter in the middle of whatever
    is going on, and the former without a checkpoint.
    All ranks stop after the same step, whichever of them was told; of several on GPUs, that is the
    step after the running one.

    While a training goes on, its folder is locked for others.

    Args:
        every_n_train_steps: Steps of the optimizer between two checkpoints within an epoch; none
            by default.
        dirpath: Folder of the checkpoints; ``checkpoints`` in the trainer's root by default.

    Raises:
        ConfigurationError: The number of steps is not positive.
    """

    def __init__(self, every_n_train_steps: int | None = None, dirpath: str | None = None) -> None:
        if every_n_train_steps is not None and every_n_train_steps < 1:
            raise ConfigurationError(
                f"every_n_train_steps is {every_n_train_steps}, but must be 1 or more, or null for "
                "the ends of epochs only"
            )
        self._every_n_train_steps = every_n_train_steps
        self._dirpath = dirpath
        self._signals = _Signals()
        self._step = 0
        self._postponed = False
        self._validating = False
        self._stops = False
        self._last_is_sound = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Lock the folder.

        Raises:
            ConfigurationError: Another training writes there.
        """
        self.lock(trainer, self._path(trainer).parent)

    def on_sanity_check_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Listen to signals."""
        self._signals.listen(trainer)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Listen to signals, and note where the training stands."""
        self._signals.listen(trainer)
        _begin_next_epoch(trainer)
        self._step = trainer.global_step
        self._postponed = self._validating = self._stops = False
        resumed = trainer.ckpt_path
        self._last_is_sound = resumed is not None and (
            Path(resumed).resolve() == self._path(trainer).resolve()
        )

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Stop after the checkpoint of an epoch, when its figures are logged."""
        if self._stops:
            self._stop(trainer)

    def on_train_batch_start(self, trainer: pl.Trainer, *_: object) -> None:
        """Stop after the checkpoint of a step, when its figures are logged."""
        if self._stops:
            self._stop(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        """Write a checkpoint where one is due, and stop where a signal asks for it."""
        if trainer.global_step == self._step:
            return  # between micro-batches: gradients are not part of a checkpoint
        self._step = trainer.global_step
        every = self._every_n_train_steps
        due = every is not None and self._step % every == 0
        stops = self._signals.agreed(trainer)
        if not due and not stops:
            return
        progress = trainer.fit_loop.epoch_loop.batch_progress
        if progress.is_last_batch or progress.current.ready >= trainer.num_training_batches:
            return  # the end of the epoch, with a checkpoint of its own, is next
        if trainer.fit_loop.epoch_loop._should_check_val_fx(_fetcher(trainer)):  # noqa: SLF001
            self._postponed = True
            return
        self._save(trainer)
        self._stops = stops

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        """Stop in the middle of a validation; a resumed training begins with that validation."""
        if trainer.state.fn != TrainerFn.FITTING or not self._signals.agreed(trainer):
            return
        if not trainer.sanity_checking:
            self._validating = True
            self._save(trainer)
        self._stop(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Write the checkpoint that a validation within the epoch has put off."""
        if self._postponed and not trainer.sanity_checking:
            self._save(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Write the checkpoint of an epoch."""
        stops = self._signals.agreed(trainer)
        self._save(trainer)
        self._stops = stops

    def on_save_checkpoint(
        self, _trainer: pl.Trainer, _module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Let a training that was stopped in a validation resume with the first batch of it."""
        if self._validating:
            # How Lightning itself describes a loop whose first batch is begun.
            begun = {"ready": 1, "started": 1, "processed": 0, "completed": 0}
            progress = checkpoint["loops"]["fit_loop"][_VALIDATION]
            progress.update(total=dict(begun), current=dict(begun), is_last_batch=False)

    def _save(self, trainer: pl.Trainer) -> None:
        self._postponed = False
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        path = self._path(trainer)
        if trainer.is_global_zero and self._last_is_sound:
            keep_previous(path)
        trainer.save_checkpoint(path, weights_only=False)
        self._last_is_sound = True
        self._signals.requeue(trainer)

    def _stop(self, trainer: pl.Trainer) -> NoReturn:
        # Lightning's launcher kills all processes as soon as one of its children reports an error.
        if not trainer.is_global_zero:
            raise SIGTERMException(0)
        signum = self._signals.received or signal.SIGTERM
        path = self._path(trainer)
        _log.warning(
            "%s: stopped after step %d%s",
            signal.Signals(signum).name,
            trainer.global_step,
            f"; go on from there with ckpt_path {path}" if path.is_file() else "",
        )
        raise SIGTERMException(128 + signum)

    def _path(self, trainer: pl.Trainer) -> Path:
        folder = self._dirpath or Path(trainer.default_root_dir) / CHECKPOINTS
        return Path(folder) / LAST


class _Signals:
    """Take signals from Lightning, whose handlers act at once, until a step is done."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._handlers: dict[int, Any] = {}
        self._process = 0
        self._speaks = False
        self._stops = False
        self._agreement = LateAgreement()

    def listen(self, trainer: pl.Trainer) -> None:
        """Replace Lightning's handlers; at the end its trainer restores those before its own."""
        here = threading.current_thread() is threading.main_thread()
        if not here or signal.getsignal(signal.SIGTERM) == self._note:
            return
        self.received = signal.SIGTERM if trainer.received_sigterm else None
        self._process = os.getpid()
        self._speaks = trainer.is_global_zero
        self._stops = False
        self._agreement = LateAgreement()
        signums: list[signal.Signals] = [*stopping_signals()]
        environment = trainer._accelerator_connector.cluster_environment  # noqa: SLF001
        if (
            isinstance(environment, SLURMEnvironment)
            and environment.auto_requeue
            and environment.requeue_signal is not None
        ):
            signums.append(environment.requeue_signal)
        self._handlers = {signum: signal.getsignal(signum) for signum in signums}
        for signum in signums:
            signal.signal(signum, self._note)
        # Lightning asks all ranks by itself before every batch, and waits for the device.
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign] # noqa: SLF001

    def agreed(self, trainer: pl.Trainer) -> bool:
        """Return whether any rank was told to stop; all ranks must ask at the same place."""
        if not self._stops:
            device = trainer.strategy.root_device
            self._stops = self._agreement.ask(self.received is not None, device)
        return self._stops

    def requeue(self, trainer: pl.Trainer) -> None:
        """Let Lightning put the job into the queue again, if any rank was told so by SLURM.

        It writes a checkpoint of its own, from which the next start goes on; all ranks must call.
        """
        if not self._stops:
            return
        for signum, handler in self._handlers.items():
            told = signum not in stopping_signals() and self.received == signum
            if trainer.strategy.reduce_boolean_decision(told, all=False):
                handler(signum, None)
                self.received = signum

    def _note(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 (a handler's)
        if os.getpid() != self._process:  # a fork of this one, which has nothing to save
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
            return
        self.received = signum
        if self._speaks:  # not by print, which the signal may have interrupted
            name = signal.Signals(signum).name
            os.write(2, f"{name}: the running step is finished and saved first\n".encode())


def _begin_next_epoch(trainer: pl.Trainer) -> None:
    """Go on after the end of an epoch where the number of steps is what ends the training.

    Lightning 2.6 then finishes that epoch once more, and misses one, unlike where the number of
    epochs ends it.
    """
    loop = trainer.fit_loop
    if loop.restarted_on_epoch_end and trainer.max_steps != -1:
        loop.reset_restart_stage()
        loop.epoch_progress.increment_completed()
        loop._restarting = False  # noqa: SLF001 (its setter does not take this)
        loop.epoch_loop.restarting = False


def _fetcher(trainer: pl.Trainer) -> Any:  # noqa: ANN401 (Lightning's)
    return trainer.fit_loop._data_fetcher  # noqa: SLF001
