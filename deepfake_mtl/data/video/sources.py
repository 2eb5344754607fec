"""A video in any of its forms: a container file, a folder of frames, or a file of face crops."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream
from numpy.typing import NDArray

from deepfake_mtl.data.store.crop_files import probe_crops, read_crops
from deepfake_mtl.data.store.crop_format import SUFFIX
from deepfake_mtl.data.video.container import count_by_index, open_video
from deepfake_mtl.data.video.counting import is_counted, timeline_of
from deepfake_mtl.data.video.decoding import ClipDecoder, Decoder, OrderContradictedError
from deepfake_mtl.data.video.frames import Frame
from deepfake_mtl.data.video.geometry import pixel_aspect
from deepfake_mtl.data.video.images import list_images, read_image, read_images
from deepfake_mtl.data.video.timeline import Timeline
from deepfake_mtl.data.video_info import VideoInfo, frames_of_clip
from deepfake_mtl.errors import VideoError


class VideoSource(ABC):
    """A video, whatever form it is stored in.

    Frames are counted as they are shown, from 0; `probe`, `read` and `iterate` of a source agree on
    how many there are and on every bit of each.

    Args:
        path: Where it lies.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def probe(self) -> VideoInfo:
        """Return the number of frames, size, rate and codec."""

    @abstractmethod
    def read(self, start: int, length: int, stride: int = 1) -> NDArray[np.uint8]:
        """Read the frames ``start``, ``start + stride``, ..., shape (length, height, width, 3)."""

    @abstractmethod
    def iterate(self) -> Iterator[Frame]:
        """Yield all frames, one after the other."""


