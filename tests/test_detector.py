import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.tuner import Tuner
from sklearn import metrics as sklearn_metrics
from torch import Tensor
from torch.nn import functional

from deepfake_mtl.data.protocol import TEST_SETS
from deepfake_mtl.data.records import MANIPULATION_CLASSES, OTHER_MANIPULATION
from deepfake_mtl.detector import Detector
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.evaluation import evaluate
from deepfake_mtl.tasks import BinaryCrossEntropy, Features, ManipulationCrossEntropy, MoCoSettings
from tests.worlds import TinyEncoder, loader, trainer


def detector(**options: object) -> Detector:
    torch.manual_seed(0)
    tasks = [BinaryCrossEntropy(weight=0.5), ManipulationCrossEntropy(weight=2.0)]
    return Detector(**{"encoder": TinyEncoder(), "tasks": tasks, **options})


@pytest.fixture
def batch() -> Iterator[dict[str, Tensor]]:
    return next(iter(loader([0, 1, 3, 0])))


def test_the_loss_is_the_weighted_sum_over_the_tasks(batch: dict[str, Tensor]) -> None:
    model = detector()
    model.trainer = pl.Trainer(logger=False, accelerator="cpu", enable_checkpointing=False)
    model.log = lambda *_, **__: None
    outputs = model(batch["clip"])
    expected = 0.5 * functional.nll_loss(
        outputs["binary"].log(), batch["is_fake"]
    ) + 2.0 * functional.nll_loss(outputs["manipulation"].log(), batch["manipulation"])
    torch.testing.assert_close(model.training_step(batch, 0), expected)


def test_class_weights_reach_the_loss(batch: dict[str, Tensor]) -> None:
    task = BinaryCrossEntropy(class_weights=[1.0, 3.0])
    task.build(4, MoCoSettings())
    features = torch.randn(len(batch["is_fake"]), 4)
    probabilities = task.predict(features)["binary"]
    weights = torch.tensor([1.0, 3.0])
    expected = functional.nll_loss(probabilities.log(), batch["is_fake"], weights)
    torch.testing.assert_close(task.learn(Features(features), batch["is_fake"]).loss, expected)
    with pytest.raises(ConfigurationError, match="3 entries, but there are 2 classes: real, fake"):
        BinaryCrossEntropy(class_weights=[1.0, 1.0, 1.0])


def test_figures_are_of_videos_and_agree_with_scikit_learn(tmp_path: Path) -> None:
    labels = [0, 1, 2, 3, 4] * 6
    model = detector(held_out="FaceSwap")
    run = trainer(tmp_path, max_epochs=3)
    seen = [label for label in labels if label != 3]
    run.fit(model, loader(seen, shuffle=True), loader(seen))
    assert 0 < float(model.threshold) < 1
    (figures,) = run.test(model, loader(labels), verbose=False)

    with torch.no_grad():
        model.eval()
        whole = next(iter(loader(labels, batch_size=999)))
        scores = model(whole["clip"])["binary"].double()[:, 1].view(-1, 2).mean(dim=1)
    videos = torch.tensor(labels)
    for name, methods in (("held_out", [0, 3]), ("seen", [0, 1, 2, 4])):
        rows = torch.isin(videos, torch.tensor(methods))
        truth, score = (videos[rows] > 0).numpy(), scores[rows].numpy()
        assert figures[f"test/{name}/auc"] == pytest.approx(
            sklearn_metrics.roc_auc_score(truth, score), abs=1e-6
        )
        assert figures[f"test/{name}/balanced_accuracy"] == pytest.approx(
            sklearn_metrics.balanced_accuracy_score(truth, score >= 0.5), abs=1e-6
        )
        assert figures[f"test/{name}/accuracy_calibrated"] == pytest.approx(
            sklearn_metrics.accuracy_score(truth, score >= float(model.threshold)), abs=1e-6
        )
    assert model.test_table is not None
    torch.testing.assert_close(model.test_table.scores, scores, atol=1e-6, rtol=0)
    assert len(model.network.column_names) == model.test_table.outputs.shape[1] == 1 + 2 + 5


def test_a_figure_of_one_class_alone_is_nan_in_logs(tmp_path: Path) -> None:
    (figures,) = trainer(tmp_path).test(detector(), loader([1, 1, 2]), verbose=False)
    assert math.isnan(figures["test/seen/auc"])
    assert not math.isnan(figures["test/seen/accuracy"])


