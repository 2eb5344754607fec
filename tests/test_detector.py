import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from sklearn import metrics as sklearn_metrics
from torch import Tensor
from torch.nn import functional

from deepfake_mtl.data.records import MANIPULATION_CLASSES
from deepfake_mtl.detector import Detector
from deepfake_mtl.errors import ConfigurationError
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
    probabilities = task.readouts(features)["binary"]
    weights = torch.tensor([1.0, 3.0])
    expected = functional.nll_loss(probabilities.log(), batch["is_fake"], weights)
    torch.testing.assert_close(task.learn(Features(features), batch["is_fake"]).loss, expected)
    with pytest.raises(ConfigurationError, match="3 entries, but there are 2 classes: real, fake"):
        BinaryCrossEntropy(class_weights=[1.0, 1.0, 1.0])


def test_figures_are_of_videos_and_agree_with_scikit_learn(tmp_path: Path) -> None:
    labels = [0, 1, 2, 3, 4] * 6
    model = detector(held_out="FaceSwap")
    run = trainer(tmp_path, max_epochs=3)
    run.fit(model, loader(labels, shuffle=True), loader(labels))
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
    assert len(model.output_names) == model.test_table.outputs.shape[1] == 1 + 2 + 5


def test_a_figure_of_one_class_alone_is_nan_in_logs(tmp_path: Path) -> None:
    (figures,) = trainer(tmp_path).test(detector(), loader([1, 1, 2]), verbose=False)
    assert math.isnan(figures["test/seen/auc"])
    assert not math.isnan(figures["test/seen/accuracy"])


def test_a_detector_of_manipulations_alone_scores_by_the_class_original(tmp_path: Path) -> None:
    model = detector(tasks=[ManipulationCrossEntropy()])
    trainer(tmp_path).test(model, loader([0, 1, 2]), verbose=False)
    table = model.test_table
    assert table is not None
    column = model.output_names.index(f"manipulation/{MANIPULATION_CLASSES[0]}")
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
    assert {rates[id(p)] for p in model.encoder.parameters()} == {0.1}
    assert {rates[id(p)] for p in model.tasks.parameters()} == {0.02}


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
