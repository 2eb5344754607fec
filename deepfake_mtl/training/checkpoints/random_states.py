"""The states of random generators: a resumed training draws what it would have drawn."""

import random
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from deepfake_mtl.models.distributed import of_all_ranks

RandomState = dict[str, Any]


class RandomStates(Callback):
    """Keep the random states of every process in checkpoints.

    They are taken up at the first batch after a resume, when all that Lightning sets up is done.
    Where the number of processes has changed, they begin from their seed.
    """

    def __init__(self) -> None:
        self._resumed: list[RandomState] = []
        self._device = torch.device("cpu")

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Note the device, whose generator is one more."""
        self._device = trainer.strategy.root_device

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object
    ) -> None:
        """Take up the states of the checkpoint."""
        states, self._resumed = self._resumed, []
        if len(states) == trainer.world_size:
            _restore(states[trainer.global_rank], pl_module.device)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of every rank; all ranks must call it, as they do for a checkpoint."""
        return {"ranks": of_all_ranks(_collect(self._device))}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember the states until the first batch."""
        self._resumed = list(state_dict["ranks"])


def _collect(device: torch.device) -> RandomState:
    kind, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002
    state: RandomState = {
        "torch": torch.get_rng_state(),
        # As plain values: checkpoints are read without running code.
        "numpy": (str(kind), np.asarray(keys).tolist(), *rest),
        "python": random.getstate(),
    }
    if device.type != "cpu":
        state[device.type] = torch.get_device_module(device).get_rng_state()
    return state


def _restore(state: RandomState, device: torch.device) -> None:
    torch.set_rng_state(state["torch"].cpu())
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, np.uint32), *rest))  # noqa: NPY002
    version, values, gauss = state["python"]
    random.setstate((version, tuple(values), gauss))
    if device.type in state:
        torch.get_device_module(device).set_rng_state(state[device.type].cpu())
