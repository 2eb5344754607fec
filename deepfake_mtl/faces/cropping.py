"""One video to one file of crops."""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.data.corpora.scanning import BOX_SUFFIXES
from deepfake_mtl.data.records import VideoRecord
from deepfake_mtl.data.store.crop_files import count_masks, read_header, write_crops
from deepfake_mtl.data.store.crop_header import CropHeader
from deepfake_mtl.data.store.crop_settings import CropSettings
from deepfake_mtl.data.video import Frame, iterate_frames, probe
from deepfake_mtl.data.video.colours import Window
from deepfake_mtl.errors import ConfigurationError, VideoError
from deepfake_mtl.faces.box_files import find_boxes, read_boxes
from deepfake_mtl.faces.boxes import Detections
from deepfake_mtl.faces.crops import Square, covered, crop_frame, looked_at
from deepfake_mtl.faces.detection import Center, FaceDetector, YuNet
from deepfake_mtl.faces.tracks import find_main_track, frames_to_look_at, track_settings
from deepfake_mtl.util.files import is_there, sha256_of

_KEPT_BYTES: Final = 400_000_000
"""Bytes of pictures around faces that a process keeps, so as not to decode a video twice."""

_SLACK: Final = 1.3
"""Side of what is kept around a face, over the side of its crop: the smoothed square differs."""


@dataclass(frozen=True)
class CropSource:
    """How to crop the videos of a corpus.

    Attributes:
        root: Folder of the corpus.
        settings: Settings of the store.
        model: File of the face detector, for ``yunet``.
        boxes: Folder of files with boxes, for ``boxes``.
    """

    root: Path
    settings: CropSettings
    model: Path | None = None
    boxes: Path | None = None

    def detector(self) -> FaceDetector | None:
        """Make the detector of this process; None where boxes are read from files.

        Raises:
            ConfigurationError: The model is none, or is missing.
        """
        if self.settings.detector == "boxes":
            return None
        if self.settings.detector == "center":
            return Center(self.settings.margin)
        if self.model is None:
            raise ConfigurationError("the detector yunet needs the file of its model")
        return YuNet(self.model)

    def with_hash(self) -> Self:
        """Return the same with the hash of what finds the boxes in the settings."""
        detector = self.detector()
        digest = _boxes_digest(self.boxes or self.root) if detector is None else detector.digest
        return replace(self, settings=replace(self.settings, detector_hash=digest))


@dataclass(frozen=True)
class CropJob:
    """One video to be cropped.

    Attributes:
        record: The video.
        out: The file to write.
        borrow: The file of crops whose squares it takes, if that exists and fits.
        masks: The video of its masks, if there is one.
    """

    record: VideoRecord
    out: Path
    borrow: Path | None
    masks: Path | None


class _Place(NamedTuple):
    """Where to cut, in every frame of a video; the rest as in `CropHeader`."""

    squares: tuple[Square, ...]
    scores: tuple[float | None, ...]
    boxes_from: str