def test_a_detector_of_manipulations_alone_scores_by_the_class_original(tmp_path: Path) -> None:
    model = detector(tasks=[ManipulationCrossEntropy()])
    trainer(tmp_path).test(model, loader([0, 1, 2]), verbose=False)
    table = model.test_table
    assert table is not None
    column = model.network.column_names.index(f"manipulation/{MANIPULATION_CLASSES[0]}")
    torch.testing.assert_close(table.scores, 1 - table.outputs[:, column], atol=1e-6, rtol=0)


def test_warm_up_and_cosine(tmp_path: Path) -> None:
    rates: list[float] = []

    class Rates(pl.Callback):
        def on_train_batch_start(self, trainer: pl.Trainer, *_: object) -> None:
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    model = detector(optimizer="adamw", learning_rate=0.1, warmup_steps=4, schedule="cosine")
    run = trainer(tmp_path, max_epochs=2, callbacks=[Rates()])
    run.fit(model, loader([0, 1] * 8, batch_size=4), None)
    assert rates[:5] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])
    assert rates[10] == pytest.approx(0.05)  # half-way between steps 4 and 16
    assert rates == sorted(rates[:5]) + sorted(rates[5:], reverse=True)
    assert isinstance(run.optimizers[0], torch.optim.AdamW)


def test_heads_have_a_learning_rate_of_their_own(tmp_path: Path) -> None:
    model = detector(learning_rate=0.1, head_learning_rate=0.02, schedule="constant")
    run = trainer(tmp_path)
    run.fit(model, loader([0, 1]), None)
    rates = {
        id(p): group["lr"] for group in run.optimizers[0].param_groups for p in group["params"]
    }
    assert len(rates) == len(list(model.parameters()))
    assert {rates[id(p)] for p in model.network.encoder.parameters()} == {0.1}
    assert {rates[id(p)] for p in model.network.tasks.parameters()} == {0.02}


def test_an_endless_cosine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="needs an end"):
        trainer(tmp_path, max_epochs=-1).fit(detector(), loader([0, 1]), None)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="stand once"):
        detector(tasks=[BinaryCrossEntropy(), BinaryCrossEntropy()])
    with pytest.raises(ConfigurationError, match="learning_rate is 0"):
        detector(learning_rate=0)
    with pytest.raises(ConfigurationError, match="must not be negative"):
        BinaryCrossEntropy(weight=-1)


def rates_of(run: pl.Trainer, model: Detector) -> tuple[set[float], set[float]]:
    """Return the learning rates of the encoder and of the heads."""
    rates = {
        id(p): group["lr"] for group in run.optimizers[0].param_groups for p in group["params"]
    }
    return (
        {rates[id(p)] for p in model.network.encoder.parameters()},
        {rates[id(p)] for p in model.network.tasks.parameters()},
    )


@pytest.mark.parametrize("own", [None, 0.02])
def test_heads_follow_a_learning_rate_that_changes_unless_they_have_their_own(
    own: float | None, tmp_path: Path
) -> None:
    model = detector(learning_rate=0.1, head_learning_rate=own, schedule="constant")
    run = trainer(tmp_path)
    run.fit(model, loader([0, 1]), None)
    run.save_checkpoint(tmp_path / "first.ckpt")
    parts = {"encoder": TinyEncoder(), "tasks": [BinaryCrossEntropy(), ManipulationCrossEntropy()]}
    again = Detector.load_from_checkpoint(tmp_path / "first.ckpt", learning_rate=0.3, **parts)
    later = trainer(tmp_path)
    later.fit(again, loader([0, 1]), None)
    assert rates_of(later, again) == ({0.3}, {own or 0.3})


def test_a_learning_rate_that_is_found_is_that_of_all(tmp_path: Path) -> None:
    model = detector(schedule="constant")
    run = trainer(tmp_path, enable_checkpointing=True, max_epochs=20)
    data = loader([0, 1] * 8)
    found = Tuner(run).lr_find(model, data, num_training=30, early_stop_threshold=None)
    assert found is not None
    later = trainer(tmp_path)
    later.fit(model, data, None)
    assert model.learning_rate == found.suggestion() != 1e-3
    assert rates_of(later, model) == ({model.learning_rate}, {model.learning_rate})


def test_learnt_weights_of_losses_do_not_decay(tmp_path: Path) -> None:
    """With a weight decay that outdoes every gradient, all else goes to zero."""
    tasks = [BinaryCrossEntropy(), ManipulationCrossEntropy()]
    model = detector(balance="uncertainty", tasks=tasks, weight_decay=0.25, optimizer="adamw")
    with torch.no_grad():
        model.balance.log_variance.fill_(3.0)
    run = trainer(tmp_path, max_epochs=10)
    run.fit(model, loader([0, 1] * 4), None)
    decays = {
        id(p): group["weight_decay"]
        for group in run.optimizers[0].param_groups
        for p in group["params"]
    }
    learnt = {id(p) for p in model.balance.parameters()}
    assert len(learnt) == 1
    assert {decays[p] for p in learnt} == {0.0}
    assert {decay for p, decay in decays.items() if p not in learnt} == {0.25}


