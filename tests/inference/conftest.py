"""Two detectors that were trained for a moment: one of whole frames, one of crops."""

import csv
from pathlib import Path

import pytest

from deepfake_mtl.cli import main
from deepfake_mtl.data.corpora import FaceForensics
from tests.test_cli import fit_words


def train(root: Path, run: Path, *more: str) -> Path:
    """A run folder with a checkpoint that scores videos differently, and its test."""
    words = fit_words(
        root,
        run,
        "--model.encoder=deepfake_mtl.models.S3D",
        "--model.encoder.norm_bias=1.0",
        "--model.encoder.norm_momentum=1.0",
        "--model.learning_rate=1e-3",
        "--trainer.limit_train_batches=4",
        "--data.eval_clips_per_video=3",
        *more,
    )
    assert main(words) == 0
    checkpoint = run / "checkpoints" / "last.ckpt"
    silent = ["--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"]
    assert main(["test", f"--ckpt_path={checkpoint}", "--data.num_workers=0", *silent]) == 0
    return run


def scores(run: Path) -> dict[str, tuple[float, float]]:
    """Score, and probability of the third manipulation, of each test video by its key."""
    with (run / "predictions.csv").open() as file:
        return {
            row["key"]: (float(row["score"]), float(row["manipulation/FaceSwap"]))
            for row in csv.DictReader(file)
        }


def paths(root: Path) -> dict[str, Path]:
    return {record.key: record.path for record in FaceForensics(root).index()}


@pytest.fixture(scope="session")
def whole_run(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be written to."""
    return train(tiny_corpus, tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(scope="session")
def crops_run(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be written to."""
    folder = tmp_path_factory.mktemp("crops")
    options = ["--detector=center", "--size=40", "--codec=jpeg95", "--workers=1"]
    assert main(["prepare", str(tiny_corpus), f"--out={folder / 'store'}", *options]) == 0
    return train(folder / "store", folder / "run", "--data.clip_stride=2")


@pytest.fixture
def checkpoint(whole_run: Path) -> Path:
    return whole_run / "checkpoints" / "last.ckpt"
