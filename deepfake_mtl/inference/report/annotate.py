"""A copy of a video with squares around the faces and their scores."""

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.data.video import Frame
from deepfake_mtl.errors import VideoError
from deepfake_mtl.inference.aggregation import Analysis
from deepfake_mtl.inference.api import Progress
from deepfake_mtl.inference.options import Limits
from deepfake_mtl.inference.verdict import ClipScore
from deepfake_mtl.inference.video import decode
from deepfake_mtl.util.files import whole_path

_LONGEST: Final = 1280
"""Side of the copy in pixels, at most."""

_FAKE: Final = (214, 60, 80)
_REAL: Final = (60, 130, 214)
_UNKNOWN: Final = (150, 150, 150)
_TICKS: Final = 90_000


def annotate(analysis: Analysis, path: Path, limits: Limits, progress: Progress) -> None:
    """Write an MP4 (H.264) of the video, without sound.

    The number at a face is the mean score of the clips that hold the frame.

    Args:
        analysis: What was found, with the squares of the faces.
        path: Path of the file, which is whole or not there.
        limits: Bounds with which the video was judged.
        progress: Told the number of frames that are done, and of all.

    Raises:
        VideoError: The video cannot be decoded, or the file not be written.
    """
    verdict = analysis.verdict
    video = Path(verdict.video)
    count = 0 if verdict.file is None else verdict.file.frames
    fps = (verdict.file and verdict.file.fps) or 25.0
    labels = _labels(analysis, count)
    try:
        with whole_path(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
            stream = None
            last = -1
            for number, frame in enumerate(decode(video, limits)):
                picture, scale = _scaled(frame)
                for square, score in labels.get(number, ()):
                    _draw(picture, square * scale, score, verdict.threshold)
                if stream is None:
                    rate = Fraction(fps).limit_denominator(1001)
                    stream = container.add_stream("libx264", rate=rate, options={"crf": "20"})
                    stream.height, stream.width = picture.shape[:2]
                    stream.pix_fmt = "yuv420p"
                    stream.codec_context.time_base = Fraction(1, _TICKS)
                made = av.VideoFrame.from_ndarray(picture, format="rgb24")
                time = number / fps if math.isnan(frame.time) else frame.time
                last = max(last + 1, round(time * _TICKS))
                made.pts, made.time_base = last, Fraction(1, _TICKS)
                container.mux(stream.encode(made))
                progress(number + 1, count)
            if stream is not None:
                container.mux(stream.encode())
    except av.error.FFmpegError as error:
        raise VideoError(f"{path}: cannot be written ({error.strerror})") from error


def _labels(
    analysis: Analysis, frames: int
) -> dict[int, list[tuple[NDArray[np.float32], float | None]]]:
    """Return, by frame, squares and scores where there are some."""
    labels: dict[int, list[tuple[NDArray[np.float32], float | None]]] = {}
    for track in analysis.tracks.values():
        scores = _scores(track.clips, frames)
        for number, *square in track.squares:
            score = float(scores[number]) if number < frames else math.nan
            label = np.array(square, np.float32), None if math.isnan(score) else score
            labels.setdefault(number, []).append(label)
    return labels


def _scores(clips: Sequence[ClipScore], frames: int) -> NDArray[np.float64]:
    """Return for each frame the mean over the clips that hold it; nan where there is none."""
    change, count = np.zeros(frames + 1), np.zeros(frames + 1)
    for clip in clips:
        change[clip.start] += clip.score
        change[clip.end + 1] -= clip.score
        count[clip.start] += 1
        count[clip.end + 1] -= 1
    total, number = change.cumsum()[:-1], count.cumsum()[:-1]
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _scaled(frame: Frame) -> tuple[NDArray[np.uint8], float]:
    """Return the picture at a size that H.264 takes, and by how much it was scaled."""
    scale = min(1.0, _LONGEST / max(frame.width, frame.height))
    width, height = (max(2, round(side * scale) // 2 * 2) for side in (frame.width, frame.height))
    picture = cv2.resize(frame.rgb(), (width, height), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(picture, np.uint8), scale


def _draw(
    picture: NDArray[np.uint8],
    square: NDArray[np.float32],
    score: float | None,
    threshold: float,
) -> None:
    left, top, side = (round(float(each)) for each in square)
    colour = _UNKNOWN if score is None else _FAKE if score >= threshold else _REAL
    cv2.rectangle(picture, (left, top), (left + side, top + side), colour, 2)
    if score is not None:
        place = max(left, 0) + 4, max(top, 0) + 20
        text = f"{100 * score:.0f} %"
        cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 4, cv2.LINE_AA)
        cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, colour, 2, cv2.LINE_AA)
