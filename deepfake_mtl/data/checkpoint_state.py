"""What a checkpoint remembers of its data, compared with the data that it is to be used with."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.trainer.states import TrainerFn

from deepfake_mtl.data.protocol import data_state
from deepfake_mtl.errors import CheckpointError
from deepfake_mtl.models.checkpoint_files import load_checkpoint

Take = Callable[[dict[str, Any]], None]
"""Compares the state of the data of a training, and goes on with it."""

_log = logging.getLogger(__name__)


def compare_checkpoints(trainer: pl.Trainer | None, take: Take) -> None:
    """Let every checkpoint that a trainer loads be compared with its datamodule.

    Lightning hands the state of a checkpoint to a datamodule whose class has the name of that of
    the training, and to no other.

    Args:
        trainer: Trainer of the datamodule, if it has one.
        take: Raises an error where the checkpoint belongs to other data.
    """
    if trainer is None:
        return
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    others = [each for each in callbacks if not isinstance(each, _Comparison)]
    callbacks[:] = [_Comparison(take), *others]


class _Comparison(Callback):
    """Find the state of the data in a checkpoint, whatever the classes of its parts are called."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._compared: str | Path | None = None

    def on_load_checkpoint(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002
        checkpoint: dict[str, Any],
    ) -> None:
        """Compare a checkpoint that Lightning has read."""
        self._compared = trainer.ckpt_path
        self._compare(data_state(checkpoint))

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Compare a checkpoint of weights alone, of which Lightning tells callbacks nothing."""
        if trainer.state.fn == TrainerFn.FITTING or trainer.ckpt_path in (None, self._compared):
            return
        self._compared = trainer.ckpt_path
        try:
            content = load_checkpoint(Path(str(trainer.ckpt_path)))
        except CheckpointError as error:
            _log.warning("what was held out for this checkpoint is not compared: %s", error)
            return
        self._compare(data_state(content))

    on_test_start = on_validation_start
    on_predict_start = on_validation_start

    def _compare(self, state: Mapping[str, Any] | None) -> None:
        if state is not None:
            self._take(dict(state))
