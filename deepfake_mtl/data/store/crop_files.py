"""Files of face crops: writing one, reading clips of it, and looking for damage.

Needs OpenCV and NumPy only.
"""

import json
import math
import zlib
from collections.abc import Callable, Iterable
from io import FileIO
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.data.json_values import to_json
from deepfake_mtl.data.store.crop_format import (
    ENTRY,
    PREFIX,
    REMEDY,
    Prefix,
    damaged,
    open_crops,
    read_blob,
    read_entries,
    read_into,
)
from deepfake_mtl.data.store.crop_header import CropHeader
from deepfake_mtl.data.store.crop_settings import Codec, CropSettings
from deepfake_mtl.data.video_info import VideoInfo, frames_of_clip
from deepfake_mtl.errors import ConfigurationError, VideoError
from deepfake_mtl.util.files import open_whole

# Chroma at half the resolution: see docs/store.md for what that costs. Tables of Huffman codes made
# for each frame would save 7 % of the bytes and take 2.7 times as long. The rest are defaults that
# OpenCV might change.
_JPEG: Final = (
    (cv2.IMWRITE_JPEG_QUALITY, 95),
    (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420),
    (cv2.IMWRITE_JPEG_OPTIMIZE, 0),
    (cv2.IMWRITE_JPEG_PROGRESSIVE, 0),
    (cv2.IMWRITE_JPEG_RST_INTERVAL, 0),
)
_JPEG_OPTIONS: Final = [number for option in _JPEG for number in option]
_FLAGS: Final = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
_JPEG_BYTES: Final = 6.3
"""Bytes of a JPEG frame over ``size ** 1.5``; see `estimate_bytes`."""

_HEADER_BYTES: Final = 64
"""Number of bytes of table and header, for each frame."""


def write_crops(
    path: Path,
    header: CropHeader | Callable[[], CropHeader],
    frames: Iterable[NDArray[np.uint8]],
    settings: CropSettings,
    masks: Iterable[NDArray[np.uint8] | None] | None = None,
) -> CropHeader:
    """Write the crops of a video; the file is whole or not there.

    One frame at a time is held in memory. The same arguments give the same bytes.

    Args:
        path: The file; missing folders are made, a file that is there is replaced.
        header: What to say about the video; or a function that is called after the last frame.
        frames: RGB, each of shape (size, size, 3).
        settings: Give size and codec.
        masks: For each frame, of shape (size, size), or None where there is none. Run through
            after the last of `frames`.

    Returns:
        The header.

    Raises:
        ConfigurationError: A frame has another shape, there are more or fewer frames or masks than
            the header says, or it has the digest of other settings.
        FileNameError: The name of the file is too long.
        CorpusError: The file cannot be written, for example because the disk is full.
    """
    encode = _encode_jpeg if settings.codec == "jpeg95" else np.ndarray.tobytes
    shape = (settings.size, settings.size, 3)
    with open_whole(path) as file:
        file.seek(PREFIX.size)
        table = [file.append(encode(_checked(path, frame, shape))) for frame in frames]
        count = len(table)
        if masks is not None:
            table += [
                file.append(b"" if mask is None else _encode_png(_checked(path, mask, shape[:2])))
                for mask in masks
            ]
        if callable(header):
            header = header()
        stored_masks = len(table) - count
        if header.frames != count or (masks is not None and stored_masks != count):
            raise ConfigurationError(
                f"{path}: the header is of {header.frames} frames, but {count} frames and "
                f"{'no' if masks is None else stored_masks} masks were given"
            )
        if header.settings_digest != settings.digest():
            raise ConfigurationError(
                f"{path}: the header has the digest {header.settings_digest}, but the settings "
                f"have {settings.digest()}: take it from them"
            )
        entries = np.array(table, ENTRY).tobytes()
        text = to_json(header.to_dict()).encode()
        prefix = Prefix(
            size=settings.size,
            codec=settings.codec,
            frames=count,
            masks=stored_masks,
            fps=header.fps,
            table=file.position,
            header=file.position + len(entries),
            end=file.position + len(entries) + len(text),
            checksum=zlib.crc32(entries + text),
        )
        file.append(entries + text)
        file.seek(0)
        file.append(prefix.pack())
    return header


