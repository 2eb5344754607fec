"""Tests of a checkpoint elsewhere: on another corpus, and on degraded videos."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from deepfake_mtl.cli import main
from deepfake_mtl.evaluation.predictions import read_predictions
from deepfake_mtl.training.run_folder import is_tested
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
    own = {
        each.key.rsplit("/", 1)[1]: each
        for each in read_predictions(run)
        if each.method in ("original", "FaceSwap")
    }
    before = (run / "results.json").read_bytes()
    test = ["test", checkpoint, f"--data.test_on=folder={plain_folder}", *QUIET]
    assert main([*test, "--features.write=true"]) == 0
    assert (run / "results.json").read_bytes() == before
    place = run / "tests" / "folder-plain"
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
    assert features["features"].shape == (4, 4)
    assert len(np.unique(features["features"], axis=0)) == 4

    fit = ["fit", "--config=configs/demo.yaml", "--data.root=x", "--data.held_out=FaceSwap"]
    message = error_of([*fit, f"--data.test_on=folder={plain_folder}"], capsys)
    assert "it is for tests alone" in message
    message = error_of(["test", checkpoint, f"--data.test_on={plain_folder}", *QUIET], capsys)
    assert f"name the corpus, as in celebdf={plain_folder}" in message
    message = error_of(["test", checkpoint, "--data.test_on=caleb=x", *QUIET], capsys)
    assert "no corpus is named caleb" in message


@pytest.mark.slow
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


def everything(folder: Path) -> dict[str, bytes]:
    """The files that a test writes into its folder."""
    names = ("results.json", "predictions.csv", "results.html")
    return {name: (folder / name).read_bytes() for name in names}


def test_no_test_writes_over_another(
    run: Path, plain_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = f"--ckpt_path={run / 'checkpoints' / 'last.ckpt'}"
    other = tmp_path / "other"
    shutil.copytree(plain_folder, other)
    (other / "real" / "006.mp4").unlink()
    for root in (plain_folder, other):
        assert main(["test", checkpoint, f"--data.test_on=folder={root}", *QUIET]) == 0
    counts = {
        name: json.loads((run / "tests" / name / "results.json").read_text())["counts"]["test"]
        for name in ("folder-plain", "folder-other")
    }
    assert counts == {
        "folder-plain": {"real": 2, "fake": 2},
        "folder-other": {"real": 1, "fake": 2},
    }

    place = run / "tests" / "folder-other"
    before = everything(place)
    namesake = tmp_path / "elsewhere" / "other"
    shutil.copytree(plain_folder, namesake)
    again = ["test", checkpoint, f"--data.test_on=folder={namesake}", *QUIET]
    assert is_tested(run, f"folder={other}")
    assert not is_tested(run, f"folder={namesake}")
    capsys.readouterr()
    assert main(again) == 0
    assert f"are now in {place / 'earlier' / '1'}" in capsys.readouterr().out
    assert everything(place / "earlier" / "1") == before
    assert json.loads((place / "results.json").read_text())["corpus"]["root"] == str(namesake)
    assert main(again) == 0  # the same test takes its own place
    assert [path.name for path in (place / "earlier").iterdir()] == ["1"]


@pytest.mark.parametrize("limit", ["limit_test_batches=2", "fast_dev_run=2"])
def test_a_part_of_a_test_keeps_apart_and_says_so(
    run: Path, limit: str, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = f"--ckpt_path={run / 'checkpoints' / 'last.ckpt'}"
    assert main(["test", checkpoint, *QUIET]) == 0
    before = everything(run)
    assert "partial" not in json.loads(before["results.json"])
    capsys.readouterr()
    words = ["test", checkpoint, f"--trainer.{limit}", "--features.write=true", *QUIET]
    words.append("--data.batch_size=2")
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert everything(run) == before
    assert not (run / "features.npz").exists()
    results = json.loads((run / "partial" / "results.json").read_text())
    assert results["partial"]["batches"] == 2 < results["partial"]["of"]
    said = f"A part of the test only: 2 of {results['partial']['of']} batches."
    assert said in printed
    assert said in (run / "partial" / "results.html").read_text()
    predictions = read_predictions(run / "partial")
    fakes = sum(each.label for each in predictions)
    assert 0 < len(predictions) < len(read_predictions(run))
    assert results["counts"]["test"] == {"real": len(predictions) - fakes, "fake": fakes}
    assert len(np.load(run / "partial" / "features.npz")["keys"]) == len(predictions)


def test_a_part_of_a_prediction_keeps_apart(run: Path) -> None:
    words = ["predict", f"--ckpt_path={run / 'checkpoints' / 'last.ckpt'}", *QUIET]
    assert main(words) == 0
    before = (run / "predict" / "predictions.csv").read_bytes()
    assert main([*words, "--trainer.limit_predict_batches=2", "--data.batch_size=2"]) == 0
    assert (run / "predict" / "predictions.csv").read_bytes() == before
    part = read_predictions(run / "predict" / "partial")
    assert 0 < len(part) < len(read_predictions(run / "predict"))


def test_robustness_takes_no_part_of_a_test(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["robustness", f"--ckpt_path={run / 'checkpoints' / 'last.ckpt'}", *QUIET]
    message = error_of([*words, "--trainer.limit_test_batches=2", "--data.batch_size=2"], capsys)
    assert "leave out limit_test_batches and fast_dev_run" in message
    assert not (run / "robustness.json").exists()


def test_a_compression_is_that_which_is_asked_for_or_there_is_none(
    run: Path,
    plain_folder: Path,
    tiny_corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = tmp_path / "crops"
    options = ["--detector=center", "--size=32", "--workers=1"]
    assert main(["prepare", str(plain_folder), "--corpus=folder", f"--out={store}", *options]) == 0
    checkpoint = f"--ckpt_path={run / 'checkpoints' / 'last.ckpt'}"
    for test_on in (f"folder={plain_folder}", str(store), f"anything={store}"):
        words = ["test", checkpoint, f"--data.test_on={test_on}", *QUIET]
        message = error_of([*words, "--data.compression=c40"], capsys)
        assert "is in compression native only, but c40 is asked for" in message
        assert "leave --data.compression out" in message
    # That of the training is taken where there are several, and named in the results.
    shifted = tmp_path / "shifted"
    for compression in ("c23", "c40"):
        for name in ("006", "007"):
            for method in ("original", "FaceSwap"):
                other = {"006": "006_007", "007": "007_006"}[name] if method != "original" else name
                target = video_path(shifted, "FaceShifter" if other != name else method, other)
                target = Path(str(target).replace("/c23/", f"/{compression}/"))
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(video_path(tiny_corpus, method, other), target)
    shutil.copytree(tiny_corpus / "splits", shifted / "splits")
    for asked, found in (([], "c23"), (["--data.compression=c40"], "c40")):
        words = ["test", checkpoint, f"--data.test_on=faceshifter={shifted}", *QUIET, *asked]
        assert main(words) == 0
        results = json.loads((run / "tests/faceshifter-shifted/results.json").read_text())
        assert results["corpus"]["compression"] == found
        assert f"/{found}/" in read_predictions(run / "tests/faceshifter-shifted")[0].key
    message = error_of([*words[:-1], "--data.compression=raw"], capsys)
    assert "it has c23" in message or "c40" in message