class Thresholds(pl.Callback):
    """Notes the threshold when training begins, and how far any could go in each validation."""

    def __init__(self) -> None:
        self.at_start: float | None = None
        self.best: list[float] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        self.at_start = float(pl_module.threshold)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        table = pl_module.val_scores.compute()
        self.best.append(best_accuracy(table.fake.tolist(), table.scores.tolist()))


def best_accuracy(fake: list[bool], scores: list[float]) -> float:
    """Return the balanced accuracy of the best of all thresholds, by trying them."""
    return max(
        sklearn_metrics.balanced_accuracy_score(fake, [score >= cut for score in scores])
        for cut in scores
    )


def test_the_threshold_is_calibrated_by_validation_and_kept(tmp_path: Path) -> None:
    labels = [0, 1, 2, 3, 4] * 3
    model, noted = detector(learning_rate=0.05), Thresholds()
    run = trainer(tmp_path, max_epochs=2, num_sanity_val_steps=-1, callbacks=[noted])
    run.fit(model, loader(labels, shuffle=True), loader(labels))
    # The sanity check saw all videos, and left the threshold alone.
    assert len(noted.best) == 3
    assert noted.at_start == 0.5
    run.save_checkpoint(tmp_path / "trained.ckpt")
    saved = torch.load(tmp_path / "trained.ckpt", weights_only=True)["state_dict"]["threshold"]
    assert float(saved) not in (0.0, 0.5, 1.0)
    trainer(tmp_path).test(model, loader(labels), verbose=False)
    table = model.test_table
    assert table is not None
    reached = sklearn_metrics.balanced_accuracy_score(table.fake, table.scores >= float(saved))
    assert reached == pytest.approx(noted.best[-1])
    assert reached > sklearn_metrics.balanced_accuracy_score(table.fake, table.scores >= 0.5)


def test_what_nobody_trains_on_is_not_seen(tmp_path: Path) -> None:
    """Of manipulations without a class, as of other corpora, beside the one that is held out."""
    labels = [0, 1, 2, 3, 4, OTHER_MANIPULATION] * 4
    model = detector(held_out="FaceSwap")
    run = trainer(tmp_path, max_epochs=3)
    run.fit(model, loader([0, 1, 2, 4] * 6, shuffle=True), None)
    (figures,) = run.test(model, loader(labels), verbose=False)
    table = model.test_table
    assert table is not None
    truth = {"held_out": [0, 3, OTHER_MANIPULATION], "seen": [0, 1, 2, 4]}
    for name, methods in truth.items():
        rows = torch.isin(torch.tensor(labels), torch.tensor(methods))
        assert figures[f"test/{name}/average_precision"] == pytest.approx(
            sklearn_metrics.average_precision_score(table.fake[rows], table.scores[rows]), abs=1e-6
        )


def test_what_is_logged_of_a_test_is_what_is_kept_of_it(tmp_path: Path) -> None:
    model = detector(held_out="FaceSwap")
    labels = [0, 1, 2, 3, 4, OTHER_MANIPULATION] * 3
    (logged,) = trainer(tmp_path).test(model, loader(labels), verbose=False)
    kept = model.test_metrics
    assert kept is not None
    assert kept == evaluate(model.test_predictions, ("FaceSwap",), float(model.threshold))
    expected = {}
    for of in TEST_SETS:
        for name in ("accuracy", "balanced_accuracy", "auc"):
            expected[f"test/{of}/{name}"] = kept[of][name]
            expected[f"test/{of}/manipulation/{name}"] = kept["readouts"]["manipulation"][of][name]
        for name in ("average_precision", "eer", "accuracy_calibrated"):
            expected[f"test/{of}/{name}"] = kept[of][name]
    assert logged == pytest.approx(expected)
    # Loaders of other makes know labels only.
    methods = [*MANIPULATION_CLASSES, "other"] * 3
    assert [each.method for each in model.test_predictions] == methods
    assert kept["recall"]["other"]["held_out"]


def test_a_test_with_nothing_held_out_has_no_held_out_metrics(tmp_path: Path) -> None:
    model = detector(held_out="none")
    (logged,) = trainer(tmp_path).test(model, loader([0, 1, 2]), verbose=False)
    assert model.test_metrics["held_out"] is None
    assert math.isnan(logged["test/held_out/accuracy"])
    assert logged["test/seen/accuracy"] == pytest.approx(model.test_metrics["seen"]["accuracy"])
