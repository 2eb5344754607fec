"""A resumed training has the options that its records say."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch.optim.lr_scheduler import StepLR

from deepfake_mtl.detector import Detector
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.tasks import BinaryCrossEntropy, ManipulationCrossEntropy
from deepfake_mtl.training.checkpoints.last import LastCheckpoint
from tests.worlds import TinyEncoder, loader, trainer

LABELS = [0, 1, 2, 3]  # two steps of an epoch


class Rates(pl.Callback):
    """Options of each group, at each step."""

    def __init__(self) -> None:
        self.rows: dict[int, list[dict[str, Any]]] = {}

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self.rows[trainer.global_step] = [
            {k: v for k, v in group.items() if k != "params"}
            for group in trainer.optimizers[0].param_groups
        ]


class Stepped(Detector):
    """With a schedule that goes from one rate to the next."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=self.learning_rate)
        return [optimizer], [StepLR(optimizer, 1, 0.5)]


class Constant(Detector):
    """Without a schedule, and with another optimizer."""

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(
            self.parameters(),
            lr=self.learning_rate,
            weight_decay=self.optimization.weight_decay,
            momentum=0.9,
        )


def fit(
    folder: Path, resume: Path | None = None, kind: type[Detector] = Detector, **options: Any
) -> tuple[Rates, Detector]:
    torch.manual_seed(0)
    rates = Rates()
    run = trainer(
        folder,
        max_epochs=4 if resume is None else 6,
        enable_checkpointing=True,
        callbacks=[rates, LastCheckpoint()],
    )
    tasks = [BinaryCrossEntropy(), ManipulationCrossEntropy()]
    model = kind(TinyEncoder(), tasks, **{"learning_rate": 0.1, "warmup_steps": 3, **options})
    run.fit(model, loader(LABELS), loader(LABELS), ckpt_path=resume)
    return rates, model


OPTIONS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "rate": {"learning_rate": 0.03},
    "rate of heads": {"head_learning_rate": 0.2},
    "decay": {"weight_decay": 0.5},
    "optimizer": {"optimizer": "adamw", "weight_decay": 0.1},
    "schedule": {"schedule": "constant", "warmup_steps": 0},
    "warm-up": {"warmup_steps": 11},
}


@pytest.mark.parametrize("case", OPTIONS)
def test_the_rest_has_the_options_of_a_whole_training(case: str, tmp_path: Path) -> None:
    """From its first step on, the rates are those of a training that had them from the start."""
    fit(tmp_path / "run")
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    rest, model = fit(tmp_path / "run", last, **OPTIONS[case])
    whole = Rates()
    run = trainer(tmp_path / "whole", max_epochs=6, callbacks=[whole])
    like = {"learning_rate": 0.1, "warmup_steps": 3, **OPTIONS[case]}
    tasks = [BinaryCrossEntropy(), ManipulationCrossEntropy()]
    run.fit(Detector(TinyEncoder(), tasks, **like), loader(LABELS), loader(LABELS))
    assert sorted(rest.rows) == [8, 9, 10, 11]
    for step, groups in rest.rows.items():
        assert groups == whole.rows[step]
    saved = torch.load(last, weights_only=True)
    assert saved["hyper_parameters"]["learning_rate"] == model.learning_rate
    groups = saved["optimizer_states"][0]["param_groups"]
    assert groups[0]["initial_lr"] == model.learning_rate
    assert {group["weight_decay"] for group in groups} == {model.optimization.weight_decay}
    # What was learnt about the gradients is gone on with.
    assert saved["optimizer_states"][0]["state"][0]["step"] == 12


def test_what_changes_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fit(tmp_path)
    last = tmp_path / "checkpoints" / "last.ckpt"
    caplog.clear()
    with caplog.at_level("INFO"):
        fit(tmp_path, last, learning_rate=0.03, weight_decay=0.5)
    assert "Going on with weight_decay 0.5 (was 1e-05), learning_rate 0.03 (was 0.1)" in caplog.text
    caplog.clear()
    with caplog.at_level("INFO"):
        fit(tmp_path, last, learning_rate=0.03, weight_decay=0.5)
    assert "Going on with" not in caplog.text


def test_without_a_schedule(tmp_path: Path) -> None:
    fit(tmp_path, kind=Constant)
    last = tmp_path / "checkpoints" / "last.ckpt"
    rest, _ = fit(tmp_path, last, Constant, learning_rate=0.03, weight_decay=0.5)
    for (group,) in rest.rows.values():
        assert (group["lr"], group["weight_decay"]) == (0.03, 0.5)


SGD, lrs = torch.optim.SGD, torch.optim.lr_scheduler
FIVE = partial(StepLR, step_size=5)


def sequence(first: int, second: int) -> Any:
    return lambda optimizer: lrs.SequentialLR(
        optimizer, [lrs.LinearLR(optimizer, 0.5, 1, first), lrs.StepLR(optimizer, 9)], [second]
    )


