import csv
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from deepfake_mtl.cli import main
from deepfake_mtl.data.records import VideoRecord
from deepfake_mtl.data.store.crop_files import (
    probe_crops,
    read_crops,
    read_header,
    read_masks,
    verify,
)
from deepfake_mtl.data.store.crop_settings import CropSettings
from deepfake_mtl.data.store.index import FaceStore
from deepfake_mtl.data.video import Frame, iterate_frames, read_clip
from deepfake_mtl.faces import cropping, preparation
from deepfake_mtl.faces.boxes import Detections
from deepfake_mtl.faces.crops import crop
from tests.conftest import shared_path, video_path
from tests.data.videos import frame_pattern, write_video

MODEL = "models/face_detection_yunet_2026may.onnx"


def words(root: Path, out: Path, *more: str) -> list[str]:
    options = ["--detector=center", "--size=24", "--codec=raw", "--workers=1"]
    return ["prepare", str(root), f"--out={out}", *options, *more]


def report(store: Path) -> dict[str, dict[str, str]]:
    with (store / "report.csv").open() as file:
        return {row["key"]: row for row in csv.DictReader(file)}


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def store(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared") / "store"
    assert main(words(tiny_corpus, out)) == 0
    return out


def test_a_store_holds_every_video_cropped_alike(tiny_corpus: Path, store: Path) -> None:
    assert len(report(store)) == len(FaceStore(store).index()) == 40
    assert (store / "splits" / "test.json").is_file()
    assert (store / "contact_sheet.png").stat().st_size > 1000
    for record in FaceStore(store).index():
        header = verify(record.path)
        original = f"faceforensics/original/c23/{record.identities[0]}"
        assert header.boxes_from == original == report(store)[record.key]["boxes_from"]
        source = video_path(tiny_corpus, record.method, record.name)
        assert header.source == source.relative_to(tiny_corpus).as_posix()
        frames = read_clip(source, 5, 3)
        # The middle square of 40 x 36 pixels, scaled to 24 x 24.
        expected = [crop(each, (2.0, 0.0, 36.0), 24) for each in frames]
        np.testing.assert_array_equal(read_crops(record.path, 5, 3), expected)


def test_a_second_run_does_nothing_and_other_settings_are_refused(
    tiny_corpus: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*.crops")}
    assert main(words(tiny_corpus, store)) == 0
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*.crops")} == before
    assert main(words(tiny_corpus, store, "--margin=1.5")) == 2
    assert "margin is 1.3 there and 1.5 here" in capsys.readouterr().err


class _Wanderer:
    """Finds a face that wanders through the picture, with the noise of a detector, and gaps."""

    def __init__(self, missing: set[int]) -> None:
        self._missing = missing
        self._looks = -1

    def detect(self, _frame: Frame) -> Detections:
        self._looks += 1
        if self._looks in self._missing:
            return Detections.of([])
        noise = np.random.default_rng(self._looks).normal(0, 1, 4)
        x, y = 30 + 2 * self._looks + noise[0], 40 + noise[1]
        return Detections.of([[x, y, x + 20 + noise[2], y + 24 + noise[3]]])


@pytest.mark.parametrize("missing", [set(), {4}, {0, 1, 2}])
def test_what_is_kept_of_frames_makes_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: set[int]
) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, frame_pattern(60, 120, 160))
    settings = CropSettings(size=24, codec="raw", detector="center")
    cropper = cropping.Cropper(cropping.CropSource(tmp_path, settings))
    record = VideoRecord("faceforensics", "original", "c23", "a", ("a",), path)
    decoded = []

    def count(path: Path) -> Iterator[Frame]:
        decoded.append(path)
        yield from iterate_frames(path)

    monkeypatch.setattr(cropping, "iterate_frames", count)
    for name, limit in (("kept", 10**9), ("decoded_again", 0)):
        monkeypatch.setattr(cropping, "_KEPT_BYTES", limit)
        cropper._detector = _Wanderer(missing)
        decoded.clear()
        cropper.crop(cropping.CropJob(record, tmp_path / name, None, None))
        assert len(decoded) == (1 if limit else 2)
    assert (tmp_path / "kept").read_bytes() == (tmp_path / "decoded_again").read_bytes()


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_the_same(
    tiny_corpus: Path, store: Path, tmp_path: Path
) -> None:
    chance = random.Random(0)
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "deepfake_mtl", *words(tiny_corpus, out)]
    killed = 0
    while killed < 10:
        process = subprocess.Popen(command, start_new_session=True)
        # The first seconds are imports; then a video takes hundredths of a second.
        while process.poll() is None and not (out / "store.json").exists():
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.15) if killed else 0)
        had = len(list(out.rglob("*.crops")))
        while process.poll() is None and len(list(out.rglob("*.crops"))) <= had < 36:
            time.sleep(0.001)
        if process.poll() is None:
            children = psutil.Process(process.pid).children(recursive=True)
            if killed % 2:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
                assert not psutil.wait_procs(children, timeout=60)[1]
        process.wait()
        killed += 1
    assert main(words(tiny_corpus, out)) == 0
    assert content(out) == content(store)


