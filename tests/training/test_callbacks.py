"""Conflict of the tasks' gradients, measured in the middle of a training."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import MixedPrecision
from torch import Tensor, nn

from deepfake_mtl.detector import Detector
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.tasks import BinaryCrossEntropy, ManipulationContrast, ManipulationCrossEntropy
from deepfake_mtl.training.callbacks import GradientConflictMonitor
from tests.worlds import Clips, TinyEncoder, loader, trainer

LABELS = [0, 1, 0, 2, 3, 0, 4, 1]
PLACE = ("binary", "manipulation")


def detector(**options: object) -> Detector:
    torch.manual_seed(0)
    tasks = [
        BinaryCrossEntropy(weight=0.5, hidden_features=8),
        ManipulationCrossEntropy(hidden_features=8),
    ]
    return Detector(
        TinyEncoder(), tasks, **{"learning_rate": 0.05, "schedule": "constant", **options}
    )


class Weights(pl.Callback):
    """The weights that each step of the optimizer began with."""

    def __init__(self) -> None:
        self.at: dict[int, dict[str, Tensor]] = {}

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Detector, *_: object) -> None:
        state = {name: value.clone() for name, value in pl_module.state_dict().items()}
        self.at.setdefault(trainer.global_step, state)


def truth(state: dict[str, Tensor], indices: range) -> dict[str, tuple[float, float]]:
    """Cosine and ratio of norms on each stage, by one backward pass a task in float64."""
    model = detector()
    model.load_state_dict(state)
    model.double()
    samples = [Clips(LABELS)[index] for index in indices]
    probabilities = model(torch.stack([sample["clip"] for sample in samples]))
    gradients: dict[str, list[Tensor]] = {}
    for task, label, weight in zip(PLACE, ("is_fake", "manipulation"), (0.5, 1.0), strict=True):
        labels = torch.tensor([sample[label] for sample in samples])
        loss = weight * nn.functional.nll_loss(probabilities[task].log(), labels)
        gradients[task] = [
            torch.cat([g.flatten() for g in torch.autograd.grad(loss, stage, retain_graph=True)])
            for stage in model.network.encoder.stages().values()
        ]
    return {
        name: (
            float(torch.cosine_similarity(first, second, dim=0)),
            float(first.norm() / second.norm()),
        )
        for name, first, second in zip(
            model.network.encoder.stages(), *(gradients[task] for task in PLACE), strict=True
        )
    }


def scaled_half() -> MixedPrecision:
    """Float16 with a gradient scaler, which Lightning offers on GPUs only by name."""
    return MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=2.0**12))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("micro_batches", [1, 2])
def test_it_measures_whole_steps_of_the_optimizer(
    micro_batches: int, precision: str, tmp_path: Path
) -> None:
    monitor, spy = GradientConflictMonitor(every_n_steps=2), Weights()
    how = {"plugins": scaled_half()} if precision == "16-mixed" else {"precision": precision}
    run = trainer(
        tmp_path,
        max_epochs=2,
        accumulate_grad_batches=micro_batches,
        callbacks=[spy, monitor],
        **how,
    )
    run.fit(detector(), loader(LABELS, 16 // (2 * micro_batches)))
    steps = 4
    assert run.global_step == steps
    assert [row["step"] for row in monitor.rows] == [0, 0, 2, 2]
    assert [row["group"] for row in monitor.rows] == ["low", "high", "low", "high"]
    tolerance = 1e-5 if precision == "32-true" else 5e-2
    for row in monitor.rows:
        assert row["tasks"] == list(PLACE)
        begin = 8 * (row["step"] % 2)
        cosine, ratio = truth(spy.at[row["step"]], range(begin, begin + 8))[row["group"]]
        assert row["cosine"] == pytest.approx(cosine, abs=tolerance)
        assert row["norm_ratio"] == pytest.approx(ratio, rel=tolerance)
    assert f"conflict/low/{'-'.join(PLACE)}/cosine" in run.logged_metrics


def test_measuring_changes_nothing_and_ends_with_the_training(tmp_path: Path) -> None:
    ends = []
    for every in (0, 1):
        model, monitor = detector(), GradientConflictMonitor(every_n_steps=every)
        trainer(tmp_path, callbacks=[monitor]).fit(model, loader(LABELS))
        assert model.loss_observers == []
        assert bool(monitor.rows) == bool(every)
        ends.append(list(model.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_what_was_measured_travels_in_the_checkpoint(tmp_path: Path) -> None:
    monitor = GradientConflictMonitor(every_n_steps=1)
    run = trainer(tmp_path, callbacks=[monitor])
    run.fit(detector(), loader(LABELS))
    run.save_checkpoint(tmp_path / "a.ckpt")
    before = list(monitor.rows)
    again = GradientConflictMonitor(every_n_steps=1)
    more = trainer(tmp_path, max_epochs=2, callbacks=[again])
    more.fit(detector(), loader(LABELS), ckpt_path=tmp_path / "a.ckpt")
    assert again.rows[: len(before)] == before
    assert [row["step"] for row in again.rows[::2]] == list(range(8))
    tested = GradientConflictMonitor()
    testing = trainer(tmp_path, callbacks=[tested])
    testing.test(detector(), loader(LABELS), ckpt_path=tmp_path / "a.ckpt", verbose=False)
    assert tested.rows == before


@pytest.mark.parametrize("kind", ["one task", "separate encoders"])
def test_without_shared_parameters_there_is_nothing_to_measure(kind: str, tmp_path: Path) -> None:
    monitor = GradientConflictMonitor(every_n_steps=1)
    model = (
        Detector(TinyEncoder(), [BinaryCrossEntropy()])
        if kind == "one task"
        else detector(separate_encoders=True)
    )
    trainer(tmp_path, callbacks=[monitor]).fit(model, loader(LABELS))
    assert monitor.rows == []


def test_contrast_without_negatives_is_a_gap(tmp_path: Path) -> None:
    """The first step of a contrastive task has an empty queue, and a gradient of zero."""
    monitor = GradientConflictMonitor(every_n_steps=1)
    model = Detector(TinyEncoder(), [BinaryCrossEntropy(), ManipulationContrast()])
    trainer(tmp_path, callbacks=[monitor]).fit(model, loader(LABELS, views=2))
    assert [row["cosine"] is None for row in monitor.rows[:4]] == [True, True, False, False]


def test_under_gradient_surgery(tmp_path: Path) -> None:
    pytest.importorskip("torchjd")
    monitor, spy = GradientConflictMonitor(every_n_steps=3), Weights()
    run = trainer(tmp_path, callbacks=[spy, monitor])
    run.fit(detector(balance="pcgrad"), loader(LABELS))
    assert [row["step"] for row in monitor.rows] == [0, 0, 3, 3]
    for row in monitor.rows:
        cosine, _ = truth(spy.at[row["step"]], range(4 * row["step"], 4 * row["step"] + 4))[
            row["group"]
        ]
        assert row["cosine"] == pytest.approx(cosine, abs=1e-5)


@pytest.mark.parametrize("balance", ["fixed", "upgrad"])
def test_a_gradient_scaler_changes_nothing_but_rounding(balance: str, tmp_path: Path) -> None:
    pytest.importorskip("torchjd")
    ends = []
    for how in ({}, {"plugins": scaled_half()}):
        model = Detector(
            TinyEncoder(),
            [BinaryCrossEntropy(hidden_features=8), ManipulationContrast(hidden_features=8)],
            balance=balance,
            schedule="constant",
        )
        model.load_state_dict(ends[0][0] if ends else model.state_dict())
        start = {name: value.clone() for name, value in model.state_dict().items()}
        run = trainer(tmp_path, max_epochs=2, **how)
        run.fit(model, loader(LABELS, views=2))
        assert run.global_step == 8
        ends.append((start, model))
    (start, plain), (_, scaled) = ends
    for name, value in plain.network.encoder.named_parameters():
        moved = value - start[f"network.encoder.{name}"]
        other = (
            dict(scaled.network.encoder.named_parameters())[name] - start[f"network.encoder.{name}"]
        )
        assert torch.cosine_similarity(moved.flatten(), other.flatten(), dim=0) > 0.98, name
        assert float(moved.norm() / other.norm()) == pytest.approx(1, abs=0.1)


def test_a_negative_number_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="must not be negative"):
        GradientConflictMonitor(-1)
