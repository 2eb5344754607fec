"""Exported folders: without Lightning, traced, and the same detector."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from deepfake_mtl.cli import main
from deepfake_mtl.errors import CheckpointError
from deepfake_mtl.inference import VideoDetector
from deepfake_mtl.inference.export.folder import largest_difference
from deepfake_mtl.inference.loading import load_detector
from tests.data.videos import frame_pattern, write_video
from tests.inference.made_up import description, write_folder

CODE = """
import sys
for name in ("pytorch_lightning", "lightning", "lightning_fabric", "jsonargparse", "tensorboard"):
    sys.modules[name] = None
from deepfake_mtl import VideoDetector
verdict = VideoDetector.from_checkpoint(sys.argv[1])(sys.argv[2])
print(verdict.score, verdict.detector.corpus["synthetic"])
"""


@pytest.fixture(scope="module")
def exported(crops_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "folder"
    checkpoint = crops_run / "checkpoints" / "last.ckpt"
    assert main(["export", f"--ckpt_path={checkpoint}", f"--out={folder}"]) == 0
    return folder


@pytest.mark.slow
def test_a_folder_is_the_same_detector_without_lightning(
    exported: Path, crops_run: Path, tmp_path: Path
) -> None:
    video = tmp_path / "a.mp4"
    write_video(video, frame_pattern(30, 36, 40))
    expected = VideoDetector.from_checkpoint(crops_run / "checkpoints" / "last.ckpt")(video)
    printed = subprocess.run(
        [sys.executable, "-c", CODE, str(exported), str(video)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert float(printed[0]) == pytest.approx(expected.score, abs=1e-6)
    assert printed[1] == "False"
    one, other = load_detector(crops_run / "checkpoints" / "last.ckpt"), load_detector(exported)
    assert one.description == other.description
    assert one.description.videos is not None
    assert one.description.videos["crop_side"] == pytest.approx([36] * 3)
    assert one.description.metrics is not None
    card = (exported / "README.md").read_text()
    assert f"{one.description.threshold:.4f}" in card
    assert "Face2Face" in card


def test_a_store_tells_of_its_videos_what_they_tell_themselves(
    whole_run: Path, crops_run: Path
) -> None:
    whole, crops = (
        load_detector(run / "checkpoints" / "last.ckpt").description.videos
        for run in (whole_run, crops_run)
    )
    assert whole is not None
    assert crops is not None
    for name in ("shorter_side", "bits_per_pixel", "fps"):
        assert crops[name] == pytest.approx(whole[name])


@pytest.mark.slow
def test_the_traced_network_takes_any_number_of_clips(exported: Path) -> None:
    trained = load_detector(exported)
    program = torch.export.load(exported / "model.pt2")
    clips = torch.randint(256, (7, 3, 8, 32, 32), dtype=torch.uint8)
    assert largest_difference(trained.network, program, clips) < 1e-6
    with torch.inference_mode():
        whole = program.module()(clips)
        expected = trained.network(clips)
    assert whole["manipulation"].shape == (7, 5)
    for name, probabilities in expected.items():
        np.testing.assert_allclose(whole[name], probabilities, atol=1e-6)
        assert probabilities.std(dim=0).max() > 0


def test_an_existing_folder_and_other_files_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "folder", description())
    assert main(["export", f"--ckpt_path={folder}", f"--out={folder}"]) == 2
    assert "is not empty" in capsys.readouterr().err
    for text in ('{"format": "other", "version": 1}', "{}", "no JSON"):
        (folder / "config.json").write_text(text)
        with pytest.raises(CheckpointError, match=r"config\.json"):
            load_detector(folder)
    (folder / "config.json").write_text(
        description().to_json().replace("tests.inference.made_up.RedEncoder", "os.system")
    )
    with pytest.raises(CheckpointError, match="no Encoder"):
        load_detector(folder)
