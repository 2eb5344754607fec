"""Verdicts, annotated videos and stores are about pictures as players show them."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from deepfake_mtl.cli import main
from deepfake_mtl.data.store.crop_files import read_crops, read_header
from deepfake_mtl.data.video import iterate_frames, probe, read_clip
from deepfake_mtl.inference import DetectOptions, VideoDetector
from deepfake_mtl.inference.report.annotate import annotate
from tests.inference.made_up import description, write_folder

_ONE = 1 << 16


def write(path: Path, *, interlaced: bool = False, fps: int = 25) -> np.ndarray:
    """Twelve frames of 96x64, stored mirrored and squeezed to 64 columns; returns the first."""
    y, x = np.mgrid[:64, :96]
    shown = np.stack([2 * x, 3 * y, 0 * x], -1).astype(np.uint8)
    stored = shown[:, ::-1][:, np.arange(64) * 3 // 2]
    options = {"crf": "0"} | ({"x264-params": "interlaced=1:tff=1"} if interlaced else {})
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv444p"
        stream.codec_context.sample_aspect_ratio = Fraction(3, 2)
        stream.set_display_matrix([-_ONE, 0, 0, 0, _ONE, 0, 64 * _ONE, 0, 1 << 30])
        for _ in range(12):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(stored.copy(), "rgb24")))
        container.mux(stream.encode(None))
    return shown


def test_an_annotated_video_shows_what_players_show(tmp_path: Path) -> None:
    video, copy = tmp_path / "a.mp4", tmp_path / "copy.mp4"
    shown = write(video)
    detector = VideoDetector.from_checkpoint(write_folder(tmp_path / "detector", description()))
    analysis = detector.analyse(video)
    assert analysis.verdict.faces[0].side == 64
    annotate(analysis, copy, detector.options.limits, lambda _done, _all: None)
    info = probe(copy)
    assert (info.frames, info.width, info.height) == (12, 96, 64)
    difference = read_clip(copy, 3, 1)[0].astype(int) - shown
    assert np.abs(difference).mean() < 6
    annotate(
        detector.analyse(video, keep_squares=True), copy, detector.options.limits, lambda *_: None
    )
    drawn = np.abs(read_clip(copy, 3, 1)[0].astype(int) - shown)
    assert drawn[:, [16, 79]].mean() > 20  # the edges of the square in the middle
    assert drawn[40:60, 30:66].mean() < 6


def test_a_store_holds_what_players_show(tmp_path: Path) -> None:
    root, out = tmp_path / "corpus", tmp_path / "store"
    for kind in ("real", "fake"):
        (root / kind).mkdir(parents=True)
        shown = write(root / kind / f"{kind}.mp4")
    words = ["prepare", str(root), "--corpus=folder", f"--out={out}", "--detector=center"]
    assert main([*words, "--size=64", "--codec=raw", "--workers=1"]) == 0
    (path,) = (out / "crops").rglob("real.crops")
    header = read_header(path)
    assert (header.source_width, header.source_height) == (96, 64)
    difference = read_crops(path, 5, 1)[0].astype(int) - shown[:, 16:80]
    assert np.abs(difference).max() <= 6


@pytest.mark.parametrize(
    ("interlaced", "fps", "expected"),
    [(False, 25, set()), (True, 25, {"interlaced"}), (False, 5, {"frame_rate"})],
)
def test_a_verdict_says_what_training_did_not_have(
    tmp_path: Path, interlaced: bool, fps: int, expected: set[str]
) -> None:
    path = tmp_path / "a.mp4"
    write(path, interlaced=interlaced, fps=fps)
    assert {frame.is_interlaced for frame in iterate_frames(path)} == {interlaced}
    trained = {"shorter_side": [64.0] * 3, "bits_per_pixel": None, "fps": [24.0, 25.0, 30.0]}
    folder = write_folder(tmp_path / "detector", description(videos=trained))
    verdict = VideoDetector.from_checkpoint(folder, DetectOptions(device="cpu"))(path)
    codes = {warning.code for warning in verdict.warnings}
    assert codes & {"interlaced", "frame_rate", "resolution"} == expected
