"""A training that goes on from any checkpoint is the one that was never interrupted."""

import os
import random
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger
from torch import Tensor
from torch.multiprocessing.spawn import ProcessExitedException

from deepfake_mtl.data.datamodule import DeepfakeDataModule
from deepfake_mtl.detector import Detector
from deepfake_mtl.errors import CheckpointError, ConfigurationError
from deepfake_mtl.tasks import (
    BinaryContrast,
    BinaryCrossEntropy,
    ManipulationContrast,
    ManipulationCrossEntropy,
    MoCoSettings,
)
from deepfake_mtl.training.callbacks import GradientConflictMonitor
from deepfake_mtl.training.checkpoints.last import LastCheckpoint
from deepfake_mtl.training.checkpoints.random_states import RandomStates
from tests.worlds import TinyEncoder, trainer

EPOCHS, STEPS = 2, 8  # of an epoch: 16 videos, drawn twice, in batches of four


class Figures(Logger):
    """What was logged, by step."""

    name, version = "figures", 0

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[tuple[int, str], float] = {}

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.update({(int(step or 0), name): value for name, value in metrics.items()})

    def log_hyperparams(self, *_: object, **__: object) -> None: ...


class Copies(pl.Callback):
    """Keeps what ``last.ckpt`` held at each batch, as a process that is killed leaves it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.with_name("copies")
        self.last = folder / "checkpoints" / "last.ckpt"
        self.batches: list[list[int]] = []

    def on_train_batch_start(self, _: pl.Trainer, module: Any, batch: Any, *__: int) -> None:
        # What every step draws, and a random number beside the network's own.
        self.batches.append(batch["clip_index"].tolist())
        drawn = float(torch.rand(())) + np.random.rand() + random.random()  # noqa: NPY002
        module.log("random", drawn)
        if self.folder.is_dir() and self.last.is_file():
            shutil.copy(self.last, self.folder / f"{len(self.batches) - 1}.ckpt")


class Stop(pl.Callback):
    """Sends a signal to this process during a step, or during a batch of a validation."""

    def __init__(self, step: int = -1, validation: int = -1, rank: int = 0) -> None:
        self.step, self.validation, self.rank = step, validation, rank

    def on_before_optimizer_step(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step + 1 == self.step and trainer.global_rank == self.rank:
            os.kill(os.getpid(), signal.SIGTERM)

    def on_validation_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.sanity_checking:
            return
        if self.validation == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        self.validation -= 1


def detector(tasks: str = "con con", **options: Any) -> Detector:
    torch.manual_seed(0)
    binary, manipulation = tasks.split()
    return Detector(
        TinyEncoder(norm=True),
        [
            BinaryContrast(hidden_features=8)
            if binary == "con"
            else BinaryCrossEntropy(hidden_features=8, dropout=0.5),
            ManipulationContrast(hidden_features=8)
            if manipulation == "con"
            else ManipulationCrossEntropy(hidden_features=8, dropout=0.5),
        ],
        moco=MoCoSettings(dim=5, queue_size=11, neighbours=3, momentum=0.9),
        held_out="Face2Face",
        learning_rate=0.02,
        **options,
    )


def train(
    root: Path,
    folder: Path,
    *more: pl.Callback,
    resume: Path | None = None,
    workers: int = 0,
    every: int | None = 1,
    model: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
    figures: Figures | None = None,
    **options: Any,
) -> tuple[dict[str, Any], Figures, Copies]:
    """Return the last checkpoint, what was logged, and what was drawn."""
    pl.seed_everything(7, verbose=False)
    figures, copies = figures or Figures(), Copies(folder)
    datamodule = DeepfakeDataModule(
        str(root),
        "Face2Face",
        size=16,
        clip_length=4,
        num_workers=workers,
        eval_clips_per_video=2,
        second_view="same_clip",
        **{"batch_size": 4, "train_clips_per_video": 2, **(data or {})},
    )
    run = trainer(
        folder,
        enable_checkpointing=True,
        callbacks=[
            RandomStates(),
            *more,
            copies,
            GradientConflictMonitor(1),
            pl.callbacks.ModelCheckpoint(
                folder, "best", monitor="val/auc", mode="max", enable_version_counter=False
            ),
            LastCheckpoint(every),
        ],
        log_every_n_steps=1,
        deterministic=True,
        **{"max_epochs": EPOCHS, **options},
    )
    run._loggers = [figures]
    run.fit(detector(**(model or {})), datamodule, ckpt_path=resume)
    return torch.load(copies.last, weights_only=True), figures, copies


def same(actual: Any, expected: Any, place: str = "") -> None:
    """Compare all of two checkpoints, to the last bit."""
    if isinstance(expected, dict):
        assert actual.keys() == expected.keys(), place
        for key, value in expected.items():
            if key != "current_score":  # that of the last epoch, which Lightning does not restore
                same(actual[key], value, f"{place}/{key}")
    elif isinstance(expected, (list, tuple)):
        assert len(actual) == len(expected), place
        for number, (a, e) in enumerate(zip(actual, expected, strict=True)):
            same(a, e, f"{place}/{number}")
    elif isinstance(expected, Tensor):
        assert torch.equal(actual, expected), place
        assert actual.stride() == expected.stride(), place
    else:
        assert actual == expected, place


def same_figures(actual: Figures, expected: Figures, first: int) -> None:
    later = {key: value for key, value in expected.rows.items() if key[0] >= first}
    assert actual.rows == pytest.approx(later, abs=0, nan_ok=True)


CASES: dict[str, dict[str, Any]] = {
    "workers": {"workers": 2},
    "accumulation": {"accumulate_grad_batches": 3, "model": {"tasks": "ce ce"}},
    "validation within epochs": {"val_check_interval": 0.5},
    "surgery": {"model": {"balance": "upgrad", "tasks": "ce con"}},
    "steps": {"max_steps": 13, "max_epochs": -1},
    "no validation": {"limit_val_batches": 0},
}


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=pytest.mark.slow if case == "workers" else ()) for case in CASES],
)
def test_any_checkpoint_leads_to_the_same_end(case: str, tiny_corpus: Path, tmp_path: Path) -> None:
    if case == "surgery":
        pytest.importorskip("torchjd")
    options = CASES[case]
    together = options.get("accumulate_grad_batches", 1)
    copies = tmp_path / "copies"
    copies.mkdir()
    expected, figures, drawn = train(tiny_corpus, tmp_path / "run", **options)
    copies.rename(tmp_path / "kept")
    total = options.get("max_steps", EPOCHS * STEPS)
    assert len(drawn.batches) == total
    # The last batch of an epoch, the first of another, and some other.
    for batch in {STEPS - 1, STEPS, random.Random(case).randrange(together, total)}:
        killed = tmp_path / "kept" / f"{batch}.ckpt"
        actual, later, rest = train(tiny_corpus, tmp_path / "run", resume=killed, **options)
        # Nothing of an epoch is drawn twice, nothing left out.
        done = total - len(rest.batches)
        assert 0 <= batch - done < together
        assert rest.batches == drawn.batches[done:]
        same(actual, expected)
        same_figures(later, figures, torch.load(killed)["global_step"])


@pytest.mark.parametrize(
    ("stop", "options"),
    [
        (Stop(step=STEPS), {}),  # the last step of an epoch: in the validation after it
        (Stop(step=STEPS), {"limit_val_batches": 0}),
        (Stop(step=4), {"val_check_interval": 0.5}),
        (Stop(validation=2), {}),
        (Stop(step=2), {"accumulate_grad_batches": 2}),
    ],
    ids=["last step", "last step alone", "before validation", "validation", "accumulation"],
)
def test_sigterm_saves_and_the_rest_is_the_same(
    stop: Stop, options: dict[str, Any], tiny_corpus: Path, tmp_path: Path
) -> None:
    expected, whole, _ = train(tiny_corpus, tmp_path / "whole", every=None, **options)
    figures, handler = Figures(), signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as error:
        train(tiny_corpus, tmp_path / "run", stop, every=None, figures=figures, **options)
    assert error.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == handler
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert torch.load(last)["global_step"] == (STEPS if stop.step < 0 else stop.step)
    actual, _, _ = train(
        tiny_corpus, tmp_path / "run", every=None, resume=last, figures=figures, **options
    )
    for state in (actual, expected):  # the two trainings are in folders of their own
        del state["callbacks"][next(key for key in state["callbacks"] if "ModelCheckpoint" in key)]
    same(actual, expected)
    assert figures.rows == pytest.approx(whole.rows, abs=0, nan_ok=True)


@pytest.mark.slow
def test_two_ranks_stop_together_and_go_on(tiny_corpus: Path, tmp_path: Path) -> None:
    """Where one was told, and it is not the one that writes."""
    options: dict[str, Any] = {
        "devices": 2,
        "strategy": "ddp_fork",
        "use_distributed_sampler": False,
        "data": {"batch_size": 2},
        "model": {"tasks": "ce con"},
    }
    expected, _, _ = train(tiny_corpus, tmp_path / "whole", every=None, **options)
    with pytest.raises(ProcessExitedException) as error:
        train(tiny_corpus, tmp_path / "run", Stop(step=3, rank=1), every=None, **options)
    assert error.value.exit_code == 128 + signal.SIGTERM
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    stopped = torch.load(last, weights_only=True)
    assert stopped["global_step"] == 3
    assert len(stopped["callbacks"]["RandomStates"]["ranks"]) == 2
    actual, _, _ = train(tiny_corpus, tmp_path / "run", every=None, resume=last, **options)
    assert actual["global_step"] == EPOCHS * STEPS
    for state in (actual, expected):
        del state["callbacks"][next(key for key in state["callbacks"] if "ModelCheckpoint" in key)]
    same(actual, expected)


def test_a_place_that_is_counted_otherwise_is_refused(tiny_corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "copies").mkdir()
    train(tiny_corpus, tmp_path / "run", max_epochs=1)
    (tmp_path / "copies").rename(tmp_path / "kept")
    middle, end = tmp_path / "kept" / "3.ckpt", tmp_path / "run" / "checkpoints" / "last.ckpt"
    data = {"batch_size": 2}
    with pytest.raises(CheckpointError, match="batch size is 4 there and 2 here"):
        train(tiny_corpus, tmp_path / "other", resume=middle, data=data)
    # From the end of an epoch, the next one may be cut otherwise.
    _, _, drawn = train(tiny_corpus, tmp_path / "other", resume=end, data=data)
    assert sorted(number for batch in drawn.batches for number in batch) == list(range(32, 64))


def test_another_seed_is_refused_where_it_would_change_nothing(
    tiny_corpus: Path, tmp_path: Path
) -> None:
    options = {"max_steps": 1, "limit_val_batches": 0}
    _, _, drawn = train(tiny_corpus, tmp_path / "run", data={"seed": 3}, **options)
    options["max_steps"] = 2
    for asked in ({"seed": 4}, {}):  # seed_everything is 7
        with pytest.raises(CheckpointError, match=r"with seed 3, but seed is [47]"):
            train(tiny_corpus, tmp_path / "run", data=asked, resume=drawn.last, **options)
    train(tiny_corpus, tmp_path / "run", data={"seed": 3}, resume=drawn.last, **options)


def test_the_checkpoint_before_the_last_is_kept(tiny_corpus: Path, tmp_path: Path) -> None:
    train(tiny_corpus, tmp_path / "run", max_epochs=1, every=3)
    folder = tmp_path / "run" / "checkpoints"
    assert sorted(path.name for path in folder.glob("*.ckpt")) == ["last.ckpt", "previous.ckpt"]
    steps = [torch.load(folder / name)["global_step"] for name in ("previous.ckpt", "last.ckpt")]
    assert steps == [6, 8]


def test_an_impossible_number_of_steps() -> None:
    with pytest.raises(ConfigurationError, match="must be 1 or more"):
        LastCheckpoint(0)
