"""What users of Lightning take for granted, by the command line and from Python."""

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from pytorch_lightning.tuner import Tuner
from torch.optim.lr_scheduler import StepLR

from deepfake_mtl.cli import main
from deepfake_mtl.data.datamodule import DeepfakeDataModule
from deepfake_mtl.detector import Detector
from deepfake_mtl.errors import CheckpointError, ConfigurationError
from deepfake_mtl.tasks import BinaryCrossEntropy, ManipulationCrossEntropy
from deepfake_mtl.training.checkpoints.best import BestCheckpoint
from tests.conftest import video_path
from tests.data.videos import spoil
from tests.test_cli import error_of
from tests.worlds import TINY, TinyEncoder, trainer

BEST, LAST = "checkpoints/best.ckpt", "checkpoints/last.ckpt"


def words(root: Path, run: Path, *more: str) -> list[str]:
    return ["fit", f"--data.root={root}", f"--trainer.default_root_dir={run}", *TINY, *more]


def callback(name: str, **options: object) -> list[str]:
    given = [f"--trainer.callbacks.{key}={value}" for key, value in options.items()]
    return [f"--trainer.callbacks+={name}", *given]


def data(root: Path, **options: Any) -> DeepfakeDataModule:
    small = {"size": 16, "clip_length": 4, "batch_size": 4, "num_workers": 0}
    return DeepfakeDataModule(
        str(root), "Face2Face", **{**small, "eval_clips_per_video": 2, **options}
    )


def detector(*, norm: bool = True, **options: Any) -> Detector:
    torch.manual_seed(0)
    tasks = [BinaryCrossEntropy(hidden_features=8)]
    return Detector(TinyEncoder(norm), tasks, **{"learning_rate": 0.05, **options})


# Options, and the steps that a training of two epochs of four batches then makes.
FEATURES: dict[str, tuple[list[str], int]] = {
    "overfit_batches": (["--trainer.overfit_batches=1"], 2),
    "enable_checkpointing": (["--trainer.enable_checkpointing=false"], 8),
    "barebones": (["--trainer.barebones=true"], 8),
    "fast_dev_run": (["--trainer.fast_dev_run=true"], 1),
    "accumulation": (["--trainer.accumulate_grad_batches=2"], 4),
    "max_steps": (["--trainer.max_steps=3"], 3),
    "max_time": (["--trainer.max_time=00:01:00:00"], 8),
    "val_check_interval": (["--trainer.val_check_interval=0.5"], 8),
    "reload": (["--trainer.reload_dataloaders_every_n_epochs=1"], 8),
    "limit_val_batches": (["--trainer.limit_val_batches=0.25"], 8),
    "no logger": (["--trainer.logger=false"], 8),
    "clipping": (["--trainer.gradient_clip_val=0.5"], 8),
    # One epoch more, to measure the statistics of BatchNorm, where there are some.
    "swa": (callback("StochasticWeightAveraging", swa_lrs=0.01, swa_epoch_start=1), 8),
    "early stopping": (callback("EarlyStopping", monitor="val/auc", mode="max"), 8),
    "finetuning": (callback("BackboneFinetuning", unfreeze_backbone_at_epoch=1), 8),
    "second checkpoint": (
        callback("ModelCheckpoint", monitor="train/loss", filename="loss", dirpath="RUN/more"),
        8,
    ),
    "several loggers": (
        [
            "--trainer.logger+=TensorBoardLogger",
            "--trainer.logger.save_dir=RUN/board",
            "--trainer.logger+=CSVLogger",
            "--trainer.logger.save_dir=RUN/csv",
        ],
        8,
    ),
    "batch size": (
        callback("BatchSizeFinder", steps_per_trial=1, init_val=4, max_trials=1),
        8,
    ),
    "learning rate": (callback("LearningRateFinder", num_training_steps=9), 8),
    "classes": (
        [
            "--model.optimizer=torch.optim.SGD",
            "--model.schedule=torch.optim.lr_scheduler.StepLR",
            "--model.schedule.step_size=1",
        ],
        8,
    ),
}