ANOTHER: dict[str, tuple[Any, Any, str]] = {
    "steps": (FIVE, partial(StepLR, step_size=9), "step_size of StepLR is 9"),
    "factor": (FIVE, partial(StepLR, step_size=5, gamma=0.5), r"gamma of StepLR is 0\.5"),
    "cosine": (
        partial(lrs.CosineAnnealingLR, T_max=8), partial(lrs.CosineAnnealingLR, T_max=12),
        "T_max of CosineAnnealingLR is 12, but the checkpoint was trained with 8",
    ),
    "milestones": (
        partial(lrs.MultiStepLR, milestones=[3]), partial(lrs.MultiStepLR, milestones=[4]),
        "milestones of MultiStepLR",
    ),
    "one cycle": (
        partial(lrs.OneCycleLR, max_lr=0.1, total_steps=99),
        partial(lrs.OneCycleLR, max_lr=0.1, total_steps=99, pct_start=0.5),
        "schedule_phases of OneCycleLR",
    ),
    "within": (sequence(3, 4), sequence(2, 4), r"total_iters \(0\) of SequentialLR is 2"),
    "between": (sequence(3, 4), sequence(3, 5), "milestones of SequentialLR"),
    "class": (FIVE, partial(lrs.ExponentialLR, gamma=0.1), "has step_size"),
    "to a name": (FIVE, "cosine", "schedule is constant or cosine, but"),
    "of a name": ("cosine", FIVE, "another, which has lr_lambdas"),
}  # fmt: skip


@pytest.mark.parametrize("case", ANOTHER)
def test_another_schedule_is_refused_and_the_same_goes_on(case: str, tmp_path: Path) -> None:
    first, second, message = ANOTHER[case]
    plain = {"warmup_steps": 0, "optimizer": SGD, "weight_decay": 0.0}
    fit(tmp_path, **plain, schedule=first)
    last = tmp_path / "checkpoints" / "last.ckpt"
    with pytest.raises(ConfigurationError, match=message):
        fit(tmp_path, last, **plain, schedule=second)
    rest, _ = fit(tmp_path, last, **plain, schedule=first)
    whole = Rates()
    run = trainer(tmp_path / "whole", max_epochs=6, callbacks=[whole])
    tasks = [BinaryCrossEntropy(), ManipulationCrossEntropy()]
    model = Detector(TinyEncoder(), tasks, learning_rate=0.1, **plain, schedule=first)
    run.fit(model, loader(LABELS), loader(LABELS))
    assert [rest.rows[step] for step in (8, 11)] == [whole.rows[step] for step in (8, 11)]


@pytest.mark.parametrize(
    ("first", "second"), [("adam", SGD), (SGD, "adamw"), (SGD, torch.optim.RMSprop)]
)
def test_another_optimizer_is_refused(first: Any, second: Any, tmp_path: Path) -> None:
    fit(tmp_path, optimizer=first)
    last = tmp_path / "checkpoints" / "last.ckpt"
    with pytest.raises(ConfigurationError, match=r"the optimizer is \w+, but the checkpoint was"):
        fit(tmp_path, last, optimizer=second)


def test_other_groups_of_parameters_are_refused(tmp_path: Path) -> None:
    fit(tmp_path, optimizer=SGD)
    last = tmp_path / "checkpoints" / "last.ckpt"
    with pytest.raises(ConfigurationError, match=r"groups of SGD have \[4, 12\] .* \[16\]: give"):
        fit(tmp_path, last, optimizer=SGD, head_learning_rate=0.2)


class Estimating(SGD):
    """Keeps what it has found beside its options."""

    def __init__(self, params: Any, lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(params, lr, weight_decay=weight_decay)
        for group in self.param_groups:
            group["found"] = 0

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            group["found"] += 1
        return super().step(closure)


def test_what_an_optimizer_has_found_stays(tmp_path: Path) -> None:
    fit(tmp_path, optimizer=Estimating)
    last = tmp_path / "checkpoints" / "last.ckpt"
    rest, _ = fit(tmp_path, last, optimizer=Estimating, weight_decay=0.5)
    assert [group["found"] for group in rest.rows[8]] == [8] * len(rest.rows[8])
    assert {group["weight_decay"] for group in rest.rows[8]} == {0.5}


def test_a_schedule_that_cannot_follow_is_an_error(tmp_path: Path) -> None:
    fit(tmp_path, kind=Stepped)
    last = tmp_path / "checkpoints" / "last.ckpt"
    with pytest.raises(ConfigurationError, match=r"learning_rate is 0\.03, but .* with 0\.1"):
        fit(tmp_path, last, Stepped, learning_rate=0.03)
    rest, _ = fit(tmp_path, last, Stepped)
    assert rest.rows[8][0]["lr"] == 0.1 * 0.5**4