def read_crops(path: Path, start: int, length: int, stride: int = 1) -> NDArray[np.uint8]:
    """Read the crops ``start``, ``start + stride``, ... of a video.

    The checksum of each JPEG frame is compared. That of a raw frame is not, since it would take
    longer than reading it: `verify` does.

    Args:
        path: A file of crops.
        start: First frame, counted from 0.
        length: Number of frames of the clip.
        stride: Distance between neighbouring frames of the clip, in frames of the video.

    Returns:
        RGB, shape (length, size, size, 3).

    Raises:
        ConfigurationError: The video has no such frames.
        VideoError: The file is missing, cut short, damaged, or no file of crops.
    """
    with open_crops(path) as (file, prefix):
        wanted = frames_of_clip(path, start, length, stride, prefix.frames)
        clip = np.empty((length, prefix.size, prefix.size, 3), np.uint8)
        if prefix.codec == "raw":
            bytes_of_frame = clip[0].nbytes
            parts = [clip] if stride == 1 else list(clip)
            for frame, part in zip(wanted, parts, strict=False):
                read_into(path, file, part, PREFIX.size + frame * bytes_of_frame)
        else:
            _read_images(path, file, prefix, wanted, clip)
    return clip


def read_masks(path: Path, start: int, length: int, stride: int = 1) -> NDArray[np.uint8]:
    """Return the masks of the frames that `read_crops` returns for the same arguments.

    Returns:
        Masks as they were given to `write_crops`, shape (length, size, size).

    Raises:
        ConfigurationError: The video has no such frames, or there are no masks of them.
        VideoError: As `read_crops`.
    """
    with open_crops(path) as (file, prefix):
        wanted = frames_of_clip(path, start, length, stride, prefix.frames)
        if not prefix.masks:
            raise ConfigurationError(
                f"{path}: has no masks; they are stored where the corpus has them and "
                "`deepfake-mtl prepare` was asked for them"
            )
        masks = np.empty((length, prefix.size, prefix.size), np.uint8)
        entries = range(prefix.frames + wanted.start, prefix.frames + wanted.stop, stride)
        for frame, (_, bytes_of_mask, _) in zip(
            wanted, read_entries(path, file, prefix, entries), strict=True
        ):
            if not bytes_of_mask:
                raise ConfigurationError(
                    f"{path}: frame {frame} has no mask: the corpus has none of it, or none that "
                    "can be read"
                )
        _read_images(path, file, prefix, entries, masks)
    return masks


def count_masks(path: Path) -> int | None:
    """Count the frames that have a mask; None where masks were not stored.

    Raises:
        VideoError: The file is missing, cut short, damaged, or no file of crops.
    """
    with open_crops(path) as (file, prefix):
        if not prefix.masks:
            return None
        wanted = range(prefix.frames, prefix.frames + prefix.masks)
        return sum(length > 0 for _, length, _ in read_entries(path, file, prefix, wanted))


def probe_crops(path: Path) -> VideoInfo:
    """Return number, size and rate of the crops of a video, from the first 128 bytes.

    Raises:
        VideoError: The file is missing, cut short, damaged, or no file of crops.
    """
    with open_crops(path) as (_, prefix):
        return VideoInfo(prefix.frames, prefix.size, prefix.size, prefix.fps)


def read_header(path: Path) -> CropHeader:
    """Return what a file of crops says about itself.

    Raises:
        VideoError: The file is missing, cut short, no file of crops, or its header is damaged.
    """
    with open_crops(path) as (file, prefix):
        return _read_header(path, file, prefix)


