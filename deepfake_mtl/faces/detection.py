"""Where the faces are in one frame."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import cv2
import numpy as np

from deepfake_mtl.data.video import Frame
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.faces.boxes import Detections
from deepfake_mtl.util.downloads import cache_folder, obtain

MODEL_NAME: Final = "face_detection_yunet_2026may.onnx"
"""The file of YuNet that OpenCV 4 and 5 load."""

MODEL_SHA256: Final = "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0"
"""SHA-256 of that file."""

MODEL_URL: Final = (
    "https://media.githubusercontent.com/media/opencv/opencv_zoo/"
    "47534e27c9851bb1128ccc0102f1145e27f23f98/models/face_detection_yunet/" + MODEL_NAME
)
"""Where it is published, under the MIT licence: OpenCV's model zoo, at a fixed commit. The plain
raw address would give a Git LFS pointer instead of the file."""

_OVERLAP: Final = 0.3  # intersection over union above which two boxes are one face (OpenCV's own)
_CANDIDATES: Final = 1000
_SCORE: Final = 0.6  # of a box that counts
_SIDE: Final = 320  # the longer one of the picture that is searched, in pixels


class FaceDetector(Protocol):
    """Find the faces of a frame; frames are independent of each other.

    Attributes:
        digest: Hexadecimal digits that differ where detectors may find different boxes.
    """

    digest: str

    def detect(self, frame: Frame) -> Detections:
        """Return the faces of one frame, in pixels of its upright picture."""
        ...


class Center:
    """Find one face in every frame: the largest square in its middle.

    Args:
        margin: The box is smaller than that square by this factor, so that a crop with the same
            margin is the square.

    Raises:
        ConfigurationError: The margin is not positive.
    """

    def __init__(self, margin: float = 1.0) -> None:
        if not margin > 0:
            raise ConfigurationError(f"margin={margin}: must be greater than 0")
        self.digest = _digest(f"center margin={margin!r}".encode())
        self._margin = margin

    def detect(self, frame: Frame) -> Detections:
        """See `FaceDetector.detect`; the score is 1."""
        half = min(frame.height, frame.width) / 2 / self._margin
        x, y = frame.width / 2, frame.height / 2
        return Detections.of([[x - half, y - half, x + half, y + half]])


class YuNet:
    """YuNet (Wu, Peng and Yu, 2023) as OpenCV runs it.

    Frames are scaled to a longer side of 320 pixels, so that one detector serves pictures from 64
    pixels to 4K. A frame that was shrunk and shows no face is searched once more at twice the
    size: so a small face in a large picture is found, and the usual frame stays cheap.

    OpenCV spreads the work over threads; where several processes detect, call
    ``cv2.setNumThreads(1)`` in each. An instance belongs to one process and one thread.

    Args:
        model: The ONNX file, as `find_detector_model` returns it.

    Raises:
        ConfigurationError: OpenCV does not take the file as a face detector.
    """

    def __init__(self, model: Path) -> None:
        self._detector, content = _load(model)
        settings = f"yunet score={_SCORE!r} longest={_SIDE} shortest={_SIDE} "
        self.digest = _digest(settings.encode() + content)

    def detect(self, frame: Frame) -> Detections:
        """See `FaceDetector.detect`."""
        longer = max(frame.height, frame.width)
        found = self._detect(frame, _SIDE / longer)
        if not len(found) and longer > _SIDE:
            found = self._detect(frame, min(2 * _SIDE, longer) / longer)
        return found

    def _detect(self, frame: Frame, factor: float) -> Detections:
        size = max(round(frame.width * factor), 1), max(round(frame.height * factor), 1)
        self._detector.setInputSize(size)
        _, rows = self._detector.detect(cv2.cvtColor(frame.scaled(*size), cv2.COLOR_RGB2BGR))
        # A row: left, top, width, height, five points, score. Without a face it is None, whatever
        # the annotation says.
        found = np.asarray([] if rows is None else rows, np.float64).reshape(-1, 15)
        corners = np.hstack([found[:, :2], found[:, :2] + found[:, 2:4]])
        corners *= np.tile([frame.width / size[0], frame.height / size[1]], 2)
        real = (found[:, 2:4] > 0).all(axis=1)
        return Detections.of(corners[real], found[real, 14])


def find_detector_model(path: Path | None = None) -> Path:
    """Return the file of the face detector: the given one, that of the cache, or a download.

    The cache is `deepfake_mtl.util.downloads.cache_folder`. A cached or downloaded file has its
    SHA-256 checked; a given one may be another model.

    Args:
        path: The user's own choice, if any.

    Raises:
        ConfigurationError: The given path is not a file.
        CheckpointError: The download fails, or the cached file is not the right one; the message
            says what to get and where to put it.
    """
    if path is not None:
        if not path.is_file():
            raise ConfigurationError(
                f"there is no face detector at {path}; get {MODEL_URL}, or leave the path out to "
                "have it downloaded"
            )
        return path
    return obtain(MODEL_URL, cache_folder() / MODEL_NAME, MODEL_SHA256)


def _load(model: Path) -> tuple[cv2.FaceDetectorYN, bytes]:
    """Return the detector, tried on an empty picture, and the content of its file."""
    try:
        content = model.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"the face detector {model} cannot be read ({error.strerror}); check the path, or get "
            f"it from {MODEL_URL}"
        ) from error
    data, no_configuration = np.frombuffer(content, np.uint8), np.zeros(0, np.uint8)
    size = (64, 64)
    try:
        with _quiet():
            detector = cv2.FaceDetectorYN.create(
                "onnx", data, no_configuration, size, _SCORE, _OVERLAP, _CANDIDATES
            )
            detector.detect(np.zeros((*size, 3), np.uint8))
    except cv2.error as error:
        pointer = content.startswith(b"version https://git-lfs")
        what = "it is a Git LFS pointer, not the file itself" if pointer else str(error.err).strip()
        raise ConfigurationError(
            f"OpenCV {cv2.__version__} cannot use {model} as a face detector ({what}); get "
            f"{MODEL_URL}, whose SHA-256 is {MODEL_SHA256}"
        ) from error
    return detector, content


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence OpenCV 5, which warns of every network that it loads, and says errors twice."""
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
