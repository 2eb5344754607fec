"""From the scores of clips to what is said about a face."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from deepfake_mtl.data.protocol import seen_manipulations
from deepfake_mtl.data.records import MANIPULATION_CLASSES
from deepfake_mtl.inference.description import Description
from deepfake_mtl.inference.face_track import FaceTrack
from deepfake_mtl.inference.reliability import about_face
from deepfake_mtl.inference.verdict import FaceVerdict, Resemblance, Verdict

MANIPULATION: Final = "manipulation"
"""Name of the predictor that tells manipulations."""

CONFIDENT: Final = 0.5
"""Probability from which on a fake resembles a manipulation (assumption)."""


@dataclass(slots=True)
class Analysis:
    """A verdict, and what a page and an annotated video show beside it.

    Attributes:
        verdict: What is said.
        tracks: What was seen of each face, by its number; empty where a video cannot be judged.
    """

    verdict: Verdict
    tracks: Mapping[int, FaceTrack]


def aggregate(
    tracks: Iterable[FaceTrack], threshold: float, description: Description
) -> list[FaceVerdict]:
    """Return the verdicts on the faces of a video, the most fake one first.

    Args:
        tracks: What was seen of each face.
        threshold: Score from which on a face is fake.
        description: What the detector is.
    """
    faces = [aggregate_face(track, threshold, description) for track in tracks]
    faces.sort(key=lambda face: (math.inf if face.score is None else -face.score, face.face))
    return faces


def aggregate_face(track: FaceTrack, threshold: float, description: Description) -> FaceVerdict:
    """Return the verdict on a face, or on whole frames.

    Args:
        track: What was seen of it.
        threshold: Score from which on it is fake.
        description: What the detector is.
    """
    scores = np.array([clip.score for clip in track.clips], np.float64)
    score = float(scores.mean()) if len(scores) else None
    means = {
        name: dict(
            zip(
                description.labels[name],
                np.mean(np.array(rows, np.float64), 0).tolist(),
                strict=True,
            )
        )
        for name, rows in track.outputs.items()
    }
    is_fake = None if score is None else score >= threshold
    side = track.side_sum / max(track.frames, 1)
    if track.clips:
        side = float(np.median([clip.side for clip in track.clips]))
    return FaceVerdict(
        face=track.face,
        first_frame=track.first,
        last_frame=track.last,
        frames=track.frames,
        side=side,
        score=score,
        spread=float(scores.std()) if len(scores) > 1 else None,
        lowest=float(scores.min()) if len(scores) else None,
        highest=float(scores.max()) if len(scores) else None,
        is_fake=is_fake,
        resembles=_resemblance(track, description) if is_fake else None,
        readouts=means,
        clips=tuple(track.clips),
        skipped_clips=track.skipped,
        warnings=tuple(about_face(track, scores, side, threshold, description)),
    )


def _resemblance(track: FaceTrack, description: Description) -> Resemblance | None:
    """Find the manipulation that a fake resembles.

    The candidate is the manipulation, among those trained on, with the highest mean probability;
    the fake resembles it where that is `CONFIDENT` at least, and else none of those seen.
    """
    rows = track.outputs.get(MANIPULATION)
    classes = description.labels.get(MANIPULATION, ())
    if not rows or classes != MANIPULATION_CLASSES:
        return None
    table = np.array(rows, np.float64)
    means = dict(zip(classes, table.mean(axis=0).tolist(), strict=True))
    seen = seen_manipulations(description.held_out)
    if not seen:
        return None
    best = max(seen, key=lambda name: means[name])
    agreement = float((table.argmax(axis=1) == classes.index(best)).mean())
    return Resemblance(
        name=best if means[best] >= CONFIDENT else None,
        probability=means[best],
        agreement=agreement,
        probabilities=means,
    )
