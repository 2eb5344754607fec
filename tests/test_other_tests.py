"""Tests of a checkpoint elsewhere: on another corpus, and on degraded videos."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from deepfake_mtl.cli import main
from deepfake_mtl.evaluation.predictions import read_predictions
from tests.conftest import PAIRS, names_of, video_path
from tests.test_cli import error_of, trained  # noqa: F401 (a fixture)

QUIET = ["--trainer.enable_progress_bar=false", "--data.num_workers=0"]


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:  # noqa: F811
    return shutil.copytree(trained, tmp_path / "run")


@pytest.fixture
def plain_folder(tiny_corpus: Path, tmp_path: Path) -> Path:
    """The test people of the tiny corpus as a corpus of another kind."""
    root = tmp_path / "plain"
    for name in names_of(PAIRS["test"], "original"):
        (root / "real").mkdir(parents=True, exist_ok=True)
        shutil.copy(video_path(tiny_corpus, "original", name), root / "real" / f"{name}.mp4")
    for name in names_of(PAIRS["test"], "FaceSwap"):
        (root / "fake" / "Swapped").mkdir(parents=True, exist_ok=True)
        source = video_path(tiny_corpus, "FaceSwap", name)
        shutil.copy(source, root / "fake" / "Swapped" / f"{name}.mp4")
    return root


def test_a_test_on_another_corpus(
    run: Path, plain_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = f"--ckpt_path={run / 'checkpoints' / 'last.ckpt'}"
    assert main(["test", checkpoint, *QUIET]) == 0
    own = {each.key.rsplit("/", 1)[1]: each for each in read_predictions(run)}
    before = (run / "results.json").read_bytes()
    test = ["test", checkpoint, f"--data.test_on=folder={plain_folder}", *QUIET]
    assert main([*test, "--features.write=true"]) == 0
    assert (run / "results.json").read_bytes() == before
    place = run / "tests" / "folder"
    results = json.loads((place / "results.json").read_text())
    predictions = read_predictions(place)
    assert results["corpus"]["name"] == "folder"
    assert results["counts"]["test"] == {"real": 2, "fake": 2}
    assert "Swapped" in results["held_out"]
    # The same videos under other names have the same scores.
    for each in predictions:
        name = each.key.rsplit("/", 1)[1].removesuffix(".mp4")
        assert each.method == ("Swapped" if each.label else "original")
        assert each.score == pytest.approx(own[name].score, abs=1e-6)
    labels, scores = zip(*[(each.label, each.score) for each in predictions], strict=True)
    auc = sklearn_metrics.roc_auc_score(labels, scores)
    assert results["figures"]["held_out"]["auc"] == pytest.approx(auc)
    assert results["figures"]["recall"]["Swapped"]["held_out"]

    features = np.load(place / "features.npz")
    assert features["keys"].tolist() == sorted(each.key for each in predictions)
    assert features["methods"].tolist() == [each.method for each in predictions]
    assert features["features"].shape == (4, 1024)
    assert len(np.unique(features["features"], axis=0)) == 4

    fit = ["fit", "--config=configs/demo.yaml", "--data.root=x", "--data.held_out=FaceSwap"]
    message = error_of([*fit, f"--data.test_on=folder={plain_folder}"], capsys)
    assert "it is for tests alone" in message
    message = error_of(["test", checkpoint, f"--data.test_on={plain_folder}", *QUIET], capsys)
    assert f"name the corpus, as in celebdf={plain_folder}" in message
    message = error_of(["test", checkpoint, "--data.test_on=caleb=x", *QUIET], capsys)
    assert "no corpus is named caleb" in message


def test_robustness_is_tested_once_for_each_strength(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = run / "checkpoints" / "last.ckpt"
    words = ["robustness", f"--ckpt_path={checkpoint}", "--treatments", "drop", "downscale"]
    assert main([*words, *QUIET]) == 0
    points = json.loads((run / "robustness.json").read_text())["points"]
    # Clips have 32 px: there is nothing to scale down to 112, 96, 80, 64, 48 or 32.
    assert [(each["treatment"], each["strength"]) for each in points] == [
        ("none", 0),
        *(("drop", share) for share in (0.1, 0.2, 0.3, 0.5, 0.7)),
    ]
    for each in points[1:]:
        place = run / "robustness" / f"drop-{each['strength']:g}"
        predictions = read_predictions(place)
        held_out = [p for p in predictions if p.method in ("original", "Face2Face")]
        labels, scores = zip(*[(p.label, p.score) for p in held_out], strict=True)
        assert each["held_out"]["auc"] == sklearn_metrics.roc_auc_score(labels, scores)
    untreated = {p.key: p.score for p in read_predictions(run)}
    assert any(p.score != untreated[p.key] for p in read_predictions(place))

    times = {path: path.stat().st_mtime_ns for path in run.rglob("results.json")}
    assert main([*words, *QUIET]) == 0
    assert {path: path.stat().st_mtime_ns for path in run.rglob("results.json")} == times
    shutil.copy(checkpoint, run / "checkpoints" / "other.ckpt")
    words[1] = f"--ckpt_path={run / 'checkpoints' / 'other.ckpt'}"
    assert "choose another folder with --out" in error_of([*words, *QUIET], capsys)
