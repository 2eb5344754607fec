"""Weights that are not finite take the place of no checkpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging, ModelCheckpoint

from deepfake_mtl.detector import Detector
from deepfake_mtl.errors import CheckpointError, DivergenceError
from deepfake_mtl.training.checkpoints.last import LastCheckpoint
from tests.worlds import TinyEncoder, loader, trainer

LABELS = [0, 1] * 8  # eight steps of four clips


class Spoil(pl.Callback):
    """Lets a tensor of the model become something else after a step."""

    def __init__(self, step: int, name: str, value: float) -> None:
        self.step, self.name, self.value = step, name, value

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        if trainer.global_step == self.step:
            module.state_dict()[self.name].view(-1)[-1] = self.value


class Masked(TinyEncoder):
    """With a buffer that is not finite by design."""

    def __init__(self) -> None:
        super().__init__(norm=True)
        self.register_buffer("mask", torch.full((3,), -torch.inf))


def fit(folder: Path, *callbacks: pl.Callback, resume: Path | None = None) -> None:
    torch.manual_seed(0)
    run = trainer(folder, max_epochs=2, enable_checkpointing=True, callbacks=list(callbacks))
    run.fit(Detector(Masked()), loader(LABELS), loader(LABELS), ckpt_path=resume)


def finite_steps(folder: Path) -> dict[str, int]:
    steps = {}
    for path in folder.rglob("*.ckpt"):
        content = torch.load(path, weights_only=True)
        for state in (content["state_dict"], content.get("current_model_state", {})):
            for name, value in state.items():
                assert value.isfinite().all() == ("mask" not in name), (path, name)
        steps[path.name] = content["global_step"]
    return steps


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    "name", ["network.encoder.second.weight", "network.encoder.norm.running_var", "threshold"]
)
def test_what_has_diverged_is_not_saved(name: str, value: float, tmp_path: Path) -> None:
    with pytest.raises(DivergenceError, match=f"after step 5, not all of {name} is finite"):
        fit(tmp_path, Spoil(5, name, value), LastCheckpoint(1))
    assert finite_steps(tmp_path)["last.ckpt"] == 4
    assert finite_steps(tmp_path).keys() == {"last.ckpt", "previous.ckpt"}


WRITERS: dict[str, Callable[[Path], list[pl.Callback]]] = {
    "best": lambda folder: [ModelCheckpoint(folder, "best", every_n_train_steps=1)],
    "weights": lambda folder: [
        ModelCheckpoint(folder, "weights", every_n_train_steps=1, save_weights_only=True)
    ],
    "average": lambda folder: [EMAWeightAveraging(decay=0.5), LastCheckpoint(1, str(folder))],
}


@pytest.mark.parametrize("writer", WRITERS)
def test_whoever_writes(writer: str, tmp_path: Path) -> None:
    with pytest.raises(DivergenceError, match="after step 3"):
        fit(
            tmp_path,
            Spoil(3, "network.encoder.first.bias", float("nan")),
            *WRITERS[writer](tmp_path),
        )
    assert finite_steps(tmp_path)


def test_no_training_goes_on_from_what_had_diverged(tmp_path: Path) -> None:
    fit(tmp_path, LastCheckpoint(4))
    last = tmp_path / "checkpoints" / "last.ckpt"
    content = torch.load(last, weights_only=True)
    content["state_dict"]["network.encoder.first.bias"][0] = float("nan")
    torch.save(content, last)
    with pytest.raises(
        CheckpointError, match=r"not all of network\.encoder\.first\.bias is finite"
    ):
        fit(tmp_path, resume=last)
    fit(tmp_path, resume=last.with_name("previous.ckpt"))
