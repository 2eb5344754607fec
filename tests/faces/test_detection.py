import hashlib
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from deepfake_mtl.data.video import Frame, iterate_frames, read_clip
from deepfake_mtl.errors import CheckpointError, ConfigurationError
from deepfake_mtl.faces import detection
from deepfake_mtl.faces.detection import Center, YuNet, find_detector_model
from deepfake_mtl.faces.tracks import TrackSettings, find_main_track
from tests.conftest import shared_path, video_path

# Seen by eye: the middle of the face in the median over time, and its height, in pixels.
FACES = {"004": (797, 215, 170), "519": (407, 147, 104), "634": (642, 240, 250)}
FAKES = {"004": ("NeuralTextures", 982), "519": ("Deepfakes", 515), "634": ("FaceSwap", 660)}


@pytest.fixture(scope="module")
def yunet() -> YuNet:
    return YuNet(shared_path("models") / detection.MODEL_NAME)


def squares(yunet: YuNet, video: Path) -> NDArray[np.float64]:
    """The face in every fifth frame of a video, out of detections in just these."""
    frames = enumerate(iterate_frames(video))
    found = {number: yunet.detect(frame) for number, frame in frames if number % 5 == 0}
    track = find_main_track(video, found, max(found) + 1, TrackSettings())
    assert track.present.all()
    return track.squares[::5]


@pytest.mark.parametrize("name", FACES)
def test_the_right_person_is_followed_alike_in_real_and_fake(yunet: YuNet, name: str) -> None:
    root = shared_path("ffpp_sample")
    method, source = FAKES[name]
    real = squares(yunet, video_path(root, "original", name))
    fake = squares(yunet, video_path(root, method, f"{name}_{source}"))
    side = FACES[name][2]
    assert np.abs(np.median(real, axis=0) - FACES[name]).max() < 0.1 * side
    # A head moves by its own width at most in these videos; the second face of 004 is far off.
    assert np.ptp(real[:, :2], axis=0).max() < side
    assert np.sqrt(np.mean((real - fake) ** 2, axis=0)).max() < 0.03 * side
    assert np.abs(real - fake).max() < 0.06 * side


def test_an_upright_video_of_a_moving_face(yunet: YuNet) -> None:
    found = squares(yunet, shared_path("dfdc_sample") / "yhffcuhhjy.mp4")
    assert np.abs(np.median(found, axis=0) - (408, 390, 140)).max() < 25
    assert found[:, 2].min() > 100
    assert found[:, 2].max() < 180


def frame_of_634() -> NDArray[np.uint8]:
    return read_clip(video_path(shared_path("ffpp_sample"), "original", "634"), 50, 1)[0]


def boxes(yunet: YuNet, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    return yunet.detect(Frame(picture)).boxes


@pytest.mark.parametrize(("width", "height"), [(64, 36), (97, 55), (640, 360), (3840, 2160)])
def test_a_face_is_found_at_any_size_of_the_picture(yunet: YuNet, width: int, height: int) -> None:
    frame = frame_of_634()
    (expected,) = boxes(yunet, frame)
    method = cv2.INTER_AREA if width < 1280 else cv2.INTER_CUBIC
    scaled = np.asarray(cv2.resize(frame, (width, height), interpolation=method), np.uint8)
    found = yunet.detect(Frame(scaled))
    assert found.boxes.dtype == found.scores.dtype == np.float32
    (box,), (score,) = found.boxes, found.scores
    expected = expected * (width / 1280)
    assert np.abs(box - expected).max() < 0.08 * (expected[3] - expected[1])
    assert score > 0.9  # some 0.1 less if red and blue were exchanged


def test_a_small_face_in_a_large_picture_is_found_at_the_second_look(yunet: YuNet) -> None:
    frame = np.zeros((2160, 3840, 3), np.uint8)
    small = cv2.resize(frame_of_634(), (640, 360), interpolation=cv2.INTER_AREA)
    frame[1000:1360, 2000:2640] = small
    (box,) = boxes(yunet, frame)
    (expected,) = boxes(yunet, np.asarray(small, np.uint8)) + np.tile([2000, 1000], 2)
    assert np.abs(box - expected).max() < 20
    assert len(boxes(yunet, np.zeros((2160, 3840, 3), np.uint8))) == 0


def test_the_digest_is_of_the_model_and_of_settings(yunet: YuNet) -> None:
    content = (shared_path("models") / detection.MODEL_NAME).read_bytes()
    # As stores and checkpoints of before have it.
    settings = b"yunet score=0.6 longest=320 shortest=320 "
    assert yunet.digest == hashlib.sha256(settings + content).hexdigest()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot use"),
        (b"no model at all", "parse"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:50\nsize 9\n", "LFS pointer"),
    ],
)
def test_a_file_that_is_no_model_is_named(
    tmp_path: Path, content: bytes, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=reason) as caught:
        YuNet(path)
    assert str(path) in str(caught.value)
    assert detection.MODEL_URL in str(caught.value)
    assert capfd.readouterr().err == ""
    path.unlink()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        YuNet(path)


def test_the_model_is_sought_in_three_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPFAKE_MTL_CACHE", str(tmp_path / "cache"))
    cached = tmp_path / "cache" / detection.MODEL_NAME
    own = tmp_path / "own.onnx"
    with pytest.raises(ConfigurationError, match=r"no face detector at .*own.onnx"):
        find_detector_model(own)
    own.write_bytes(b"my own")
    assert find_detector_model(own) == own

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(CheckpointError) as caught:
        find_detector_model()
    assert f"get {detection.MODEL_URL} and put it at {cached}" in str(caught.value)
    monkeypatch.undo()

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("DEEPFAKE_MTL_CACHE", raising=False)
    cached = tmp_path / "deepfake_mtl" / detection.MODEL_NAME
    published = tmp_path / "published"
    published.write_bytes(b"the model")
    monkeypatch.setattr(detection, "MODEL_URL", published.as_uri())
    with pytest.raises(CheckpointError, match="another SHA-256"):
        find_detector_model()
    assert not cached.exists()
    monkeypatch.setattr(detection, "MODEL_SHA256", hashlib.sha256(b"the model").hexdigest())
    assert find_detector_model() == cached
    assert cached.read_bytes() == b"the model"
    cached.write_bytes(b"half")
    with pytest.raises(CheckpointError, match="Delete it"):
        find_detector_model()


def test_the_published_digest_is_that_of_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPFAKE_MTL_CACHE", str(tmp_path))
    shutil.copy(shared_path("models") / detection.MODEL_NAME, tmp_path)
    assert find_detector_model() == tmp_path / detection.MODEL_NAME


def test_the_middle_of_the_picture() -> None:
    frame = Frame(np.zeros((41, 60, 3), np.uint8))
    assert Center().detect(frame).boxes.tolist() == [[9.5, 0, 50.5, 41]]
    assert Center().detect(frame).scores.tolist() == [1]
    (box,) = Center(margin=1.3).detect(frame).boxes
    assert np.allclose((box[2:] - box[:2]) * 1.3, 41)
    assert np.allclose((box[2:] + box[:2]) / 2, (30, 20.5))
    assert Center(1.3).digest != Center().digest
    with pytest.raises(ConfigurationError, match="margin=0"):
        Center(0)