@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_by_the_command_line(
    feature: str, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, steps = FEATURES[feature]
    made: list[int] = []
    ends = Detector.on_fit_end
    monkeypatch.setattr(
        Detector, "on_fit_end", lambda self: (made.append(self.global_step), ends(self))
    )
    run = tmp_path / "run"
    assert main(words(tiny_corpus, run, *(each.replace("RUN", str(run)) for each in options))) == 0
    assert made == [steps]
    writes = feature not in ("enable_checkpointing", "barebones", "fast_dev_run")
    assert (run / LAST).is_file() == writes
    assert (run / "config.yaml").is_file() == (writes or feature == "enable_checkpointing")
    if writes:
        state = torch.load(run / LAST, weights_only=True)
        assert state["global_step"] == steps
        assert all(value.isfinite().all() for value in state["state_dict"].values())
        assert (run / BEST).is_file() == (feature != "max_steps")
    assert (run / "more" / "loss.ckpt").is_file() == (feature == "second checkpoint")
    assert bool(list(run.rglob("metrics.csv"))) == (feature == "several loggers")


def test_reloading_draws_what_is_drawn_without(tiny_corpus: Path, tmp_path: Path) -> None:
    states = []
    for every in (0, 1):
        run = tmp_path / str(every)
        more = f"--trainer.reload_dataloaders_every_n_epochs={every}"
        assert main(words(tiny_corpus, run, more)) == 0
        states.append(torch.load(run / LAST, weights_only=True)["state_dict"])
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_a_fast_run_leaves_a_finished_folder_as_it_is(tiny_corpus: Path, tmp_path: Path) -> None:
    assert main(words(tiny_corpus, tmp_path)) == 0
    before = {
        path: path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file() and path.name != ".training"
    }
    for option in ("fast_dev_run", "barebones"):
        assert main(words(tiny_corpus, tmp_path, f"--trainer.{option}=true")) == 0
    assert {path: path.read_bytes() for path in before} == before
    assert set(tmp_path.rglob("*.ckpt")) <= set(before)


class Batches(pl.Callback):
    """What was drawn in each epoch."""

    def __init__(self) -> None:
        self.epochs: list[list[bytes]] = []

    def on_train_batch_start(self, _: Any, __: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 0:
            self.epochs.append([])
        self.epochs[-1].append(batch["clip"].numpy().tobytes())


def test_overfitting_sees_the_same_clips_again(tiny_corpus: Path, tmp_path: Path) -> None:
    batches = Batches()
    run = trainer(tmp_path, max_epochs=3, overfit_batches=2, callbacks=[batches])
    run.fit(detector(), data(tiny_corpus))
    assert len(batches.epochs) == 3
    assert all(len(set(epoch)) == 2 and epoch == batches.epochs[0] for epoch in batches.epochs)
    assert 0 <= run.logged_metrics["val/auc"] <= 1


@pytest.mark.parametrize("mode", ["power", "binsearch"])
def test_the_batch_size_is_scaled(mode: str, tiny_corpus: Path, tmp_path: Path) -> None:
    module, clips = detector(), data(tiny_corpus, batch_size=2)
    found = Tuner(trainer(tmp_path)).scale_batch_size(
        module, datamodule=clips, mode=mode, max_trials=3
    )
    assert found == clips.batch_size >= 7
    trainer(tmp_path).fit(module, clips)


@pytest.mark.parametrize("mode", ["power", "binsearch"])
@pytest.mark.parametrize(("per_video", "most"), [(1, 16), (3, 48)])
def test_the_batch_size_is_scaled_to_an_epoch_at_most(
    mode: str, per_video: int, most: int, tiny_corpus: Path, tmp_path: Path
) -> None:
    module, clips = detector(), data(tiny_corpus, train_clips_per_video=per_video)
    options = {
        "datamodule": clips,
        "mode": mode,
        "init_val": 3,
        "steps_per_trial": 1,
        "margin": 0.0,
    }
    found = Tuner(trainer(tmp_path)).scale_batch_size(module, **options)
    assert found == clips.batch_size
    assert 16 <= found <= most  # the videos, of which each is drawn so many times
    trainer(tmp_path).fit(module, clips)
    clips.batch_size = most + 1  # what somebody asks for is not changed
    with pytest.raises(ConfigurationError, match=f"at most {most}"):
        trainer(tmp_path).fit(module, clips)


PYTHON: dict[str, Callable[[Path], dict[str, Any]]] = {
    "overfit_batches": lambda _: {"overfit_batches": 1},
    "enable_checkpointing": lambda _: {"enable_checkpointing": False},
    "barebones": lambda _: {"barebones": True},
    "fast_dev_run": lambda _: {"fast_dev_run": True},
    "accumulation": lambda _: {"accumulate_grad_batches": 2},
    "max_steps": lambda _: {"max_steps": 3},
    "max_time": lambda _: {"max_time": "00:01:00:00"},
    "val_check_interval": lambda _: {"val_check_interval": 0.5},
    "reload": lambda _: {"reload_dataloaders_every_n_epochs": 1},
    "limit_val_batches": lambda _: {"limit_val_batches": 0.25},
    "no logger": lambda _: {"logger": False},
    "clipping": lambda _: {"gradient_clip_val": 0.5},
    "swa": lambda _: {
        "callbacks": [pl.callbacks.StochasticWeightAveraging(0.01, swa_epoch_start=1)]
    },
    "early stopping": lambda _: {"callbacks": [pl.callbacks.EarlyStopping("val/auc", mode="max")]},
    "finetuning": lambda _: {"callbacks": [pl.callbacks.BackboneFinetuning(1)]},
    "second checkpoint": lambda folder: {
        "callbacks": [
            pl.callbacks.ModelCheckpoint(folder / "more", "loss", monitor="train/loss"),
            BestCheckpoint(str(folder / "checkpoints")),
        ]
    },
    "several loggers": lambda folder: {
        "logger": [TensorBoardLogger(folder / "board"), CSVLogger(folder / "csv")]
    },
    "batch size": lambda _: {"callbacks": [pl.callbacks.BatchSizeFinder("power", 1, 4, 1)]},
    "learning rate": lambda _: {
        "callbacks": [pl.callbacks.LearningRateFinder(num_training_steps=9)],
        "enable_checkpointing": True,
    },
    "classes": lambda _: {},
}
"""The same for a Trainer."""

assert PYTHON.keys() == FEATURES.keys()


@pytest.mark.parametrize("feature", PYTHON)
def test_a_feature_from_python(feature: str, tiny_corpus: Path, tmp_path: Path) -> None:
    options = {"max_epochs": 2, **PYTHON[feature](tmp_path)}
    quiet = {"enable_progress_bar": False, "enable_model_summary": False}
    if feature not in ("barebones", "enable_checkpointing"):
        quiet["enable_checkpointing"] = True
    if feature == "barebones":
        quiet = {}
    run = pl.Trainer(default_root_dir=tmp_path, accelerator="cpu", **{**quiet, **options})
    made = {"optimizer": torch.optim.SGD, "schedule": partial(StepLR, step_size=1)}
    module = detector(norm=False, **(made if feature == "classes" else {}))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    run.fit(module, data(tiny_corpus))
    assert run.global_step == FEATURES[feature][1]
    state = module.state_dict()
    assert all(value.isfinite().all() for value in state.values())
    name = "network.encoder.first.weight"
    assert not torch.equal(state[name], before[name])
    assert (tmp_path / "more" / "loss.ckpt").is_file() == (feature == "second checkpoint")
    assert (tmp_path / BEST).is_file() == (feature == "second checkpoint")
    assert bool(list(tmp_path.rglob("csv/**/metrics.csv"))) == (feature == "several loggers")


def test_many_features_together(tiny_corpus: Path, tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, name="csv", version=0)
    second = pl.callbacks.ModelCheckpoint(tmp_path, "best", monitor="val/auc", mode="max")
    callbacks = [
        pl.callbacks.EarlyStopping("val/auc", mode="max"),
        pl.callbacks.ModelCheckpoint(tmp_path, "low", monitor="train/loss"),
        pl.callbacks.StochasticWeightAveraging(0.01, swa_epoch_start=1),
        second,
    ]
    run = trainer(
        tmp_path,
        max_epochs=3,
        max_time="00:01:00:00",
        enable_checkpointing=True,
        accumulate_grad_batches=2,
        val_check_interval=2,
        reload_dataloaders_every_n_epochs=1,
        limit_val_batches=0.25,
        callbacks=callbacks,
    )
    run._loggers = [logger]
    run.fit(detector(), data(tiny_corpus))
    assert 0 <= float(second.best_model_score) <= 1
    assert (tmp_path / "low.ckpt").is_file()
    assert (tmp_path / "csv" / "version_0" / "metrics.csv").is_file()


# -- Metrics that are compared ---------------------------------------------------------------------


def test_a_part_of_a_validation_holds_every_class(tiny_corpus: Path) -> None:
    clips = data(tiny_corpus, batch_size=1, eval_clips_per_video=3)
    clips.setup("fit")
    clips.setup("test")
    for loader in (clips.val_dataloader(), clips.test_dataloader()):
        rows = [
            (int(batch["clip_index"]), int(batch["video"]), int(batch["manipulation"]))
            for batch in loader
        ]
        assert len(set(rows)) == len(rows) == len(loader)
        assert [row[0] for row in rows] == sorted(row[0] for row in rows)
        labels = [row[2] for row in rows]
        whole = Counter(labels)
        assert set(labels[: len(whole)]) == set(whole)
        for count in range(len(rows) + 1):
            part = Counter(labels[:count])
            for label, number in whole.items():
                assert abs(part[label] - number * count / len(rows)) <= 1


def test_what_does_not_exist_is_not_compared(
    tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = ["--data.batch_size=1", "--trainer.limit_val_batches=1"]
    message = error_of(words(tiny_corpus, tmp_path / "a", *one), capsys)
    assert "monitors 'val/auc', which does not exist here: the validation batches hold" in message
    assert not list((tmp_path / "a").rglob("*.ckpt"))
    # What exists for one class may be monitored.
    more = ["--checkpoint.monitor=val/accuracy"]
    assert main(words(tiny_corpus, tmp_path / "b", *one, *more)) == 0
    assert (tmp_path / "b" / BEST).is_file()
    stop = pl.callbacks.EarlyStopping("val/auc", mode="max")
    run = trainer(tmp_path, limit_val_batches=1, callbacks=[stop])
    with pytest.raises(ConfigurationError, match="EarlyStopping monitors 'val/auc'"):
        run.fit(detector(norm=False), data(tiny_corpus, batch_size=1))
    # With other loaders it shows after the first validation.
    clips = data(tiny_corpus, batch_size=1)
    clips.setup("fit")
    run = trainer(tmp_path, limit_val_batches=1, callbacks=[stop])
    with pytest.raises(ConfigurationError, match="1 originals and 0 fakes were validated"):
        run.fit(detector(norm=False), clips.train_dataloader(), clips.val_dataloader())


@pytest.mark.parametrize("monitor", ["val/nothing", "val_loss", "auc"])
def test_an_unknown_monitor_is_refused_before_the_first_step(
    monitor: str, tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = error_of(words(tiny_corpus, tmp_path, f"--checkpoint.monitor={monitor}"), capsys)
    assert f"monitors '{monitor}', which is not logged" in message
    assert "train/loss" in message
    assert not list(tmp_path.rglob("*.ckpt"))


# -- One line instead of a traceback ---------------------------------------------------------------


def test_what_the_machine_lacks(
    tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = error_of(words(tiny_corpus, tmp_path, "--trainer.logger=CometLogger"), capsys)
    assert "comet-ml" in message
    assert "pip install" in message
    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        message = error_of(words(tiny_corpus, tmp_path, "--trainer.accelerator=gpu"), capsys)
        assert "No supported gpu backend" in message
        assert "cpu or auto" in message
    (tmp_path / "file").touch()
    message = error_of(words(tiny_corpus, tmp_path / "file" / "run"), capsys)
    assert "default_root_dir" in message


def test_a_full_disk_leaves_the_last_checkpoint_sound(
    tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    resource = pytest.importorskip("resource")
    assert main(words(tiny_corpus, tmp_path)) == 0
    before = (tmp_path / LAST).read_bytes()
    more = ["--ckpt_path=last", "--trainer.max_epochs=4", "--trainer.logger=false"]
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        message = error_of(words(tiny_corpus, tmp_path, *more), capsys)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert "cannot be written" in message
    assert "make room" in message
    assert (tmp_path / LAST).read_bytes() == before
    assert main(words(tiny_corpus, tmp_path, *more)) == 0


def test_other_tasks_on_a_resume(
    tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(tiny_corpus, tmp_path, "--model.tasks=[BinaryCrossEntropy]")) == 0
    both = "--model.tasks=[BinaryCrossEntropy,ManipulationCrossEntropy]"
    for path in ("last", str(tmp_path / LAST)):
        message = error_of(words(tiny_corpus, tmp_path, both, f"--ckpt_path={path}"), capsys)
        assert "its tasks are binary, here they are binary, manipulation" in message
    with pytest.raises(CheckpointError, match="its tasks are binary"):
        Detector.load_from_checkpoint(tmp_path / LAST, tasks=[ManipulationCrossEntropy()])


class Dying(torch.utils.data.Dataset):
    """Ends the process that reads it, as a system does that has no room for shared memory."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> object:
        os.kill(os.getpid(), signal.SIGBUS)
        return index


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGBUS")
def test_workers_without_shared_memory_name_their_number() -> None:
    from deepfake_mtl.data.loading import ClipLoader  # noqa: PLC0415

    with pytest.raises(ConfigurationError, match="set num_workers to fewer"):
        list(ClipLoader(Dying(), batch_size=2, num_workers=1))


# -- Loaders alone --------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 3])
def test_loaders_alone_yield_no_clip_in_the_place_of_a_broken_one(
    batch_size: int, corpus: Path
) -> None:
    broken = video_path(corpus, "original", "004")
    spoil(broken)
    clips = data(corpus, on_corrupt="skip", batch_size=batch_size)
    clips.setup("fit")
    failures, seen = set(), []
    for batch in clips.val_dataloader():
        rows = batch["video"].tolist()
        assert all(len(value) == len(rows) for key, value in batch.items() if key != "failure")
        assert all(clip.float().std() > 0 for clip in batch["clip"])
        failures.update(batch["failure"])
        seen += rows
    paths = [clips.records("val")[video].path for video in seen]
    assert broken not in paths
    assert len(paths) == 2 * (len(clips.records("val")) - 1)
    (failure,) = failures
    assert failure.startswith(str(broken))
