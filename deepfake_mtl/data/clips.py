"""From records of videos to clips as tensors: the datasets of training and evaluation."""

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass
from itertools import compress
from pathlib import Path
from typing import Final, Literal, NotRequired, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from deepfake_mtl.data.clip_positions import ClipPositions
from deepfake_mtl.data.headers import Header, cached_headers
from deepfake_mtl.data.records import VideoRecord
from deepfake_mtl.data.sampling import Draw, mixed_order
from deepfake_mtl.data.transforms import ClipTransform
from deepfake_mtl.data.video import probe, read_clip
from deepfake_mtl.data.video_info import VideoInfo
from deepfake_mtl.errors import ConfigurationError, VideoError

OnCorrupt = Literal["error", "skip"]
SecondView = Literal["none", "same_clip", "other_clip"]

SECOND_VIEWS: Final[tuple[SecondView, ...]] = ("none", "same_clip", "other_clip")

_log = logging.getLogger(__name__)

_PROBES_AT_A_TIME = 8
_MANY_VIDEOS = 200


class ClipSample(TypedDict):
    """One clip with its labels; `ClipBatch` is the same with a leading dimension B.

    Attributes:
        clip: RGB frames, uint8, 3 x T x size x size.
        second_clip: Another view of the same video, likewise; where one was asked for.
        is_fake: 0 for an original, 1 for a manipulated video.
        manipulation: See `deepfake_mtl.data.records.VideoRecord.manipulation`.
        video: Position of the video in the dataset's records.
        clip_index: Which clip of the video, or the number of the draw.
        valid: Whether `clip` holds what was asked for; false only where skipping is allowed.
        failure: Empty, or why a video had to be skipped; begins with its path.
    """

    clip: Tensor
    second_clip: NotRequired[Tensor]
    is_fake: int
    manipulation: int
    video: int
    clip_index: int
    valid: bool
    failure: str


@dataclass(frozen=True, slots=True)
class ProbedVideos:
    """Videos whose headers were read.

    Attributes:
        records: Records of the videos that can be used.
        infos: What their headers say, in the same order.
        corrupt: Why the others cannot be, each message beginning with the path.
    """

    records: tuple[VideoRecord, ...]
    infos: tuple[VideoInfo, ...]
    corrupt: tuple[str, ...]


def probe_videos(
    records: Sequence[VideoRecord], on_corrupt: OnCorrupt = "error", root: Path | None = None
) -> ProbedVideos:
    """Read the headers of videos, so that unusable files are known before training begins.

    Args:
        records: Videos to look at.
        on_corrupt: Whether a file that cannot be opened is an error or is left out and listed.
        root: Folder of their corpus, whose headers are kept for the next start; None keeps none.

    Raises:
        VideoError: Files cannot be opened and may not be left out. All of them are named.
    """
    paths = [record.path for record in records]
    results = list(_headers(paths)) if root is None else cached_headers(root, paths, _headers)
    failures = tuple(str(result) for result in results if isinstance(result, VideoError))
    if failures and on_corrupt == "error":
        raise VideoError(_describe_failures(failures))
    infos = tuple(result for result in results if isinstance(result, VideoInfo))
    usable = compress(records, (isinstance(result, VideoInfo) for result in results))
    return ProbedVideos(tuple(usable), infos, failures)


def _headers(paths: Sequence[Path]) -> Iterator[Header]:
    """Yield what the header of each video says, or why it cannot be opened."""
    pool = ThreadPoolExecutor(_PROBES_AT_A_TIME)
    try:
        yield from tqdm(
            pool.map(_header, paths),
            total=len(paths),
            desc="Reading headers",
            unit="video",
            disable=len(paths) < _MANY_VIDEOS,
            leave=False,
        )
    finally:
        pool.shutdown(cancel_futures=True)


def _header(path: Path) -> Header:
    try:
        return probe(path)
    except VideoError as error:
        return error


def _describe_failures(failures: Sequence[str]) -> str:
    remedy = 'replace the file, or go on without it with `on_corrupt="skip"`'
    if len(failures) == 1:
        return f"{failures[0]} ({remedy})"
    return "\n".join([f"{len(failures)} videos cannot be read; {remedy}:", *failures])


@dataclass(eq=False, repr=False)
class _ClipDataset:
    """What training and evaluation share: reading, transforming and labelling one clip."""

    videos: ProbedVideos
    transform: ClipTransform
    _: KW_ONLY
    clip_length: int = 32
    clip_stride: int = 1
    on_corrupt: OnCorrupt = "error"

    def __post_init__(self) -> None:
        self.positions = ClipPositions(self.clip_length, self.clip_stride)
        self.records = self.videos.records

    def _frames(self, video: int) -> int:
        return self.videos.infos[video].frames

    def _read(self, video: int, start: int) -> NDArray[np.uint8]:
        path, available = self.records[video].path, self._frames(video)
        positions = self.positions
        if available >= positions.span:
            return read_clip(path, start, positions.length, positions.stride)
        return read_clip(path, 0, available)[positions.offsets(available)]

    def _view(self, frames: NDArray[np.uint8], seed: Sequence[int]) -> Tensor:
        # T x H x W x 3 to 3 x T x H x W
        view = self.transform(frames, seed).transpose(3, 0, 1, 2)
        return torch.from_numpy(np.ascontiguousarray(view))

    def _labelled(self, video: int, clip: Tensor, clip_index: int, failure: str = "") -> ClipSample:
        record = self.records[video]
        return ClipSample(
            clip=clip,
            is_fake=int(record.is_fake),
            manipulation=record.manipulation,
            video=video,
            clip_index=clip_index,
            valid=True,
            failure=failure,
        )