class Cropper:
    """Crop videos, one after the other.

    Args:
        source: How.

    Raises:
        ConfigurationError: The face detector cannot be used.
    """

    def __init__(self, source: CropSource) -> None:
        self._source = source
        self._settings = source.settings
        self._detector = source.detector()

    def crop(self, job: CropJob) -> CropHeader:
        """Write the crops of a video.

        Raises:
            VideoError: The video cannot be decoded, or shows no usable face.
            ConfigurationError: Its boxes are missing, or are not those of this video.
            FileNameError: Its name is too long for the store.
            CorpusError: The file cannot be written.
        """
        record, info = job.record, probe(job.record.path)
        frames = iterate_frames(record.path)
        first = next(frames)  # knows of rotations, unlike the header of the file
        frames = chain([first], frames)
        original = _original(job)
        if original is not None and _fits(original, info.frames, first.width, first.height):
            place = _Place(original.squares, original.scores, original.boxes_from)
        elif self._detector is None:
            folder = self._source.boxes or self._source.root
            boxes = read_boxes(find_boxes(folder, self._source.root, record.path))
            place = self._find(record, boxes, info.frames)
        else:
            detections, kept = self._look(self._detector, info.frames, frames)
            place = self._find(record, detections, info.frames)
            if kept is None or not all(map(self._is_held, kept, place.squares)):
                kept = iterate_frames(record.path)
            frames = iter(kept)
        return self._write(job, place, frames, info.fps)

    def _look(
        self, detector: FaceDetector, count: int, frames: Iterable[Frame]
    ) -> tuple[Mapping[int, Detections], Iterable[Frame] | None]:
        """Find faces, and keep what is around them, where memory allows."""
        wanted = set(frames_to_look_at(count, self._settings.detect_every))
        detections: dict[int, Detections] = {}
        kept: list[Frame] | None = []
        kept_bytes = 0
        waiting: list[Frame] = []
        before: Window | None = None  # what is around the faces that were found last
        for number, frame in enumerate(frames):
            waiting.append(frame)
            if number not in wanted:
                continue
            found = detections[number] = detector.detect(frame)
            after = self._around(found, frame) or before
            if kept is not None:
                window = _union(before, after)
                parts = [each if window is None else each.part(window) for each in waiting]
                kept += parts
                kept_bytes += sum(each.nbytes for each in parts)
                if kept_bytes > _KEPT_BYTES:
                    kept = None
            waiting, before = [], after
        return detections, kept

    def _around(self, found: Detections, frame: Frame) -> Window | None:
        """Return the part of a frame in which all that was found can be cropped, and some more."""
        windows = []
        for x0, y0, x1, y1 in found.boxes.astype(np.float64).tolist():
            side = max(x1 - x0, y1 - y0) * self._settings.margin * _SLACK
            square = (x0 + x1 - side) / 2, (y0 + y1 - side) / 2, side
            windows.append(self._looked_at(square, frame))
        return _union(*windows)

    def _looked_at(self, square: Square, frame: Frame) -> Window:
        return looked_at(square, self._settings.size, frame.height, frame.width)

    def _is_held(self, frame: Frame, square: Square) -> bool:
        return frame.holds(self._looked_at(square, frame))

    def _find(
        self, record: VideoRecord, detections: Mapping[int, Detections], frames: int
    ) -> _Place:
        track = find_main_track(record.path, detections, frames, track_settings(self._settings))
        scores = [None if math.isnan(score) else float(score) for score in track.scores]
        # As the header has them, so that a video of these squares is cropped alike.
        squares = covered(track.squares, self._settings.margin).round(3).tolist()
        return _Place(tuple((x, y, side) for x, y, side in squares), tuple(scores), record.key)

    def _write(
        self, job: CropJob, place: _Place, frames: Iterable[Frame], fps: float
    ) -> CropHeader:
        record, path = job.record, job.record.path
        size, squares = self._settings.size, place.squares
        times: list[float] = []
        sizes: list[tuple[int, int]] = []

        def crops() -> Iterator[NDArray[np.uint8]]:
            for number, frame in enumerate(frames):
                times.append(number if math.isnan(frame.time) else frame.time)
                sizes[:] = [(frame.width, frame.height)]
                yield crop_frame(frame, squares[number], size)

        def masks(path: Path) -> Iterator[NDArray[np.uint8] | None]:
            cropped = 0
            for frame in _readable(path, len(squares)):
                if [(frame.width, frame.height)] != sizes:
                    break
                yield crop_frame(frame, squares[cropped], size)[..., 0]
                cropped += 1
            yield from [None] * (len(squares) - cropped)

        def header() -> CropHeader:
            ((width, height),) = sizes
            return CropHeader(
                corpus=record.corpus,
                method=record.method,
                compression=record.compression,
                name=record.name,
                identities=record.identities,
                fps=fps,
                times=tuple(times),
                squares=squares,
                scores=place.scores,
                boxes_from=place.boxes_from,
                source=path.relative_to(self._source.root).as_posix(),
                source_hash=_digest_of(path),
                source_width=width,
                source_height=height,
                source_bytes=_bytes_of(path),
                settings_digest=self._settings.digest(),
            )

        given = masks(job.masks) if job.masks else None
        return write_crops(job.out, header, crops(), self._settings, given)


def is_of_source(header: CropHeader, record: VideoRecord, root: Path) -> bool:
    """Return whether crops were made of a video as it is now, by its place and size."""
    source = record.path.relative_to(root).as_posix()
    return (header.source, header.source_bytes) == (source, _bytes_of(record.path))


def is_current(job: CropJob, header: CropHeader) -> bool:
    """Return whether a video would be cropped as it is, with original and masks of now."""
    original = _original(job)
    size = header.source_width, header.source_height
    borrows = original is not None and _fits(original, header.frames, *size)
    boxes_from = original.boxes_from if original is not None and borrows else header.key
    return header.boxes_from == boxes_from and (count_masks(job.out) is None) == (job.masks is None)


def describe_masks(job: CropJob, header: CropHeader) -> str:
    """Say which masks of a video the store lacks; nothing if it has those of all frames."""
    if job.masks is None:
        return ""
    stored = count_masks(job.out)
    if stored != header.frames:
        return (
            f"{job.masks}: has readable masks, of the size of the video, for the first {stored} of "
            f"{header.frames} frames"
        )
    try:
        found = probe(job.masks).frames
    except VideoError as error:
        return str(error)
    if found <= header.frames:
        return ""
    return f"{job.masks}: has {found} frames, the video {header.frames}: the last are not stored"


def _original(job: CropJob) -> CropHeader | None:
    """Return what the crops of the original of a fake say, if they are there."""
    if job.borrow is None or not is_there(job.borrow):
        return None
    return read_header(job.borrow)


def _fits(original: CropHeader, frames: int, width: int, height: int) -> bool:
    """Return whether the squares of an original fit a video."""
    size = original.source_width, original.source_height
    return original.frames == frames and size == (width, height)


def _readable(masks: Path, count: int) -> Iterator[Frame]:
    """Yield the first frames of a video of masks, as far as they can be read."""
    try:
        yield from islice(iterate_frames(masks), count)
    except VideoError:
        return  # how many there are is in the file, and said by `describe_masks`


def _bytes_of(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _union(*windows: Window | None) -> Window | None:
    """Return the smallest window that holds all that there are."""
    sides = list(zip(*filter(None, windows), strict=True))
    if not sides:
        return None
    rows, columns = (range(min(r.start for r in s), max(r.stop for r in s)) for s in sides)
    return rows, columns


def _boxes_digest(folder: Path) -> str:
    """Return the digest of all files of boxes in a folder, by their names and contents."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in BOX_SUFFIXES)
    parts = [f"{path.relative_to(folder).as_posix()} {_digest_of(path)}" for path in files]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _digest_of(path: Path) -> str:
    """Return the hash of a file, or of the hashes of the files of a folder, by name."""
    if path.is_dir():
        hashes = [_digest_of(file) for file in sorted(path.iterdir())]
        return hashlib.sha256("".join(hashes).encode()).hexdigest()
    return sha256_of(path)