class ContainerFile(VideoSource):
    """A video file.

    Args:
        path: The file.
        most_pixels: A file with larger frames is an error; None for no limit.
        alive: Called now and then while frames have to be counted.
    """

    def __init__(
        self,
        path: Path,
        most_pixels: int | None = None,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(path)
        self._most_pixels = most_pixels
        self._alive = alive

    def probe(self) -> VideoInfo:
        """See `probe`."""
        path = self.path
        with open_video(path, self._most_pixels) as (container, stream):
            frames = None if is_counted(path) else count_by_index(path, container, stream)
            context = stream.codec_context
            rate = math.nan if stream.average_rate is None else float(stream.average_rate)
            info = VideoInfo(frames or 0, context.width, context.height, rate, context.name)
        if frames is None:
            with open_video(path, self._most_pixels) as opened:
                timeline = timeline_of(path, *opened, self._most_pixels, self._alive)
            info = replace(info, frames=timeline.frames)
        if 0 in (info.frames, info.width, info.height):
            raise VideoError(f"{path}: has a video stream without frames; copy it again")
        return info

    def read(self, start: int, length: int, stride: int = 1) -> NDArray[np.uint8]:
        """See `read_clip`."""
        path, clip = self.path, (start, length, stride)
        with open_video(path, self._most_pixels) as (container, stream):
            timeline = timeline_of(path, container, stream, self._most_pixels)
            wanted = frames_of_clip(path, *clip, timeline.frames)
            key = timeline.key_before(wanted)
            distrust = False
            if key is not None:
                # Fails at key frames in name only (intra refresh), and where a demuxer cannot seek.
                # If the file is to blame, decoding from the start finds out and says where.
                with suppress(FFmpegError, VideoError):
                    try:
                        return ClipDecoder(path, stream, timeline, wanted).from_key(container, key)
                    except OrderContradictedError:
                        distrust = True
        if distrust:
            with open_video(path, self._most_pixels) as opened:
                timeline = timeline_of(path, *opened, self._most_pixels, distrust=True)
            wanted = frames_of_clip(path, *clip, timeline.frames)
        with self._open(timeline) as (container, stream):
            return ClipDecoder(path, stream, timeline, wanted).from_start(container)

    def iterate(self) -> Iterator[Frame]:
        """See `iterate_frames`."""
        path = self.path
        with open_video(path, self._most_pixels) as opened:
            timeline = timeline_of(path, *opened, self._most_pixels, self._alive)
        with self._open(timeline) as (container, stream):
            aspect, unit = pixel_aspect(stream), stream.time_base
            decoder = Decoder(path, stream, timeline)
            shown = 0
            for number, picture in enumerate(decoder.all_shown(container)):
                shown = number + 1
                time = math.nan
                if number < len(timeline.times) and unit:
                    time = float((timeline.times[number] - timeline.times[0]) * unit)
                yield Frame(picture, time, aspect)
            if shown < timeline.frames:
                raise decoder.error("decoding ended before it", number=shown)

    def _open(
        self, timeline: Timeline
    ) -> AbstractContextManager[tuple[InputContainer, VideoStream]]:
        return open_video(self.path, self._most_pixels, strict=timeline.strict)


class FramesFolder(VideoSource):
    """A folder of images in the place of a video."""

    def probe(self) -> VideoInfo:
        """See `probe`."""
        images = list_images(self.path)
        first, kind = read_image(images[0])
        height, width, _ = first.shape
        return VideoInfo(len(images), width, height, math.nan, kind)

    def read(self, start: int, length: int, stride: int = 1) -> NDArray[np.uint8]:
        """See `read_clip`."""
        images = list_images(self.path)
        wanted = frames_of_clip(self.path, start, length, stride, len(images))
        return np.stack(list(read_images(images, wanted)))

    def iterate(self) -> Iterator[Frame]:
        """See `iterate_frames`."""
        images = list_images(self.path)
        return map(Frame, read_images(images, range(len(images))))


class CropsFile(VideoSource):
    """A file of face crops in a store."""

    def probe(self) -> VideoInfo:
        """See `probe`."""
        return probe_crops(self.path)

    def read(self, start: int, length: int, stride: int = 1) -> NDArray[np.uint8]:
        """See `read_clip`."""
        return read_crops(self.path, start, length, stride)

    def iterate(self) -> Iterator[Frame]:
        """See `iterate_frames`; times are not read."""
        for number in range(self.probe().frames):
            yield Frame(self.read(number, 1)[0])


def open_source(
    path: Path, most_pixels: int | None = None, alive: Callable[[], None] = lambda: None
) -> VideoSource:
    """Return the source that reads a path: the only place that knows the forms of a video.

    Args:
        path: A video file, a folder of images, or a file of crops (``.crops``).
        most_pixels: A video file with larger frames is an error; None for no limit.
        alive: Called now and then while the frames of a video file have to be counted.
    """
    if path.is_dir():
        return FramesFolder(path)
    if path.suffix == SUFFIX:
        return CropsFile(path)
    return ContainerFile(path, most_pixels, alive)


def probe(
    path: Path, most_pixels: int | None = None, alive: Callable[[], None] = lambda: None
) -> VideoInfo:
    """Return the number of frames, size, rate and codec of a video.

    Of an MP4 or MOV file the index and the first packets are read. Other containers with timestamps
    of their own, and fragmented MP4 files, have all their packets read. Files whose packets do not
    tell what is shown are decoded once in a process: AVI, MPEG and raw streams, unless each frame
    stands for itself, as in MJPEG; files that were cut or copied so that frames refer to what is
    not there, or have the timestamps of another order; VP8 with hidden frames. Of a folder of
    frames the first image is decoded.

    Args:
        path: A video file, a folder of images (PNG or JPEG) in the order of their numbers, or a
            file of crops (``.crops``).
        most_pixels: See `iterate_frames`.
        alive: Called now and then while frames have to be counted.

    Raises:
        VideoError: There is no such file, it is no video, is cut short, has no frames, or has to be
            decoded and cannot be.
    """
    return open_source(path, most_pixels, alive).probe()


def read_clip(path: Path, start: int, length: int, stride: int = 1) -> NDArray[np.uint8]:
    """Read the frames ``start``, ``start + stride``, ... of a video, as they are shown.

    A video file is entered at the last key frame before the clip, and on the way from there H.264
    frames to which no other frame refers are left out. Where packets do not tell which frame is
    which, it is decoded from the start, and frames are counted as the decoder gives them. The
    decoder has one thread, since the workers of a data loader fill the cores.
    `deepfake_mtl.data.video.colours.to_rgb` makes the colours, and
    `deepfake_mtl.data.video.geometry.Geometry` square pixels and an upright picture.

    Args:
        path: A video file, a folder of images (PNG or JPEG) in the order of their numbers, or a
            file of crops (``.crops``).
        start: First frame, counted from 0 in the order of presentation.
        length: Number of frames of the clip.
        stride: Distance between neighbouring frames of the clip, in frames of the video.

    Returns:
        RGB frames, shape (length, height, width, 3).

    Raises:
        ConfigurationError: The video has no such frames.
        VideoError: The video cannot be opened, or not be decoded without errors. Damage that still
            makes sense to the decoder goes unnoticed: most codecs have no checksums.
    """
    return open_source(path).read(start, length, stride)


def iterate_frames(path: Path, most_pixels: int | None = None) -> Iterator[Frame]:
    """Yield all frames of a video, as they are shown, each decoded once.

    Frames are those that a player shows: what lies before the first key frame is left out, and so
    are pictures behind it in the file that are shown before it and cannot be decoded.

    Args:
        path: A video file, a folder of images (PNG or JPEG) in the order of their numbers, or a
            file of crops (``.crops``).
        most_pixels: A video file with larger frames is an error before any of them takes memory;
            None for no limit.

    Yields:
        As many frames as `probe` counts.

    Raises:
        VideoError: The video cannot be opened, or not be decoded without errors.
    """
    return open_source(path, most_pixels).iterate()
