"""The pictures of a page of a verdict, as text that goes into HTML."""

import base64
import math
from collections.abc import Sequence
from typing import Final

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from deepfake_mtl.html.drawing import LINE_COLOURS, MUTED, STYLE, TEXT, svg_of
from deepfake_mtl.inference.verdict import ClipScore, FaceVerdict

_POINTS: Final = 600
"""Points of a line, beyond which neighbouring clips share a point: the highest of them."""

_DASHES: Final = ("-", "--", "-.", ":")


def jpeg_uri(picture: NDArray[np.uint8], side: int = 160) -> str:
    """Return a picture (RGB, H x W x 3) as a ``data:`` address, at most so large."""
    scale = min(1.0, side / max(picture.shape[:2]))
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
    _, content = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return f"data:image/jpeg;base64,{base64.b64encode(content.tobytes()).decode()}"


def overlaid(frames: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Lay a heat map over a clip: the hotter, the more of it shows.

    Args:
        frames: RGB, shape (T, H, W, 3).
        heat: From 0 to 1, shape (T, H, W).
    """
    laid = np.empty_like(frames)
    for frame, warm, target in zip(frames, heat, laid, strict=True):
        levels = np.rint(255 * warm).astype(np.uint8)
        colours = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1].astype(np.float32)
        share = 0.75 * np.sqrt(warm)[..., np.newaxis]
        target[:] = np.rint((1 - share) * frame + share * colours)
    return laid


def timeline_svg(faces: Sequence[FaceVerdict], threshold: float, names: Sequence[str]) -> str:
    """Draw the scores of clips over the video, one line a face.

    Args:
        faces: With clips.
        threshold: From which score on they are called fake.
        names: Names of the lines.

    Returns:
        An ``<svg>`` element whose colours are variables of the page.
    """
    timed = all(clip.start_time is not None for face in faces for clip in face.clips)
    with mpl.rc_context({**STYLE, "svg.hashsalt": "timeline"}):
        figure = Figure(figsize=(10, 3), layout="constrained")
        axes = figure.add_subplot()
        for place, (face, name) in enumerate(zip(faces, names, strict=True)):
            x, y = _line(face.clips, timed=timed)
            colour = LINE_COLOURS[round(place * (len(LINE_COLOURS) - 1) / max(len(faces) - 1, 1))]
            axes.plot(
                x,
                y,
                label=name,
                clip_on=False,
                color=colour,
                linestyle=_DASHES[place % len(_DASHES)],
                linewidth=1.8,
                marker="o" if len(x) <= _POINTS // 4 else "none",
                markersize=3,
            )
        axes.axhline(threshold, color=TEXT, linewidth=1, linestyle="--")
        axes.annotate(
            f"threshold {threshold:.3f}",
            (1, threshold),
            xycoords=("axes fraction", "data"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="right",
            fontsize=8,
            color=MUTED,
        )
        axes.set(ylim=(0, 1), ylabel="probability of fake", xlabel="seconds" if timed else "frame")
        if len(faces) > 1:
            figure.legend(loc="outside upper left", ncols=6, fontsize=9)
        return svg_of(figure, "Scores of the clips over the video")


def _line(clips: Sequence[ClipScore], *, timed: bool) -> tuple[list[float], list[float]]:
    """Return the points in the middle of clips, with gaps where clips do not touch."""
    x: list[float] = []
    y: list[float] = []
    every = math.ceil(len(clips) / _POINTS)
    ordered = sorted(clips, key=lambda clip: clip.start)
    before: ClipScore | None = None
    for place in range(0, len(ordered), every):
        some = ordered[place : place + every]
        clip = max(some, key=lambda each: each.score)
        if before is not None and every == 1 and clip.start > before.end + 1:
            x.append(math.nan)
            y.append(math.nan)
        x.append(_middle(clip, timed=timed))
        y.append(clip.score)
        before = clip
    return x, y


def _middle(clip: ClipScore, *, timed: bool) -> float:
    if timed and clip.start_time is not None and clip.end_time is not None:
        return (clip.start_time + clip.end_time) / 2
    return (clip.start + clip.end) / 2
