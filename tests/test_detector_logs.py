"""What a detector logs, returns and keeps, against what plain PyTorch makes of the same batches."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, LearningRateMonitor
from pytorch_lightning.loggers import CSVLogger
from sklearn import metrics as sklearn_metrics
from torch import Tensor, nn
from torch.nn import functional

from deepfake_mtl.detector import Detector
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.losses import FixedWeights
from deepfake_mtl.models import S3D, Encoder
from deepfake_mtl.optimization import monitors
from deepfake_mtl.tasks import (
    BinaryContrast,
    BinaryCrossEntropy,
    ManipulationCrossEntropy,
    MoCoSettings,
)
from deepfake_mtl.training.callbacks import GradientConflictMonitor
from tests.worlds import TinyEncoder, loader, trainer

LABELS = [0, 1, 3]
METRICS = {"accuracy", "balanced_accuracy", "auc"}
PRIMARY = METRICS | {"average_precision", "eer", "accuracy_calibrated"}


def detector(**options: object) -> Detector:
    torch.manual_seed(0)
    tasks = [BinaryCrossEntropy(), ManipulationCrossEntropy()]
    return Detector(**{"encoder": TinyEncoder(), "tasks": tasks, **options})


def whole(labels: list[int], views: int = 1) -> dict[str, Tensor]:
    return next(iter(loader(labels, batch_size=999, views=views)))


def nll(model: Detector, batch: dict[str, Tensor], name: str, label: str) -> Tensor:
    with torch.no_grad():
        return functional.nll_loss(model(batch["clip"])[name].log(), batch[label])


def test_a_step_logs_the_losses_of_the_tasks_and_their_weighted_sum(tmp_path: Path) -> None:
    tasks = [BinaryCrossEntropy(weight=0.5), ManipulationCrossEntropy(weight=2.0)]
    model, batch = detector(tasks=tasks), whole(LABELS)
    twin = copy.deepcopy(model)
    seen: dict[str, Tensor] = {}
    model.loss_observers.append(seen.update)
    run = trainer(tmp_path)
    run.fit(model, loader(LABELS, batch_size=6), None)
    losses = {
        name: nll(twin, batch, name, label)
        for name, label in (("binary", "is_fake"), ("manipulation", "manipulation"))
    }
    with torch.no_grad():
        right = {
            f"train/{task.name}/accuracy": (
                (twin(batch["clip"])[task.name].argmax(dim=1) == batch[task.label]).float().mean()
            )
            for task in tasks
        }
    expected = {
        "train/loss": 0.5 * losses["binary"] + 2 * losses["manipulation"],
        **{f"train/{name}/loss": loss for name, loss in losses.items()},
        **right,
    }
    torch.testing.assert_close(dict(run.callback_metrics), expected)
    assert set(run.progress_bar_metrics) == {"train/loss", *right}
    weighted = {"binary": 0.5 * losses["binary"], "manipulation": 2 * losses["manipulation"]}
    torch.testing.assert_close({name: loss.detach() for name, loss in seen.items()}, weighted)


def test_a_step_of_contrast_logs_the_loss_of_the_probe_apart(tmp_path: Path) -> None:
    model = detector(tasks=[BinaryContrast()], moco=MoCoSettings(dim=4, queue_size=8))
    batch, twin = whole(LABELS, views=2), copy.deepcopy(model)
    run = trainer(tmp_path)
    run.fit(model, loader(LABELS, batch_size=6, views=2), None)
    logged = run.callback_metrics
    torch.testing.assert_close(
        logged["train/binary/probe_loss"], nll(twin, batch, "binary", "is_fake")
    )
    # The queue is empty: there is nothing to tell the own key from.
    assert logged["train/loss"] == logged["train/binary/loss"] == 0
    assert logged["train/binary/nearest_key_accuracy"].isnan()
    assert set(logged) == {
        "train/loss",
        *(f"train/binary/{name}" for name in ("loss", "probe_loss", "accuracy")),
        "train/binary/nearest_key_accuracy",
    }


def test_learnt_weights_of_losses_are_logged(tmp_path: Path) -> None:
    model = detector(balance="uncertainty")
    with torch.no_grad():
        model.balance.log_variance.copy_(torch.tensor([2.0, 0.5]).log())
    run = trainer(tmp_path)
    run.fit(model, loader(LABELS, batch_size=6), None)
    assert run.callback_metrics["train/binary/weight"] == pytest.approx(0.5)
    assert run.callback_metrics["train/manipulation/weight"] == pytest.approx(2)


def test_validation_logs_losses_of_clips_and_metrics_of_videos(tmp_path: Path) -> None:
    labels = [0, 1, 3, 0, 2]
    model, batch = detector(), whole(labels)
    run = trainer(tmp_path)
    (figures,) = run.validate(model, loader(labels), verbose=False)  # the last batch is of two
    assert set(figures) == {
        "val/binary/loss",
        "val/manipulation/loss",
        *(f"val/{name}" for name in PRIMARY),
        *(f"val/manipulation/{name}" for name in METRICS),
    }
    for name, label in (("binary", "is_fake"), ("manipulation", "manipulation")):
        assert figures[f"val/{name}/loss"] == pytest.approx(
            float(nll(model, batch, name, label)), rel=1e-5
        )
    assert set(run.progress_bar_metrics) == {"val/auc"}
    with torch.no_grad():
        outputs = model(batch["clip"])
    truth = [label > 0 for label in labels]
    for place, name in (("val", "binary"), ("val/manipulation", "manipulation")):
        scores = (1 - outputs[name].double()[:, 0]).view(-1, 2).mean(dim=1)
        assert figures[f"{place}/auc"] == pytest.approx(
            sklearn_metrics.roc_auc_score(truth, scores), abs=1e-6
        )
        assert figures[f"{place}/accuracy"] == pytest.approx(
            sklearn_metrics.accuracy_score(truth, scores >= 0.5), abs=1e-6
        )


def test_tables_are_of_one_run_each(tmp_path: Path) -> None:
    model = detector()
    run = trainer(tmp_path)
    for labels in ([0, 1, 0, 2], [1, 0]):
        with torch.no_grad():
            model.eval()
            expected = model(whole(labels)["clip"])
        outputs = run.predict(model, loader(labels))
        assert outputs is not None
        together = {name: torch.cat([each[name] for each in outputs]) for name in outputs[0]}
        assert together["video"].tolist() == [v for v in range(len(labels)) for _ in range(2)]
        assert together["clip_index"].tolist() == [0, 1] * len(labels)
        for name, probabilities in expected.items():
            torch.testing.assert_close(together[name], probabilities)
        run.test(model, loader(labels), verbose=False)
        scores = expected["binary"][:, 1].double().view(-1, 2).mean(dim=1)
        for table in (model.predict_table, model.test_table):
            assert table is not None
            assert table.label.tolist() == labels
            torch.testing.assert_close(table.scores, scores, rtol=0, atol=1e-6)
        run.validate(model, loader(labels), verbose=False)
        assert len(model.val_scores.compute()) == 0


def test_validation_calibrates_by_its_own_videos_and_keeps_a_threshold_it_cannot_find(
    tmp_path: Path,
) -> None:
    model = detector()
    run = trainer(tmp_path)
    run.validate(model, loader([0, 1, 0, 2]), verbose=False)
    first = float(model.threshold)
    assert 0 < first < 1
    run.validate(model, loader([0, 0]), verbose=False)
    assert float(model.threshold) == first
    fresh = detector()
    run.validate(fresh, loader([3, 0, 0, 0, 2, 1]), verbose=False)
    run.validate(model, loader([3, 0, 0, 0, 2, 1]), verbose=False)
    assert float(model.threshold) == float(fresh.threshold)


def test_what_a_detector_is_unless_told_otherwise(tmp_path: Path) -> None:
    model = Detector()
    assert isinstance(model.network.encoder, S3D)
    assert model.network.column_names == ("score", "binary/real", "binary/fake")
    assert float(model.threshold) == 0.5
    assert model.held_out == ()
    plain = Detector(TinyEncoder(), warmup_steps=0, weight_decay=1e-5)
    run = trainer(tmp_path)
    run.fit(plain, loader([0, 1]), None)
    (optimizer,) = run.optimizers
    assert type(optimizer) is torch.optim.Adam
    assert {group["initial_lr"] for group in optimizer.param_groups} == {1e-3}
    assert optimizer.param_groups[0]["weight_decay"] == 1e-5
    assert {group["lr"] for group in optimizer.param_groups} == {0.0}  # the end of the cosine
    assert Detector(TinyEncoder(), weight_decay=0.0).optimization.weight_decay == 0


def test_hyper_parameters_are_plain_values_of_what_is_given_by_name() -> None:
    made = {"optimizer": torch.optim.SGD, "schedule": torch.optim.lr_scheduler.StepLR}
    model = detector(**made, balance=FixedWeights(), weight_decay=0.5, separate_encoders=True)
    kept = dict(model.hparams)
    assert not kept.keys() & {"encoder", "tasks", "moco", "balance", *made}
    assert (kept["weight_decay"], kept["separate_encoders"]) == (0.5, True)
    named = dict(detector(balance="uncertainty", optimizer="adamw").hparams)
    assert (named["optimizer"], named["schedule"]) == ("adamw", "cosine")
    assert named["balance"] == "uncertainty"
    assert not named.keys() & {"encoder", "tasks", "moco"}
    for value in (*kept.values(), *named.values()):
        assert isinstance(value, str | int | float | bool | None)


@pytest.mark.parametrize(
    ("monitor", "logged"),
    [
        ("val/auc", True),
        ("val/binary/loss", True),
        ("val/manipulation/auc", True),
        ("train/loss", True),
        ("train/manipulation/accuracy", True),
        ("val/loss", False),
        ("val/scene/loss", False),
        ("val/binary/accuracy", False),
        ("train/auc", False),
        ("train/binary/weight", False),
        ("train/binary/probe_loss", False),
        # Of callbacks that are not there.
        ("conflict/low/binary-manipulation/cosine", False),
        ("lr-Adam/pg1", False),
    ],
)
def test_what_a_detector_logs_may_be_monitored(monitor: str, logged: bool, tmp_path: Path) -> None:
    stopping = EarlyStopping(monitor, strict=False)
    run = trainer(tmp_path, callbacks=[stopping], limit_train_batches=1)
    if logged:
        run.fit(detector(), loader([0, 1]), loader([0, 1]))
    else:
        with pytest.raises(ConfigurationError, match=f"monitors '{monitor}', which is not logged"):
            run.fit(detector(), loader([0, 1]), loader([0, 1]))
        assert run.global_step == 0


SAMPLES: dict[str, Callable[[], Detector]] = {
    "cross-entropy": detector,
    "one task": lambda: detector(tasks=[ManipulationCrossEntropy()]),
    "contrast": lambda: detector(
        tasks=[BinaryContrast(), ManipulationCrossEntropy()], moco=MoCoSettings(dim=4, queue_size=8)
    ),
    "separate": lambda: detector(separate_encoders=True),
    "uncertainty": lambda: detector(balance="uncertainty"),
    "no schedule": lambda: detector(optimizer=torch.optim.SGD, schedule="constant"),
}


class Asks(EarlyStopping):
    """Takes note of the names that may be monitored."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__("no such thing")
        self.known: set[str] = set()
        monkeypatch.setattr(monitors, "get_close_matches", self.take)

    def take(self, _: str, known: list[str], __: int) -> list[str]:
        self.known = set(known)
        return []


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("observed", [True, False])
def test_what_may_be_monitored_is_what_is_logged(
    sample: str, observed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    callbacks: list[pl.Callback] = []
    if observed:
        callbacks = [GradientConflictMonitor(1), LearningRateMonitor("step", log_momentum=True)]
    run = trainer(tmp_path, callbacks=callbacks, log_every_n_steps=1)
    run._loggers = [CSVLogger(tmp_path)] if observed else []
    data = [loader([0, 1, 3, 0], views=2), loader([0, 1, 3, 0])]
    run.fit(SAMPLES[sample](), *data)
    logged = set(run.callback_metrics)
    asks = Asks(monkeypatch)
    asks.__class__.__module__ = "deepfake_mtl"
    other = trainer(tmp_path, callbacks=[*callbacks, asks], log_every_n_steps=1)
    other._loggers = run._loggers
    with pytest.raises(ConfigurationError, match="'no such thing', which is not logged"):
        other.fit(SAMPLES[sample](), *data)
    assert other.global_step == 0
    assert asks.known == logged | {"epoch", "step"}
    assert any(name.startswith("lr-") for name in logged) == observed


class Further(ManipulationCrossEntropy):
    """Logs a metric of its own, without a word about it."""

    def validation_metrics(self, features: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {**super().validation_metrics(features, labels), "f1": features.mean()}


class Declared(Further):
    """With a word about it."""

    logged = (*ManipulationCrossEntropy.logged, "val/f1")


def test_metrics_of_tasks_of_ones_own_may_be_monitored(tmp_path: Path) -> None:
    assert (Further.logged, type("Same", (Declared,), {}).logged) == (None, Declared.logged)
    for kind, monitor, known in (
        (Further, "val/manipulation/f1", True),
        (Further, "val/manipulation/f2", True),  # shows after the first validation
        (Further, "val/f1", False),
        (Declared, "val/manipulation/f1", True),
        (Declared, "val/manipulation/f2", False),
    ):
        stopping = EarlyStopping(monitor, strict=False)
        run = trainer(tmp_path, callbacks=[stopping], limit_train_batches=1)
        model = detector(tasks=[BinaryCrossEntropy(), kind()])
        if known:
            run.fit(model, loader([0, 1]), loader([0, 1]))
        else:
            with pytest.raises(ConfigurationError, match=f"monitors '{monitor}', which is not"):
                run.fit(model, loader([0, 1]), loader([0, 1]))
        assert run.global_step == known


@pytest.mark.parametrize(
    "options",
    [
        {"learning_rate": -1.0},
        {"head_learning_rate": 0.0},
        {"weight_decay": -1e-9},
        {"warmup_steps": -1},
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, float]) -> None:
    ((name, value),) = options.items()
    with pytest.raises(ConfigurationError, match=rf"{name}(?: is)? {value}"):
        detector(**options)


@pytest.mark.parametrize("compiled", [True, False])
def test_encoders_are_compiled_in_place_where_asked_for(
    compiled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[nn.Module] = []
    monkeypatch.setattr(Encoder, "compile", lambda self: found.append(self))  # noqa: PLW0108 (a method)
    tasks = [BinaryContrast(), ManipulationCrossEntropy()]
    model = detector(tasks=tasks, compile_encoder=compiled, separate_encoders=True)
    run = trainer(tmp_path)
    run.fit(model, loader(LABELS, views=2), None)
    run.test(model, loader(LABELS), verbose=False)
    encoders = [
        model.network.encoder,
        *(each.module for each in model.key_encoders.values()),
        *model.network.other_encoders.values(),
    ]
    assert len(encoders) == 3
    assert {id(each) for each in found} == ({id(each) for each in encoders} if compiled else set())
    assert len(found) == (3 if compiled else 0)