@dataclass(eq=False, repr=False, kw_only=True)
class TrainingClips(_ClipDataset, Dataset[ClipSample]):
    """Random clips, one for each `Draw`: place and augmentation depend on seed and draw alone.

    Args:
        videos: Videos to draw from.
        transform: Augmentation.
        clip_length: Frames of a clip.
        clip_stride: Distance of a clip's frames in frames of the video.
        second_view: What `second_clip` holds: nothing, the frames of `clip` augmented otherwise, or
            those of another place in the same video, which may overlap.
        on_corrupt: Whether a video that cannot be decoded is an error, or another one of the same
            method is taken in its place and the sample's `failure` says so.
        seed: Base of all random choices.

    Raises:
        ConfigurationError: A setting is out of range.
    """

    second_view: SecondView = "none"
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.second_view not in SECOND_VIEWS:
            raise ConfigurationError(
                f"second_view is {self.second_view!r}: choose among {', '.join(SECOND_VIEWS)}"
            )

    def __len__(self) -> int:
        """Return the number of videos."""
        return len(self.records)

    def __getitem__(self, draw: Draw | tuple[int, int]) -> ClipSample:
        """Read the clip of a draw.

        Raises:
            VideoError: The video cannot be decoded, and may not be skipped or has no substitute.
        """
        video, number = draw
        failure = ""
        for candidate in self._candidates(video):
            try:
                return self._draw(candidate, number, failure)
            except VideoError as error:
                failure = str(error)
                if self.on_corrupt == "error":
                    raise
        raise VideoError(f"{failure} (and no other video of its method can be decoded either)")

    def _draw(self, video: int, number: int, failure: str) -> ClipSample:
        generator = np.random.default_rng([self.seed, number, video, 0])
        last_start = self.positions.last_start(self._frames(video))
        start, other_start = (int(generator.integers(last_start + 1)) for _ in range(2))
        frames = self._read(video, start)
        clip = self._view(frames, (self.seed, number, video, 1))
        sample = self._labelled(video, clip, number, failure)
        if self.second_view == "none":
            return sample
        if self.second_view == "other_clip":
            frames = self._read(video, other_start)
        second_clip = self._view(frames, (self.seed, number, video, 2))
        return {**sample, "second_clip": second_clip}

    def _candidates(self, video: int) -> list[int]:
        method = self.records[video].method
        count = len(self.records)
        following = [(video + offset) % count for offset in range(count)]
        return [other for other in following if self.records[other].method == method]


@dataclass(eq=False, repr=False, kw_only=True)
class EvaluationClips(_ClipDataset, Dataset[ClipSample]):
    """Evenly spread clips of each video, from its first frame to its last.

    The first clip of every video comes before the second of any, so that a part of an evaluation
    is one of all videos.

    Args:
        videos: Videos to evaluate.
        transform: Brings frames to the size of the network; its seed is of the clip.
        clip_length: Frames of a clip.
        clip_stride: Distance of a clip's frames in frames of the video.
        clips_per_video: Clips of each video; a single one lies in the middle.
        on_corrupt: Whether a video that cannot be decoded is an error, or its samples are marked
            as not valid, to be left out.
    """

    clips_per_video: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.clips_per_video < 1:
            raise ConfigurationError(f"clips_per_video is {self.clips_per_video}: at least 1")

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.records) * self.clips_per_video

    def mixed_order(self) -> list[int]:
        """Return the clips in an order of which any beginning holds all classes of videos.

        The first clip of every video comes before the second of any.
        """
        videos = mixed_order([record.manipulation for record in self.records])
        clips = range(self.clips_per_video)
        return [clip * len(self.records) + video for clip in clips for video in videos]

    def __getitem__(self, index: int) -> ClipSample:
        """Read a clip.

        Raises:
            VideoError: The video cannot be decoded and may not be skipped.
        """
        clip_index, video = divmod(index, len(self.records))
        starts = self.positions.spread(self._frames(video), self.clips_per_video)
        try:
            frames = self._read(video, starts[clip_index])
        except VideoError as error:
            if self.on_corrupt == "error":
                raise
            frames = np.zeros((self.positions.length, 2, 2, 3), np.uint8)
            blank = self._view(frames, (video, clip_index))
            return {**self._labelled(video, blank, clip_index, str(error)), "valid": False}
        return self._labelled(video, self._view(frames, (video, clip_index)), clip_index)
