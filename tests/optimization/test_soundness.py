"""What is not finite takes the place of no checkpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import (
    EMAWeightAveraging,
    ModelCheckpoint,
    StochasticWeightAveraging,
)

from deepfake_mtl.detector import Detector
from deepfake_mtl.errors import CheckpointError, DivergenceError
from deepfake_mtl.optimization.soundness import Soundness
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


class SpoilMoments(pl.Callback):
    """Lets a moment of the optimizer become something else after a step."""

    def __init__(self, step: int, name: str, value: float) -> None:
        self.step, self.name, self.value = step, name, value

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            states = list(trainer.optimizers[0].state.values())
            states[-1][self.name].view(-1)[-1] = self.value


class SpoilAverage(pl.Callback):
    """Lets the average that another callback keeps become something else after a step."""

    def __init__(self, averaging: pl.Callback) -> None:
        self.averaging = averaging

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == 3:
            average: Any = self.averaging._average_model  # type: ignore[attr-defined]
            next(average.parameters()).data.fill_(float("nan"))


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


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["exp_avg", "exp_avg_sq"])
def test_moments_that_have_diverged_are_not_saved(name: str, value: float, tmp_path: Path) -> None:
    # With weights that are finite yet, or stay as they are for ever.
    with pytest.raises(
        DivergenceError,
        match=rf"after step 5, not all of optimizer_states\.0\.state\.\d+\.{name} is",
    ):
        fit(tmp_path, SpoilMoments(5, name, value), LastCheckpoint(1))
    assert finite_steps(tmp_path)["last.ckpt"] == 4


@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_averages_that_have_diverged_are_not_saved(kind: str, tmp_path: Path) -> None:
    averaging: pl.Callback = (
        EMAWeightAveraging(decay=0.5)
        if kind == "ema"
        else StochasticWeightAveraging(0.01, swa_epoch_start=0.0)
    )
    with pytest.raises(DivergenceError, match=r"after step 3, not all of .* is finite"):
        fit(tmp_path, averaging, SpoilAverage(averaging), LastCheckpoint(1))
    assert finite_steps(tmp_path)["last.ckpt"] == 2


def test_moments_of_any_optimizer_are_looked_at() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.LBFGS([weight], max_iter=3)
    for target in (0.0, 2.0):

        def closure(target: float = target) -> Any:
            optimizer.zero_grad()
            loss = (weight - target).square().sum() ** 2
            loss.backward()
            return loss

        optimizer.step(closure)
    content = {"global_step": 2, "state_dict": {}, "optimizer_states": [optimizer.state_dict()]}
    soundness = Soundness(torch.nn.Linear(1, 1))
    soundness.check_saved(content)
    next(iter(optimizer.state.values()))["old_dirs"][0].fill_(float("nan"))
    content["optimizer_states"] = [optimizer.state_dict()]
    with pytest.raises(DivergenceError, match=r"state\.0\.old_dirs\.0 is finite"):
        soundness.check_saved(content)


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
    previous = last.with_name("previous.ckpt")
    fit(tmp_path, resume=previous)
    content = torch.load(previous, weights_only=True)
    content["optimizer_states"][0]["state"][0]["exp_avg"][0] = float("inf")
    torch.save(content, last)
    with pytest.raises(CheckpointError, match=r"not all of optimizer_states\.0\.state\.0\.exp_avg"):
        fit(tmp_path, resume=last)
