"""Which precisions a detector is trained in, and that its losses are finite there."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from deepfake_mtl.detector import Detector
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.precision import use_tf32
from deepfake_mtl.tasks import (
    BinaryContrast,
    BinaryCrossEntropy,
    ManipulationContrast,
    MoCoSettings,
    Task,
)
from tests.test_callbacks import scaled_half
from tests.test_cli import error_of, fit_words
from tests.worlds import TinyEncoder, loader, trainer

LABELS = [0, 1, 0, 2, 3, 0, 4, 1]


class Losses(pl.Callback):
    def __init__(self) -> None:
        self.values: list[torch.Tensor] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.values.append(trainer.callback_metrics["train/loss"].clone())


def losses_of(precision: str, binary: type[Task], folder: Path) -> torch.Tensor:
    torch.manual_seed(0)
    losses = Losses()
    model = Detector(
        TinyEncoder(norm=True),
        [binary(hidden_features=8), ManipulationContrast(hidden_features=8)],
        learning_rate=0.01,
        moco=MoCoSettings(dim=5, queue_size=20),
    )
    # Lightning offers a scaler, without which float16 runs out of range, on GPUs only by name.
    how = {"plugins": scaled_half()} if precision == "16-mixed" else {"precision": precision}
    run = trainer(folder, max_epochs=50, callbacks=[losses], **how)
    run.fit(model, loader(LABELS, views=2))
    assert run.global_step == len(losses.values) == 200
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        assert value.isfinite().all(), name
        assert not value.is_floating_point() or value.dtype == torch.float32, name
    return torch.stack(losses.values)


@pytest.mark.parametrize("binary", [BinaryCrossEntropy, BinaryContrast])
def test_200_steps_are_finite_and_near_to_float32(binary: type[Task], tmp_path: Path) -> None:
    expected = losses_of("32-true", binary, tmp_path)
    assert expected.isfinite().all()
    assert expected[-20:].mean() < expected[10:30].mean()
    for precision in ("bf16-mixed", "16-mixed"):
        actual = losses_of(precision, binary, tmp_path)
        assert actual.isfinite().all(), precision
        assert float(actual[-20:].mean()) == pytest.approx(float(expected[-20:].mean()), rel=0.1)


@pytest.mark.parametrize("precision", ["bf16-true", "16-true"])
def test_weights_of_16_bits_are_refused(
    precision: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Detector(TinyEncoder())
    with pytest.raises(ConfigurationError, match="Use bf16-mixed"):
        trainer(tmp_path, precision=precision).fit(model, loader(LABELS))
    # On the command line, before the corpus is looked at.
    words = fit_words(tmp_path / "nowhere", tmp_path, f"--trainer.precision={precision}")
    assert f"trainer.precision is {precision}" in error_of(words, capsys)


def test_float16_on_a_cpu_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = fit_words(tmp_path / "nowhere", tmp_path, "--trainer.precision=16-mixed")
    assert "in float16 on GPUs only: use bf16-mixed" in error_of(words, capsys)


@pytest.mark.parametrize(
    ("operations", "convolutions", "products"),
    [("none", False, "highest"), ("convolutions", True, "highest"), ("all", True, "high")],
)
def test_tf32_is_a_setting(
    operations: str,
    convolutions: bool,
    products: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    try:
        words = fit_words(tmp_path / "nowhere", tmp_path / "run", f"--tf32={operations}")
        error_of(words, capsys)
        assert torch.backends.cudnn.allow_tf32 is convolutions
        assert torch.get_float32_matmul_precision() == products
    finally:
        use_tf32("convolutions")
