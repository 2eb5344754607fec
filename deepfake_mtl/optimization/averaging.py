"""What of a model is averaged, where a callback averages its weights.

Lightning's `WeightAveraging` averages every parameter and every buffer, and puts the averages in
the place of the originals for validation, in checkpoints, and at the end. The average of weights is
a model. That of a queue, of its labels or of its pointer is nothing.
"""

from collections.abc import Mapping, MutableMapping
from typing import Any, Final

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from deepfake_mtl.errors import ConfigurationError

_CURRENT: Final = "current_model_state"
"""Where Lightning keeps the weights that were averaged, in checkpoints."""


def own_state(module: nn.Module) -> dict[str, Tensor]:
    """Return the buffers that are not averaged: all but the running statistics of BatchNorm.

    Those belong to the weights: the statistics of averaged weights are near the averaged statistics
    and far from those of the last weights.

    Returns:
        The buffers by name, not copied; counters of batches are among them.
    """
    statistics = {
        id(buffer)
        for part in module.modules()
        if isinstance(part, _NormBase)
        for buffer in (part.running_mean, part.running_var)
    }
    return {name: buffer for name, buffer in module.named_buffers() if id(buffer) not in statistics}


def copy_own_state(module: nn.Module) -> dict[str, Tensor]:
    """Return a copy of `own_state`, before a callback puts averages in its place."""
    return {name: buffer.detach().clone() for name, buffer in own_state(module).items()}


@torch.no_grad()
def restore_own_state(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put back what `copy_own_state` returned."""
    for name, buffer in own_state(module).items():
        if name in state:
            buffer.copy_(state[name])


def save_own_state(module: nn.Module, checkpoint: MutableMapping[str, Any]) -> None:
    """Let a checkpoint of averaged weights hold the module's own state, not its average.

    Args:
        module: What the checkpoint is of.
        checkpoint: What Lightning has collected, and the averaging callback has changed.
    """
    current = checkpoint.get(_CURRENT)
    if current is None:
        return
    for name in own_state(module):
        if name in current:
            checkpoint["state_dict"][name] = current[name]


def refuse_weights_alone(trainer: pl.Trainer | None, checkpoint: Mapping[str, Any]) -> None:
    """Refuse to save weights beside the threshold of their average.

    Args:
        trainer: The trainer; None where there is none.
        checkpoint: What Lightning has collected.

    Raises:
        ConfigurationError: Averaged weights are to be left out of a checkpoint of a training.
    """
    if trainer is None or not (trainer.training or trainer.validating):
        return
    if "callbacks" in checkpoint:
        return
    if any(isinstance(each, WeightAveraging) for each in trainer.callbacks):  # type: ignore[attr-defined]
        raise ConfigurationError(
            "checkpoints of weights alone leave out what a WeightAveraging callback has "
            "averaged, though it is what was validated: set save_weights_only to false"
        )
