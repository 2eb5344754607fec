"""What the first version wrote is read as it was, and goes on as it would have gone on.

``tests/fixtures/first`` was made by ``tests/compatibility/make.py`` at commit 9876fd0: a store of
face crops, three runs on it (two contrastive tasks; two tasks with an encoder each; S3D whose
weights are few different numbers, so that they compress), their tests, and exported folders. All
expected values are those of that commit.
"""

import csv
import json
import lzma
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from deepfake_mtl.cli import main
from deepfake_mtl.data.store.crop_files import count_masks, read_crops, read_masks, verify
from deepfake_mtl.data.store.index import FaceStore
from deepfake_mtl.evaluation.predictions import read_predictions
from deepfake_mtl.inference.loading import load_detector

FIRST = Path(__file__).parents[1] / "fixtures" / "first"
RUNS = ("contrast", "separate", "s3d")
EXPORTED = {"contrast": 16, "s3d": 32}
QUIET = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]


@pytest.fixture
def first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to write to, which is also the working directory: the runs name no other."""
    folder = Path(shutil.copytree(FIRST, tmp_path / "first"))
    for packed in folder.rglob("*.xz"):
        packed.with_suffix("").write_bytes(lzma.decompress(packed.read_bytes()))
        packed.unlink()
    monkeypatch.chdir(folder)
    return folder


def table(path: Path) -> tuple[list[str], list[list[str]], np.ndarray]:
    """The header, the words and the numbers of a file of predictions."""
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    first = header.index("score")
    numbers = np.array([[float(value) for value in row[first:]] for row in rows])
    return header, [row[:first] for row in rows], numbers


def assert_same(found: Path, expected: Path, tolerance: float) -> None:
    header, words, numbers = table(found)
    expected_header, expected_words, expected_numbers = table(expected)
    assert (header, words) == (expected_header, expected_words)
    np.testing.assert_allclose(numbers, expected_numbers, atol=tolerance)


def clips(size: int) -> torch.Tensor:
    """As in ``make.py``."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 100, (5, 3, 8, size, size), generator=generator)
    level = torch.randint(0, 150, (5, 3, 1, 1, 1), generator=generator)
    return (noise + level).to(torch.uint8)


@pytest.mark.parametrize("run", RUNS)
def test_a_test_finds_the_same(run: str, first: Path) -> None:
    before = json.loads((first / run / "results.json").read_text())
    for written in ("results.json", "predictions.csv"):
        (first / run / written).unlink()
    words = [f"--ckpt_path={run}/checkpoints/last.ckpt", "--trainer.logger=false", *QUIET]
    assert main(["test", *words]) == 0
    assert_same(first / run / "predictions.csv", FIRST / run / "predictions.csv", 1e-5)
    after = json.loads((first / run / "results.json").read_text())
    for name in ("schema_version", "corpus", "held_out", "seed", "counts"):
        assert after[name] == before[name], name
    # What a probe measures on this machine is no matter of the checkpoint.
    for stage, record in before["precision"].items():
        assert after["precision"][stage]["used"] == record["used"]
    assert flat(after["figures"]) == pytest.approx(flat(before["figures"]), abs=1e-5)


def flat(value: object, place: str = "") -> dict[str, object]:
    """Every number and word of nested figures, by its place."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return {place: value}
    return {k: v for name, each in items for k, v in flat(each, f"{place}/{name}").items()}


@pytest.mark.parametrize("run", ["contrast", "separate"])
def test_a_training_goes_on_by_its_configuration_as_it_would_have(run: str, first: Path) -> None:
    last = f"{run}/checkpoints/last.ckpt"
    words = [f"--config={run}/config.yaml", "--trainer.max_epochs=3", f"--ckpt_path={last}"]
    assert main(["fit", *words]) == 0
    assert main(["test", f"--ckpt_path={last}", "--trainer.logger=false", *QUIET]) == 0
    # Another epoch made a difference that is larger than what processors disagree in.
    longer = FIRST / run / "predictions_longer.csv"
    assert_same(first / run / "predictions.csv", longer, 1e-4)
    assert np.abs(table(longer)[2] - table(FIRST / run / "predictions.csv")[2]).max() > 1e-2


@pytest.mark.parametrize(
    ("file", "run"),
    [
        ("contrast/checkpoints/best.ckpt", "contrast"),
        ("contrast/checkpoints/last.ckpt", "contrast"),
        ("contrast/exported", "contrast"),
        ("s3d/checkpoints/last.ckpt", "s3d"),
        ("s3d/exported", "s3d"),
    ],
)
def test_a_network_scores_the_same_from_checkpoint_and_folder(
    file: str, run: str, first: Path
) -> None:
    trained = load_detector(first / file)
    expected = json.loads((first / run / "scores.json").read_text())
    with torch.inference_mode():
        found = trained.network(clips(EXPORTED[run]))
    assert list(found) == list(expected)
    for name, probabilities in expected.items():
        np.testing.assert_allclose(found[name], probabilities, atol=1e-5)
    assert np.ptp(np.array(expected["binary"])[:, 0]) > 1e-3  # else anything would agree
    description = trained.description
    assert description.held_out == ("Face2Face",)
    assert description.crops is not None
    assert description.crops.detector == "center"
    config = yaml.safe_load((first / run / "config.yaml").read_text())
    assert (description.size, description.clip_length) == (config["data"]["size"], 8)


@pytest.mark.parametrize("run", sorted(EXPORTED))
def test_an_exported_folder_describes_what_its_checkpoint_does(run: str, first: Path) -> None:
    exported = load_detector(first / run / "exported").description
    assert load_detector(first / run / "checkpoints" / "last.ckpt").description == exported


def test_a_store_holds_what_it_held(first: Path) -> None:
    records = FaceStore(first / "store").index()
    assert len(records) == 30
    assert {record.method for record in records} == {
        "original", "Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures"
    }  # fmt: skip
    for record in records:
        header = verify(record.path)
        assert (header.name, header.frames) == (record.name, 12)
        assert header.key == record.key


@pytest.mark.parametrize(("codec", "tolerance"), [("raw", 0), ("jpeg95", 8)])
def test_crops_and_masks_of_both_codecs(codec: str, tolerance: int, first: Path) -> None:
    path = first / "codecs" / f"{codec}.crops"
    frames = np.load(first / "codecs" / "frames.npy")
    header = verify(path)
    assert (header.key, header.frames) == ("faceforensics/Deepfakes/c23/000_001", 4)
    assert (header.scores, header.squares[0]) == ((0.9, None, 0.75, None), (10.25, 2.5, 47.0))
    assert np.abs(read_crops(path, 0, 4).astype(int) - frames).max() <= tolerance
    assert np.array_equal(read_masks(path, 1, 2, 2), frames[1::2, ..., 0] // 128 * 255)
    assert count_masks(path) == 4


@pytest.mark.parametrize("run", RUNS)
def test_predictions_are_read(run: str, first: Path) -> None:
    path = first / run / "predictions.csv"
    predictions = {each.key: each for each in read_predictions(path)}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            assert predictions.pop(row["key"]).score == float(row["score"])
    assert not predictions
