"""Which precisions a detector is trained in, and that its losses are finite there."""

import json
import logging
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import yaml

from deepfake_mtl.cli import main
from deepfake_mtl.detector import Detector
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.optimization import precision as precisions
from deepfake_mtl.optimization.precision import (
    PRECISION,
    bf16_ratio,
    check_ranks_agree,
    resolve_precision,
    use_tf32,
)
from deepfake_mtl.tasks import (
    BinaryContrast,
    BinaryCrossEntropy,
    ManipulationContrast,
    MoCoSettings,
    Task,
)
from tests.test_cli import error_of, fit_words
from tests.training.test_callbacks import scaled_half
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


@pytest.mark.slow
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


CPU = torch.device("cpu")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What the probe is to have found, by device; nothing is found at first."""
    ratios: dict[str, float] = {}
    monkeypatch.setattr(precisions._Measured, "ratios", ratios)
    precisions._warn_once.cache_clear()
    return ratios


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [(0.5, "bf16-mixed"), (0.89, "bf16-mixed"), (0.95, "32-true"), (30, "32-true"),
     (math.inf, "32-true")],
)  # fmt: skip
def test_auto_takes_bfloat16_only_where_it_is_faster(
    measured: dict[str, float], ratio: float, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    measured["cpu"] = ratio
    assert resolve_precision("auto", "cpu") == expected
    assert f"precision auto: {expected}" in caplog.text
    for asked in ("32-true", "bf16-mixed", "64-true", 32, None):
        assert resolve_precision(asked, "cpu") == asked


def test_the_probe_runs_once_and_draws_nothing(
    measured: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_rng_state()
    ratio = bf16_ratio(CPU)
    assert ratio > 0
    assert torch.equal(torch.get_rng_state(), before)
    monkeypatch.setattr(precisions, "_probe", lambda _: pytest.fail("probed again"))
    assert bf16_ratio(CPU) == ratio == measured["cpu"]


def test_the_probe_times_one_type_over_the_other(
    measured: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of each, in which kernels are chosen, does not count where there are others."""
    times = {False: iter([9.0, 2.0, 3.0] + [4.0] * 20), True: iter([90.0, 8.0, 7.0] + [9.0] * 20)}
    monkeypatch.setattr(precisions, "_time", lambda *_, bf16: next(times[bf16]))
    assert bf16_ratio(CPU) == 7 / 2

    def refuse(*_: object, bf16: bool) -> float:
        if bf16:
            raise RuntimeError("no such operation")
        return 1.0

    measured.clear()
    monkeypatch.setattr(precisions, "_time", refuse)
    assert math.isinf(bf16_ratio(CPU))


def test_a_run_writes_down_what_auto_chose_and_goes_on_in_it(
    tiny_corpus: Path, tmp_path: Path, measured: dict[str, float]
) -> None:
    run = tmp_path / "run"
    tiny = ["--model.encoder=tests.worlds.TinyEncoder", "--trainer.precision=auto"]
    words = fit_words(tiny_corpus, run, *tiny, losses="binary_ce")
    measured["cpu"] = 0.5
    assert main(words) == 0
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["trainer"]["precision"] == "bf16-mixed"
    last = run / "checkpoints" / "last.ckpt"
    record = {"used": "bf16-mixed", "bf16_over_float32": 0.5}
    assert torch.load(last, weights_only=True)[PRECISION] == record

    measured["cpu"] = 3.0  # another machine, or a busy one
    assert main([*words, "--trainer.max_epochs=2", f"--ckpt_path={last}"]) == 0
    assert torch.load(last, weights_only=True)[PRECISION]["used"] == "bf16-mixed"
    assert main(["test", f"--ckpt_path={last}", "--trainer.precision=auto"]) == 0
    results = json.loads((run / "results.json").read_text())
    assert results["precision"]["training"]["used"] == "bf16-mixed"
    assert results["precision"]["test"] == {"used": "32-true", "bf16_over_float32": 3.0}
    assert results["config"]["trainer"]["precision"] == "32-true"


def test_who_asks_for_slow_bfloat16_is_told_once_how_slow(
    measured: dict[str, float], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fit(**how: object) -> str:
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            run = trainer(tmp_path, max_steps=1, **how)
            run.fit(Detector(TinyEncoder()), loader(LABELS))
        assert run.precision == how["precision"]
        return caplog.text

    measured["cpu"] = 31.25
    assert "times as long" not in fit(precision="32-true")
    assert "bf16-mixed takes 31.2 times as long as 32-true on this CPU" in fit(
        precision="bf16-mixed"
    )
    assert "times as long" not in fit(precision="bf16-mixed")
    precisions._warn_once.cache_clear()
    measured["cpu"] = 1.05
    assert "times as long" not in fit(precision="bf16-mixed")


@pytest.mark.parametrize("others", [["32-true"], ["bf16-mixed"]])
def test_ranks_that_measured_differently_do_not_train_together(others: list[str]) -> None:
    """Each rank stands in turn for itself; the strategy answers with what all of them have."""
    ranks = ["bf16-mixed", *others]

    def rank(number: int) -> Any:
        strategy = SimpleNamespace(
            broadcast=lambda _: ranks[0],
            reduce_boolean_decision=lambda _, all: all and len(set(ranks)) == 1,  # noqa: A006
        )
        return SimpleNamespace(precision=ranks[number], strategy=strategy, global_rank=number)

    for number in range(2):
        if len(set(ranks)) == 1:
            check_ranks_agree(rank(number))
        else:
            with pytest.raises(ConfigurationError, match="auto chose bf16-mixed on the first"):
                check_ranks_agree(rank(number))