def test_what_cannot_be_cropped_is_reported_and_nothing_else_is_lost(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = video_path(corpus, "original", "000")
    whole = broken.read_bytes()
    broken.unlink()
    broken.write_bytes(whole[: len(whole) // 2])
    shorter = video_path(corpus, "FaceSwap", "002_003")
    shorter.unlink()
    write_video(shorter, frame_pattern(20, 36, 40, seed=1))
    empty = video_path(corpus, "original", "005")
    empty.unlink()
    empty.touch()
    single = video_path(corpus, "Deepfakes", "003_002")
    single.unlink()
    write_video(single, frame_pattern(1, 35, 47, seed=2))
    out = tmp_path / "store"
    assert main(words(corpus, out)) == 1
    assert f"38 videos are in {out}; 2 were left out" in capsys.readouterr().out
    rows = report(out)
    assert "empty file" in rows["faceforensics/original/c23/005"]["reason"]
    assert rows["faceforensics/original/c23/000"]["status"] == "left out"
    assert str(broken) in rows["faceforensics/original/c23/000"]["reason"]
    # Without the original, or with another number of frames, a fake is detected by itself.
    for key in ("FaceSwap/c23/000_001", "FaceSwap/c23/002_003", "Deepfakes/c23/003_002"):
        assert rows[f"faceforensics/{key}"]["boxes_from"] == f"faceforensics/{key}"
    assert probe_crops(out / "crops/Deepfakes/c23/003_002.crops").frames == 1


def test_rotated_videos_and_masks(corpus: Path, tmp_path: Path) -> None:
    turned = video_path(corpus, "original", "001")
    turned.unlink()
    write_video(turned, frame_pattern(24, 36, 40, seed=3), crf=0, rotation=90)
    masks = corpus / "manipulated_sequences" / "FaceSwap" / "masks" / "videos" / "000_001.mp4"
    masks.parent.mkdir(parents=True)
    shape = np.zeros((24, 36, 40, 3), np.uint8)
    shape[:, 8:28, 10:30] = 255
    write_video(masks, shape, crf=0)
    out = tmp_path / "store"
    assert main(words(corpus, out, "--masks")) == 0
    header = read_header(out / "crops/original/c23/001.crops")
    assert (header.source_width, header.source_height) == (36, 40)
    stored = read_masks(out / "crops/FaceSwap/c23/000_001.crops", 0, 24)
    assert stored.shape == (24, 24, 24)
    # 20 x 20 of 36 x 36 pixels are covered.
    assert (stored > 127).mean() == pytest.approx((20 / 36) ** 2, abs=0.03)


@pytest.mark.slow
def test_a_variable_rate_and_a_large_picture(corpus: Path, tmp_path: Path) -> None:
    times = [0, 1, 2, 5, 9, 10, 11, 20]
    varying, large = (video_path(corpus, "original", name) for name in ("002", "003"))
    for path in (varying, large):
        path.unlink()
    write_video(varying, frame_pattern(8, 36, 40, seed=1), times=times)
    write_video(large, frame_pattern(2, 2160, 3840, seed=2), pix_fmt="yuv420p")
    out = tmp_path / "store"
    assert main(words(corpus, out)) == 0
    header = read_header(out / "crops/original/c23/002.crops")
    assert header.times == pytest.approx([time / 25 for time in times])
    header = read_header(out / "crops/original/c23/003.crops")
    assert (header.source_width, header.source_height) == (3840, 2160)
    assert header.squares[0] == pytest.approx((840, 0, 2160))


def test_a_disk_that_is_too_small(
    tiny_corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    free = shutil.disk_usage(tmp_path)._replace(total=10**6, free=5 * 10**5)
    monkeypatch.setattr(preparation.shutil, "disk_usage", lambda _: free)
    assert main(words(tiny_corpus, tmp_path / "store")) == 2
    assert "choose another disk with --out" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.crops"))


@pytest.mark.slow
def test_a_disk_that_fills_up(tiny_corpus: Path, store: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands in for it."""
    resource = pytest.importorskip("resource")
    out = tmp_path / "store"
    command = [sys.executable, "-m", "deepfake_mtl", *words(tiny_corpus, out)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(out.rglob("*.part"))
    assert main(words(tiny_corpus, out)) == 0
    assert content(out) == content(store)


def test_a_detector_that_is_no_model(
    tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "face.onnx"
    model.write_bytes(b"not a network")
    more = ["--detector=yunet", f"--detector_model={model}"]
    assert main(words(tiny_corpus, tmp_path / "store", *more)) == 2
    assert f"cannot use {model} as a face detector" in capsys.readouterr().err


@pytest.mark.slow
def test_faces_of_the_real_sample(tmp_path: Path) -> None:
    root, model = shared_path("ffpp_sample"), shared_path(MODEL)
    out = tmp_path / "store"
    more = ["--detector=yunet", f"--detector_model={model}", "--codec=jpeg95", "--size=64"]
    more += ["--on_missing=skip"]  # Face2Face is not there
    assert main(words(root, out, *more)) == 0
    store = FaceStore(out)
    assert len(store.index()) == 6
    for record in store.index():
        header = verify(record.path)
        squares = np.array(header.squares)
        # A steady crop: neither place nor side jumps from one frame to the next.
        assert np.abs(np.diff(squares, axis=0)).max() < 0.05 * squares[:, 2].mean()
        known = [score for score in header.scores if score is not None]
        assert len(known) > 0.15 * header.frames
        assert np.median(known) > 0.8


def test_videos_without_a_face_are_left_out(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "store"
    more = ["--detector=yunet", f"--detector_model={shared_path(MODEL)}"]
    assert main(words(corpus, out, *more)) == 2  # noise everywhere: there is nothing to store
    assert "report.csv" in capsys.readouterr().err
    reasons = {row["reason"].split(": ", 1)[1] for row in report(out).values()}
    assert any(reason.startswith("no usable face") for reason in reasons)


def test_a_store_is_verified_without_its_corpus(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(store, tmp_path / "copy"))
    assert main(["prepare", str(copy), "--verify"]) == 0
    assert capsys.readouterr().out == f"nothing damaged in {copy}\n"
    damaged = sorted(copy.rglob("*.crops"))[3:5]
    for path in damaged:
        content = bytearray(path.read_bytes())
        content[200] ^= 1
        path.write_bytes(content)
    assert main(["prepare", str(copy), "--verify"]) == 1
    first, second, last = capsys.readouterr().out.splitlines()
    for path, line in zip(damaged, (first, second), strict=True):
        assert line.startswith(f"{path}: frame 0 of 24 is damaged")
    assert last == f"2 damaged in {copy}"
    for words in ([str(tmp_path / "nowhere"), "--verify"], [str(copy)]):
        assert main(["prepare", *words]) == 2
    assert "nowhere: no store of face crops" in (error := capsys.readouterr().err)
    assert "--out is required, but not given" in error
