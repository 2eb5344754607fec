"""From the faces found in some frames of a video to one steady square in every frame.

Needs NumPy only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.data.store.crop_settings import CropSettings
from deepfake_mtl.errors import ConfigurationError, VideoError
from deepfake_mtl.faces.boxes import Detections
from deepfake_mtl.faces.smoothing import Array, limit_slope, reach_of, smooth, without_outliers


@dataclass(frozen=True)
class TrackSettings:
    """How faces are followed; the defaults are for 25 to 30 frames a second.

    Attributes:
        step: A face is looked for in every ``step``-th frame, and in the last one.
        reach: How far a face may be from where it is expected or was last, as a multiple of its
            size.
        growth: Factor by which its size may differ from the last one.
        gap: Number of frames after which a face that was not found counts as gone.
        least_found: Share of the frames looked at in which the face must be found.
        least_side: Side of the face in pixels, in the median, below which it is of no
            use.
        centre_smoothing: Deviation of the Gaussian that smooths the centre, in frames.
        side_smoothing: Smoothing of the side, likewise.
        zoom: Largest change of the side from one frame to the next, as a share of it.

    Raises:
        ConfigurationError: A value is out of range.
    """

    step: int = 5
    reach: float = 0.75
    growth: float = 1.6
    gap: int = 50
    least_found: float = 0.3
    least_side: float = 16.0
    centre_smoothing: float = 5.0
    side_smoothing: float = 12.0
    zoom: float = 0.01

    def __post_init__(self) -> None:
        if (
            self.step < 1
            or self.gap < 0
            or not 0 <= self.least_found <= 1
            or not self.growth >= 1
            or not min(self.reach, self.centre_smoothing, self.side_smoothing, self.zoom) > 0
        ):
            raise ConfigurationError(
                f"{self}: step must be at least 1, gap not be negative, least_found be from 0 to "
                "1, growth at least 1, and reach, centre_smoothing, side_smoothing and zoom be "
                "greater than 0"
            )


def tracking_of(settings: TrackSettings) -> tuple[tuple[str, float], ...]:
    """Return what the settings of a store keep of those of tracks: all but the step."""
    values = asdict(settings)
    del values["step"]
    return tuple(sorted(values.items()))


def track_settings(settings: CropSettings) -> TrackSettings:
    """Return how faces were followed for crops."""
    values: dict[str, Any] = dict(settings.tracking)
    if "gap" in values:
        values["gap"] = int(values["gap"])
    return TrackSettings(step=settings.detect_every, **values)


@dataclass(frozen=True, slots=True, eq=False)
class SteadyTrack:
    """The face track that a video is about, as a steady square in each of its F frames.

    Attributes:
        squares: Centre x, centre y and side in pixels, float64 of shape (F, 3). The side is that of
            the face alone, without margin.
        scores: Confidence in the frames where it was found, nan in the others; float32 of shape
            (F,).
        present: False where the square is only the nearest one that is known: before the face was
            first found, after it was last found, and while it was gone; bool of shape (F,).
    """

    squares: Array
    scores: NDArray[np.float32]
    present: NDArray[np.bool_]


def frames_to_look_at(frames: int, step: int = TrackSettings.step) -> list[int]:
    """Return the frames in which a face is looked for: every ``step``-th, and the last."""
    return sorted({*range(0, frames, step), *([frames - 1] if frames > 0 else [])})


def find_main_track(
    path: Path, detections: Mapping[int, Detections], frames: int, settings: TrackSettings
) -> SteadyTrack:
    """Return the one face that a video is about, as a steady square in every frame.

    1. *Linking.* Frame by frame, each box goes to the track that expects a face most nearly there
       and of that size, and each track gets one box at most. A track expects its face to go on as
       it last moved. Boxes that no track expects begin a new one, so a face that jumps, as at a
       cut, is two tracks. A face that comes back where it was lost goes on with its track, however
       long it was gone, unless another track is nearer and was not lost.
    2. *Choosing.* The main track has the greatest sum of score times side over the whole video.
       So a large but short false detection loses against a face that stays, and a small face in
       the background against a large one.
    3. *Smoothing.* A running median of three boxes drops single bad ones. Between boxes, centre and
       side go on a straight line (the side by factors). Then each frame takes its value from a line
       that is fitted to its neighbours with the weights of a Gaussian (a local linear regression).
       Its weights are the same in both directions of time, so the square does not lag behind the
       face; and it leaves a steady motion as it is, even at both ends, where an average would stay
       behind.
    4. *Zoom.* Where the side would change faster than the settings allow, it begins to grow before
       and goes on to shrink after, so that the face is never larger than the smoothed square.

    Frames that do not show that face (before, after, another shot between) get the nearest square
    or one between, and are marked as not present; whatever is there is cut out of them.

    The result does not depend on the place and size of the picture: moved or scaled boxes give
    moved or scaled squares (as long as no face is below ``least_side``).

    Args:
        path: The video, for messages.
        detections: Faces by number of the frame, counted from 0: one entry for each frame looked
            at, also where no face was found.
        frames: Number of frames of the video.
        settings: How to follow.

    Raises:
        VideoError: No face was found, none stays, or it is too small.
        ConfigurationError: A number is that of no frame.
    """
    outside = [number for number in detections if not 0 <= number < frames]
    if outside:
        raise ConfigurationError(
            f"{path}: there are boxes for frame {outside[0]}, but the video has {frames} frames, "
            "counted from 0; give it the boxes of this very video"
        )
    tracker = Tracker(settings)
    for number in sorted(detections):
        tracker.update(number, detections[number])
    looked = f"{len(detections)} frame{'s' * (len(detections) != 1)} looked at"
    if not tracker.tracks:
        raise VideoError(f"{path}: no usable face: no face was found in the {looked}")
    track = max(tracker.tracks, key=Track.strength)
    found, needed = len(track.numbers), settings.least_found * len(detections)
    if found < needed:
        raise VideoError(
            f"{path}: no usable face: no face stays: the best one was found in {found} of the "
            f"{looked}, {int(np.ceil(needed))} are needed"
        )
    side = float(np.median([_side(box) for box in track.boxes]))
    if side < settings.least_side:
        raise VideoError(
            f"{path}: no usable face: the face is too small: {side:.1f} pixels, "
            f"{settings.least_side:g} are needed"
        )
    return _steady(track, frames, settings)


@dataclass(slots=True, eq=False)
class Track:
    """One face over time.

    Attributes:
        numbers: Numbers of the frames in which it was found, rising.
        boxes: Where: centre x, centre y, width and height in pixels.
        scores: Confidence of the detector.
    """

    numbers: list[int] = field(default_factory=list)
    boxes: list[Array] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    def append(self, number: int, box: Array, score: float) -> None:
        """Take in where the face was found next."""
        self.numbers.append(number)
        self.boxes.append(box)
        self.scores.append(score)

    def strength(self) -> float:
        """Return the sum of score times side."""
        sides = [_side(box) for box in self.boxes]
        return float(np.dot(self.scores, sides))

    def expected(self, number: int) -> Array:
        """Predict the centre in a frame to come: the last motion goes on as long as it was seen."""
        last = self.boxes[-1][:2]
        if len(self.numbers) == 1:
            return last
        seen = self.numbers[-1] - self.numbers[-2]
        ahead = min(number - self.numbers[-1], seen)
        return np.asarray(last + (last - self.boxes[-2][:2]) * (ahead / seen))

    def distance(self, number: int, box: Array, settings: TrackSettings) -> float:
        """Return how badly a box fits: 0 as expected, infinite not at all."""
        ours, theirs = (float(np.sqrt(one[2] * one[3])) for one in (self.boxes[-1], box))
        size = float(np.sqrt(ours * theirs))
        away = float(np.hypot(*(box[:2] - self.expected(number)))) / size
        moved = float(np.hypot(*(box[:2] - self.boxes[-1][:2]))) / size
        grown = abs(float(np.log(theirs / ours)))
        # A head that turns back is not where it is expected, but near where it was.
        if min(away, moved) > settings.reach or grown > np.log(settings.growth):
            return np.inf
        return away + grown


def _side(box: Array) -> float:
    return float(max(box[2], box[3]))


class Tracker:
    """Link boxes to tracks, frame by frame; see `find_main_track` for the rules.

    Args:
        settings: How to follow.
        forget: Number of frames after which a face that was lost does not come back: in a long
            video full of cuts, tracks would pile up otherwise. None for never.

    Attributes:
        tracks: All that are not forgotten, in the order in which they began.
    """

    def __init__(self, settings: TrackSettings, forget: int | None = None) -> None:
        self.tracks: list[Track] = []
        self._settings = settings
        self._forget = forget

    def update(self, number: int, found: Detections) -> None:
        """Take in the faces of a frame.

        Args:
            number: Number of the frame; higher than those before.
            found: Faces of the frame.
        """
        settings = self._settings
        if self._forget is not None:
            self.tracks = [t for t in self.tracks if number - t.numbers[-1] <= self._forget]
        tracks = self.tracks
        corners = found.boxes.astype(np.float64)
        boxes = np.hstack([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]])
        pairs = sorted(
            (number - track.numbers[-1] > settings.gap, distance, i, j)
            for i, track in enumerate(tracks)
            for j, box in enumerate(boxes)
            if np.isfinite(distance := track.distance(number, box, settings))
        )
        free_tracks, free_boxes = set(range(len(tracks))), set(range(len(boxes)))
        for _, _, i, j in pairs:
            if i in free_tracks and j in free_boxes:
                free_tracks.remove(i)
                free_boxes.remove(j)
                tracks[i].append(number, boxes[j], float(found.scores[j]))
        for j in sorted(free_boxes):
            tracks.append(Track())
            tracks[-1].append(number, boxes[j], float(found.scores[j]))


def steady_squares(
    numbers: Sequence[int], boxes: Sequence[Array], settings: TrackSettings
) -> Array:
    """Return the squares of a face from the first to the last frame in which it was found.

    A square depends on boxes `smoothing_reach` away and nearer, and on the two boxes next to those;
    where the zoom is limited, on the sizes a little farther away, too.

    Args:
        numbers: Numbers of the frames in which it was found, rising; at least one.
        boxes: As in `Track`.
        settings: How to smooth.

    Returns:
        Centre x, centre y and side, float64 of shape (last - first + 1, 3).
    """
    places = np.array(boxes)
    values = np.column_stack([places[:, :2], np.log(places[:, 2:].max(axis=1))])
    values = np.column_stack([without_outliers(column) for column in values.T])
    every = np.arange(numbers[0], numbers[-1] + 1)
    x, y, side = (np.interp(every, numbers, column) for column in values.T)
    x, y = (smooth(column, settings.centre_smoothing) for column in (x, y))
    side = limit_slope(smooth(side, settings.side_smoothing), float(np.log1p(settings.zoom)))
    return np.column_stack([x, y, np.exp(side)])


def smoothing_reach(settings: TrackSettings) -> int:
    """Return from how many frames away a box has a say in a square."""
    return max(reach_of(settings.centre_smoothing), reach_of(settings.side_smoothing))


def _steady(track: Track, frames: int, settings: TrackSettings) -> SteadyTrack:
    numbers = np.array(track.numbers)
    around = (numbers[0], frames - 1 - numbers[-1])
    squares = steady_squares(track.numbers, track.boxes, settings)
    squares = np.pad(squares, (around, (0, 0)), mode="edge")
    scores = np.full(frames, np.nan, np.float32)
    scores[numbers] = track.scores
    present = np.zeros(frames, np.bool_)
    present[numbers] = True
    for first, last in pairwise(numbers):
        if last - first <= settings.gap:
            present[first:last] = True
    return SteadyTrack(squares, scores, present)