def verify(path: Path) -> CropHeader:
    """Compare all checksums of a file and decode every frame and mask.

    Raises:
        VideoError: Anything is damaged or not as the format asks.
    """
    with open_crops(path) as (file, prefix):
        header = _read_header(path, file, prefix)
        position = PREFIX.size
        entries = read_entries(path, file, prefix, range(prefix.frames + prefix.masks))
        shape = (prefix.size, prefix.size, 3)
        for number, entry in enumerate(entries):
            blob = read_blob(path, file, prefix, number, entry)
            is_frame = number < prefix.frames
            raw = is_frame and prefix.codec == "raw"
            if entry[0] != position or (raw and len(blob) != math.prod(shape)):
                raise damaged(path, prefix, number, "it lies where it should not")
            if is_frame and not raw:
                _decode(path, prefix, number, blob, shape)
            elif blob and not is_frame:
                _decode(path, prefix, number, blob, shape[:2])
            position += len(blob)
        if position != prefix.table:
            raise VideoError(f"{path}: has bytes that belong to no frame; {REMEDY}")
    return header


def as_stored(frame: NDArray[np.uint8], codec: Codec) -> NDArray[np.uint8]:
    """Return what is read of a frame that was written by a codec.

    Args:
        frame: RGB, shape (size, size, 3).
        codec: As in the settings of a store.
    """
    if codec == "raw":
        return frame
    image = cv2.imdecode(np.frombuffer(_encode_jpeg(frame), np.uint8), _FLAGS)
    return np.asarray(image, np.uint8)


def estimate_bytes(frames: int, size: int, codec: Codec) -> int:
    """Estimate the bytes of the crops of so many frames, without masks; rather too many.

    The bytes of JPEG frames grow with ``size ** 1.5``: between 4.5 and 6.3 times that on squares of
    half and of the whole height of six videos of FaceForensics++ (c23), at 96 to 320 px.
    """
    pixels = 3 * size**2 if codec == "raw" else _JPEG_BYTES * size**1.5
    return math.ceil(frames * (pixels + _HEADER_BYTES))


def _checked(path: Path, image: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    if image.shape != shape or image.dtype != np.uint8:
        raise ConfigurationError(
            f"{path}: got an image of shape {image.shape} and {image.dtype}, "
            f"not of shape {shape} and uint8"
        )
    return image


def _encode_jpeg(frame: NDArray[np.uint8]) -> bytes:
    bgr = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", bgr, _JPEG_OPTIONS)[1])


def _encode_png(mask: NDArray[np.uint8]) -> bytes:
    options = [cv2.IMWRITE_PNG_COMPRESSION, 6]
    return bytes(cv2.imencode(".png", np.ascontiguousarray(mask), options)[1])


def _read_images(
    path: Path, file: FileIO, prefix: Prefix, wanted: range, into: NDArray[np.uint8]
) -> None:
    """Decode the images with these numbers in the table."""
    entries = read_entries(path, file, prefix, wanted)
    for number, entry, slot in zip(wanted, entries, into, strict=True):
        blob = read_blob(path, file, prefix, number, entry)
        slot[...] = _decode(path, prefix, number, blob, slot.shape)


def _decode(
    path: Path, prefix: Prefix, number: int, blob: bytes, shape: tuple[int, ...]
) -> NDArray[np.uint8]:
    flags = _FLAGS if len(shape) == 3 else cv2.IMREAD_GRAYSCALE
    image = cv2.imdecode(np.frombuffer(blob, np.uint8), flags) if blob else None
    if image is None or image.shape != shape:
        raise damaged(path, prefix, number, "it is not an image of the right size")
    return np.asarray(image, np.uint8)


def _read_header(path: Path, file: FileIO, prefix: Prefix) -> CropHeader:
    tail = np.empty(prefix.end - prefix.table, np.uint8)
    read_into(path, file, tail, prefix.table)
    if zlib.crc32(tail.data) != prefix.checksum:
        raise VideoError(f"{path}: its header or its table of frames is damaged; {REMEDY}")
    try:
        values = json.loads(tail[prefix.header - prefix.table :].tobytes())
        header = CropHeader.from_dict(values, prefix.fps)
    except (ValueError, KeyError, TypeError, ConfigurationError) as error:
        raise VideoError(f"{path}: its header cannot be understood ({error}); {REMEDY}") from error
    if header.frames != prefix.frames:
        raise VideoError(
            f"{path}: its header is of {header.frames} frames in the place of {prefix.frames}; "
            f"{REMEDY}"
        )
    return header
