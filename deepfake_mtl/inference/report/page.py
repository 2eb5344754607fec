"""A verdict as one HTML file that needs nothing beside it."""

from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final

import numpy as np
from markupsafe import Markup

from deepfake_mtl.data.text_files import shown
from deepfake_mtl.html.environment import template_environment
from deepfake_mtl.inference.api import Examination
from deepfake_mtl.inference.report.heatmap import heat_map
from deepfake_mtl.inference.report.pictures import jpeg_uri, overlaid, timeline_svg
from deepfake_mtl.inference.scoring import ScoredClip, as_tensor
from deepfake_mtl.inference.telling import Moments
from deepfake_mtl.inference.verdict import FaceVerdict, Verdict
from deepfake_mtl.network import MultiTaskNetwork

_SHOWN: Final = 6
_FRAMES: Final = 6
"""Of the heat map of a clip."""

TEMPLATES: Final = "deepfake_mtl.inference.report"


@dataclass(frozen=True, slots=True)
class _Thumbnail:
    picture: str
    score: float
    caption: str


@dataclass(frozen=True, slots=True)
class _Card:
    face: FaceVerdict
    name: str
    thumbnails: list[_Thumbnail]
    heat: list[str] | None
    heat_caption: str


def render_page(examination: Examination, network: MultiTaskNetwork | None) -> str:
    """Return the HTML of a verdict.

    Args:
        examination: What was found.
        network: For heat maps; None for a page without.
    """
    verdict = examination.verdict
    scored = [face for face in verdict.faces if face.score is not None]
    chosen = scored[:_SHOWN]
    names = [face_name(verdict, face) for face in chosen]
    cards = [
        _card(verdict, face, examination.moments.moments.get(face.face), network) for face in chosen
    ]
    timeline = timeline_svg(chosen, verdict.threshold, names) if chosen else None
    text = (
        template_environment(TEMPLATES)
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
    verdict: Verdict, face: FaceVerdict, moments: Moments | None, network: MultiTaskNetwork | None
) -> _Card:
    thumbnails: list[_Thumbnail] = []
    heat: list[str] | None = None
    caption = ""
    if moments is not None:
        for place, scored in enumerate(moments.highest):
            thumbnails.append(_thumbnail(face, scored, "most fake" if place == 0 else "also high"))
        if moments.lowest is not None and moments.lowest is not moments.highest[0]:
            thumbnails.append(_thumbnail(face, moments.lowest, "least fake"))
        if network is not None:
            top = moments.highest[0]
            heat, caption = _heat(network, top), _when(face, top)
    return _Card(face, face_name(verdict, face), thumbnails, heat, caption)


def _thumbnail(face: FaceVerdict, scored: ScoredClip, what: str) -> _Thumbnail:
    frames = scored.clip.frames
    return _Thumbnail(
        jpeg_uri(frames[len(frames) // 2]), scored.score, f"{what}, {_when(face, scored)}"
    )


def _when(face: FaceVerdict, scored: ScoredClip) -> str:
    clip = next(each for each in face.clips if each.start == scored.clip.start)
    return f"{time_of(clip.start_time, clip.start)} to {time_of(clip.end_time, clip.end)}"


def _heat(network: MultiTaskNetwork, scored: ScoredClip) -> list[str] | None:
    heat = heat_map(network, as_tensor(scored.clip))
    if heat is None:
        return None
    laid = overlaid(scored.clip.frames, heat)
    places = np.linspace(0, len(laid) - 1, min(_FRAMES, len(laid))).round().astype(int)
    return [jpeg_uri(laid[place]) for place in places]


def _corpus(verdict: Verdict) -> str:
    corpus: Any = verdict.detector.corpus
    if corpus is None:
        return "not named by the checkpoint"
    kind = " (synthetic)" if corpus["synthetic"] else ""
    return f"{corpus['name']}, {corpus['compression']}{kind}"
