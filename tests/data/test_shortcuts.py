"""What tells real from fake without a look at a face is an error, or is said."""

import logging
import math
from pathlib import Path

import cv2
import pytest

from deepfake_mtl.cli import main
from deepfake_mtl.data.datamodule import DeepfakeDataModule
from deepfake_mtl.data.records import VideoRecord
from deepfake_mtl.data.shortcuts import check_shortcuts
from deepfake_mtl.data.video import VideoInfo
from deepfake_mtl.errors import CorpusError
from tests.data.videos import frame_pattern


def videos(**methods):
    """Records and infos of methods, of which each is a list of (width, height, fps, codec)."""
    pairs = [
        (VideoRecord("c", method, "native", str(n), (str(n),), Path(f"{n}")), VideoInfo(9, *each))
        for method, held in methods.items()
        for n, each in enumerate(held)
    ]
    return [record for record, _ in pairs], [info for _, info in pairs]


def said(caplog, **methods) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        check_shortcuts(*videos(**methods))
    return [record.getMessage() for record in caplog.records]


LARGE, SMALL = (1920, 1080, 25.0, "h264"), (640, 480, 25.0, "h264")


def test_what_overlaps_is_no_shortcut(caplog) -> None:
    assert said(caplog, original=[LARGE, SMALL], Deepfakes=[SMALL], FaceSwap=[LARGE]) == []
    assert said(caplog, original=[LARGE]) == []
    assert said(caplog, Deepfakes=[LARGE]) == []
    turned = (1080, 1920, 25.0, "h264")
    assert said(caplog, original=[LARGE], Deepfakes=[turned]) == []
    rates = [(640, 480, rate, "h264") for rate in (30.0, 30000 / 1001, math.nan)]
    assert said(caplog, original=rates[:1], Deepfakes=rates[1:]) == []


def test_one_warning_says_all_that_differs_throughout(caplog) -> None:
    (message,) = said(
        caplog,
        original=[LARGE, (1280, 720, 30.0, "h264")],
        Deepfakes=[(640, 480, 25.0, "mpeg4"), (640, 360, 25.0, "mpeg4")],
        FaceSwap=[(1920, 1080, 60.0, "h264")],
    )
    assert "codec (original h264, Deepfakes mpeg4)" in message
    assert "shorter side in pixels (original 720 to 1080, Deepfakes 360 to 480)" in message
    assert "frames a second (original 25 to 30, FaceSwap 60)" in message
    assert "frames a second (original 25 to 30, Deepfakes" not in message


@pytest.mark.parametrize(
    ("real", "fake"), [("png", ["jpeg"]), ("jpeg", ["png"]), ("png", ["png", "jpeg"])]
)
def test_images_of_other_formats_are_an_error(real: str, fake: list[str]) -> None:
    held = {"original": [(64, 64, math.nan, real)] * 2}
    held["Deepfakes"] = [(64, 64, math.nan, codec) for codec in fake]
    with pytest.raises(CorpusError, match=r"are folders of .* images, those of Deepfakes of"):
        check_shortcuts(*videos(**held))
    held["original"] = [(64, 64, math.nan, codec) for codec in fake]
    check_shortcuts(*videos(**held))


def test_a_training_and_prepare_refuse_them(tmp_path: Path, capsys) -> None:
    root = tmp_path / "corpus"
    for kind, ending in (("real", ".png"), ("fake", ".jpg")):
        for number in range(2):
            folder = root / kind / f"{kind}{number}"
            folder.mkdir(parents=True)
            for frame, picture in enumerate(frame_pattern(3, seed=number)):
                cv2.imwrite(str(folder / f"{frame}{ending}"), picture)
    message = "original videos are folders of PNG images, those of fake of JPEG"
    datamodule = DeepfakeDataModule(
        str(root), held_out="none", test_on=f"folder={root}", num_workers=0
    )
    with pytest.raises(CorpusError, match=message):
        datamodule.setup("test")
    words = ["prepare", str(root), "--corpus=folder", f"--out={tmp_path / 'store'}"]
    assert main([*words, "--detector=center", "--workers=1"]) == 2
    assert message in capsys.readouterr().err
