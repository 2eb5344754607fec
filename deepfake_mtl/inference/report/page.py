"""A verdict as one HTML file that needs nothing beside it."""

from pathlib import PurePath
from typing import Any, Final

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from deepfake_mtl.data.text_files import shown
from deepfake_mtl.html.environment import template_environment
from deepfake_mtl.inference.aggregation import Analysis
from deepfake_mtl.inference.clips import as_tensor
from deepfake_mtl.inference.face_track import FaceTrack, ShownClip
from deepfake_mtl.inference.report.heatmap import heat_map
from deepfake_mtl.inference.report.pictures import jpeg_uri, overlaid, timeline_svg
from deepfake_mtl.inference.verdict import ClipScore, FaceVerdict, Verdict
from deepfake_mtl.network import MultiTaskNetwork

_SHOWN: Final = 6
_FRAMES: Final = 6
"""Number of frames of a clip that a heat map is shown over."""


def render_page(analysis: Analysis, network: MultiTaskNetwork | None) -> str:
    """Return the HTML of a verdict.

    Args:
        analysis: What was found.
        network: Network that heat maps are of; None for a page without.
    """
    verdict = analysis.verdict
    scored = [face for face in verdict.faces if face.score is not None]
    chosen = scored[:_SHOWN]
    names = [face_name(verdict, face) for face in chosen]
    cards = [_card(verdict, face, analysis.tracks[face.face], network) for face in chosen]
    timeline = timeline_svg(chosen, verdict.threshold, names) if chosen else None
    text = (
        template_environment("deepfake_mtl.inference.report")
        .get_template("verdict.html")
        .render(
            title=shown(PurePath(verdict.video).name),
            path=shown(verdict.video),
            weights=shown(verdict.detector.path),
            verdict=verdict,
            headline=headline(verdict),
            cards=cards,
            more=len(scored) - len(chosen),
            unscored=len(verdict.faces) - len(scored),
            # Drawn by this package from numbers and fixed names: safe as markup.
            timeline=None if timeline is None else Markup(timeline),  # noqa: S704
            corpus=_corpus(verdict),
            whole=verdict.detector.judges == "whole frames",
        )
    )
    # Names of files need not be valid UTF-8.
    return text.encode("utf-8", "backslashreplace").decode()


def headline(verdict: Verdict) -> str:
    """Return the verdict in two or three words."""
    if verdict.status == "scored":
        return "Called fake" if verdict.is_fake else "Called real"
    return {"no face": "No face", "not scored": "No score"}.get(verdict.status, "Not judged")


def face_name(verdict: Verdict, face: FaceVerdict) -> str:
    """Return what a face is called on the page."""
    return "Whole frames" if verdict.detector.judges == "whole frames" else f"Face {face.face + 1}"


def time_of(seconds: float | None, frame: int) -> str:
    """Return a moment in words: ``1:02.5``, or the number of the frame."""
    if seconds is None:
        return f"frame {frame}"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"


def _card(
    verdict: Verdict, face: FaceVerdict, track: FaceTrack, network: MultiTaskNetwork | None
) -> dict[str, Any]:
    """Return what the template shows of a face."""
    top = track.top
    thumbnails = [
        _thumbnail(clip, "also high" if place else "most fake")
        for place, clip in enumerate(top.highest)
    ]
    if top.lowest is not None and top.lowest is not top.highest[0]:
        thumbnails.append(_thumbnail(top.lowest, "least fake"))
    card: dict[str, Any] = {"face": face, "name": face_name(verdict, face), "heat": None}
    if top.highest and network is not None:
        clip, frames = top.highest[0]
        card |= {"heat": _heat(network, frames), "heat_caption": _when(clip)}
    return {**card, "thumbnails": thumbnails}


def _thumbnail(shown_clip: ShownClip, what: str) -> dict[str, Any]:
    clip, frames = shown_clip
    picture = jpeg_uri(frames[len(frames) // 2])
    return {"picture": picture, "score": clip.score, "caption": f"{what}, {_when(clip)}"}


def _when(clip: ClipScore) -> str:
    return f"{time_of(clip.start_time, clip.start)} to {time_of(clip.end_time, clip.end)}"


def _heat(network: MultiTaskNetwork, frames: NDArray[np.uint8]) -> list[str] | None:
    heat = heat_map(network, as_tensor(frames))
    if heat is None:
        return None
    laid = overlaid(frames, heat)
    places = np.linspace(0, len(laid) - 1, min(_FRAMES, len(laid))).round().astype(int)
    return [jpeg_uri(laid[place]) for place in places]


def _corpus(verdict: Verdict) -> str:
    corpus: Any = verdict.detector.corpus
    if corpus is None:
        return "not named by the checkpoint"
    kind = " (synthetic)" if corpus["synthetic"] else ""
    return f"{corpus['name']}, {corpus['compression']}{kind}"
