"""What version 0.1.0 of 25 November 2026 wrote, whose detector had no network of its own.

`tests/fixtures/averaged` holds a checkpoint of a training of two epochs with averaged weights, the
folder that was exported from it, and what both gave for the clips below.
"""

import json
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from deepfake_mtl.cli import main
from deepfake_mtl.detector import Detector
from deepfake_mtl.inference.loading import load_detector
from deepfake_mtl.network import MultiTaskNetwork
from tests.worlds import TINY, TinyEncoder

OLDER = Path(__file__).parents[1] / "fixtures" / "averaged"
CHECKPOINT = OLDER / "detector.ckpt"
SCORES = json.loads((OLDER / "scores.json").read_text())
TASKS = [
    {"class_path": "BinaryContrast", "init_args": {"hidden_features": 6}},
    {"class_path": "ManipulationCrossEntropy", "init_args": {"hidden_features": 6}},
]
WORDS = [
    *TINY,
    "--model.encoder.norm=true",
    "--trainer.callbacks=EMAWeightAveraging",
    "--trainer.callbacks.decay=0.8",
    "--data.second_view=same_clip",
    "--model.balance=uncertainty",
    "--model.separate_encoders=true",
    "--model.learning_rate=0.05",
    "--model.moco.dim=5",
    "--model.moco.queue_size=7",
    "--model.moco.neighbours=3",
    "--model.moco.momentum=0.5",
    f"--model.tasks={json.dumps(TASKS)}",
]


def assert_scores(network: Detector | MultiTaskNetwork, weights: str = "averaged") -> None:
    colours = (torch.arange(15).view(5, 3, 1, 1, 1) * 67 % 256).to(torch.uint8)
    with torch.no_grad():
        outputs = network.eval()(colours.expand(5, 3, 4, 8, 8))
    assert list(outputs) == list(SCORES[weights])
    for name, rows in SCORES[weights].items():
        torch.testing.assert_close(outputs[name], torch.tensor(rows), atol=1e-6, rtol=0)


def test_the_scores_are_the_same() -> None:
    assert_scores(Detector.load_from_checkpoint(CHECKPOINT))
    assert_scores(load_detector(CHECKPOINT).network)
    assert_scores(load_detector(OLDER / "exported").network)


class Start(pl.Callback):
    """Notes the state with which a training begins."""

    noted: dict[str, Tensor] | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert trainer.global_step == 8
        type(self).noted = {name: value.clone() for name, value in pl_module.state_dict().items()}


def test_a_training_goes_on(
    tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the weights as they were trained, not from their average; queue and keys as well."""
    monkeypatch.setattr(Start, "noted", None)
    words = [
        "fit",
        *WORDS,
        f"--data.root={tiny_corpus}",
        f"--trainer.default_root_dir={tmp_path / 'run'}",
        f"--trainer.callbacks+={Start.__module__}.Start",
        "--trainer.max_epochs=3",
        f"--ckpt_path={CHECKPOINT}",
    ]
    assert main(words) == 0
    older = torch.load(CHECKPOINT, weights_only=True)["current_model_state"]
    started = Start.noted
    assert started is not None
    assert len(started) == len(older)
    for name, value in older.items():
        own = name.startswith(("encoder.", "tasks.", "other_encoders."))
        assert torch.equal(started[f"network.{name}" if own else name], value), name
    detector = Detector.load_from_checkpoint(tmp_path / "run/checkpoints/last.ckpt")
    assert not torch.equal(
        detector.network.encoder.get_parameter("first.weight"), older["encoder.first.weight"]
    )
    detector.load_state_dict(older)
    assert_scores(detector, "current")


def test_an_encoder_starts_from_it() -> None:
    encoder = TinyEncoder(norm=True)
    encoder.start_from(str(CHECKPOINT))
    older = torch.load(CHECKPOINT, weights_only=True)["state_dict"]
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, older[f"encoder.{name}"]), name
