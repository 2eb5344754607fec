"""What makes a score less trustworthy, and what a verdict is worth at all."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.inference.description import Description
from deepfake_mtl.inference.face_track import FaceTrack
from deepfake_mtl.inference.verdict import FaceVerdict, VerdictWarning
from deepfake_mtl.inference.video import VideoFacts

_FAR_SIDE: Final = 1.5  # times what nearly all training videos have: assumptions
_FAR_BITS: Final = 2.0
_FAR_RATE: Final = 1.5
_USUAL_RATES: Final = (24.0, 25.0, 30.0)
_FEW_INTERLACED: Final = 0.1
_UNSTEADY: Final = 0.25
_ENOUGH_CLIPS: Final = 2

SYNTHETIC: Final = (
    "The detector was trained on a synthetic world: on real video its scores mean nothing."
)
"""What must stand above verdicts of a detector that saw rendered videos only."""


def about_face(
    track: FaceTrack,
    scores: NDArray[np.float64],
    side: float,
    threshold: float,
    description: Description,
) -> list[VerdictWarning]:
    """Say what makes the score of a face less trustworthy.

    Args:
        track: What was seen of the face.
        scores: Score of each clip, shape (clips,).
        side: Side of the face in pixels.
        threshold: Score from which on it is fake.
        description: What the detector is.
    """
    found: list[VerdictWarning] = []
    span = description.positions.span
    if not len(scores):
        why = (
            f"{track.skipped} clips were too small or hardly showed it"
            if track.skipped
            else (f"it is seen for {track.frames} frames, a clip takes {span}")
        )
        return [VerdictWarning("not_scored", f"No score: {why}.")]
    if track.folded:
        found.append(
            VerdictWarning(
                "few_frames",
                f"It is seen for fewer than the {span} frames of a clip, which were played forth "
                "and back.",
            )
        )
    elif track.frames < _ENOUGH_CLIPS * span:
        found.append(
            VerdictWarning(
                "few_frames",
                f"The score rests on {track.frames} frames, less than {_ENOUGH_CLIPS} clips of "
                f"{span} side by side.",
            )
        )
    if track.skipped:
        found.append(
            VerdictWarning(
                "skipped_clips",
                f"{track.skipped} clips were not scored: the face was too small or hardly found "
                "in them.",
            )
        )
    if description.crops is not None:
        found += _about_size(side * description.crops.margin, description)
    disagreeing = float((scores >= threshold).mean())
    if len(scores) > 1 and (scores.std() > _UNSTEADY or _UNSTEADY <= disagreeing <= 1 - _UNSTEADY):
        found.append(
            VerdictWarning(
                "disagreement",
                f"Its clips disagree: {100 * disagreeing:.0f} % of them reach the threshold, "
                f"scores lie between {scores.min():.2f} and {scores.max():.2f}.",
            )
        )
    return found


def _about_size(crop: float, description: Description) -> list[VerdictWarning]:
    """Say whether a face is small: below what training had, or below what the network takes."""
    trained = (description.videos or {}).get("crop_side")
    if trained is not None and crop < trained[0]:
        return [
            VerdictWarning(
                "small_face",
                f"The face is small: its crop has {crop:.0f} pixels, where 95 % of the training "
                f"videos have {trained[0]:.0f} or more.",
            )
        ]
    if trained is None and crop < description.size:
        return [
            VerdictWarning(
                "small_face",
                f"The face is small: its crop of {crop:.0f} pixels is enlarged to "
                f"{description.size}.",
            )
        ]
    return []


def about_detector(description: Description) -> list[VerdictWarning]:
    """Say what holds for every verdict of a detector."""
    if description.synthetic:
        return [VerdictWarning("synthetic", SYNTHETIC)]
    if description.synthetic is None:
        return [
            VerdictWarning(
                "unknown_corpus",
                "The checkpoint does not say which corpus it was trained on: it may have been a "
                "synthetic world, whose scores mean nothing on real video.",
            )
        ]
    return []


def about_video(
    facts: VideoFacts, description: Description, interlaced: float = 0.0
) -> list[VerdictWarning]:
    """Say whether resolution, compression and frame rate are far from those of the training videos.

    Args:
        facts: What the file says about itself.
        description: What the detector is.
        interlaced: Share of the frames that consist of two fields.
    """
    trained: Mapping[str, list[float] | None] = description.videos or {}
    found: list[VerdictWarning] = []
    side, sides = min(facts.width, facts.height), trained.get("shorter_side")
    if sides is not None and not sides[0] / _FAR_SIDE <= side <= sides[2] * _FAR_SIDE:
        found.append(
            VerdictWarning(
                "resolution",
                f"The resolution is far from training: the shorter side of a frame has {side} "
                f"pixels, that of 90 % of the training videos {sides[0]:.0f} to {sides[2]:.0f}.",
            )
        )
    bits, range_ = facts.bits_per_pixel, trained.get("bits_per_pixel")
    if range_ is not None and not range_[0] / _FAR_BITS <= bits <= range_[2] * _FAR_BITS:
        found.append(
            VerdictWarning(
                "compression",
                f"The compression is far from training: {bits:.3f} bits a pixel, where 90 % of the "
                f"training videos have {range_[0]:.3f} to {range_[2]:.3f}.",
            )
        )
    found += _about_rate(facts, trained.get("fps"))
    if interlaced > _FEW_INTERLACED:
        found.append(
            VerdictWarning(
                "interlaced",
                f"The video is interlaced: {100 * interlaced:.0f} % of its frames are made of two "
                "moments, whose lines alternate; moving faces have combs. Deinterlace it first.",
            )
        )
    unknown = [
        name for name, known in (("resolution", sides), ("compression", range_)) if not known
    ]
    if unknown:
        found.append(
            VerdictWarning(
                "unknown_training",
                f"The checkpoint does not say how the {' and '.join(unknown)} of its training "
                "videos measured: whether this video is far from them is not known.",
            )
        )
    return found


def _about_rate(facts: VideoFacts, trained: list[float] | None) -> list[VerdictWarning]:
    """Say whether a clip lasts much longer or shorter than in training."""
    low, _, high = trained or _USUAL_RATES
    if facts.fps is None or low / _FAR_RATE <= facts.fps <= high * _FAR_RATE:
        return []
    where = (
        f"90 % of the training videos have {low:.4g} to {high:.4g}"
        if trained
        else f"the checkpoint does not say what its training videos have, most video {low:.4g} to "
        f"{high:.4g}"
    )
    return [
        VerdictWarning(
            "frame_rate",
            f"The frame rate is far from training: {facts.fps:.4g} frames a second, where {where}: "
            "movements look faster or slower.",
        )
    ]


def about_faces(faces: Sequence[FaceVerdict], looks: int) -> list[VerdictWarning]:
    """Say why a video has no score, or what makes that of its most fake face less trustworthy.

    Args:
        faces: Verdicts, the most fake one first.
        looks: Number of frames in which faces were looked for.
    """
    if not faces:
        where = f"{looks} frames" if looks != 1 else "the only frame"
        return [VerdictWarning("no_face", f"No face was found in the {where} looked at.")]
    if faces[0].score is None:
        text = "Faces were found, but none long and large enough for a clip."
        return [VerdictWarning("not_scored", text)]
    return list(faces[0].warnings)


def statement(description: Description) -> str:
    """Return what a verdict of this detector is worth, in words."""
    if description.corpus is None:
        trained = "on a corpus that the checkpoint does not name"
    else:
        kind = "the synthetic world in the place of " if description.synthetic else ""
        trained = f"on {kind}{description.corpus['name']} ({description.corpus['compression']})"
    held_out = ", ".join(description.held_out)
    return (
        "The opinion of a statistical detector, not a proof: it can be wrong in both directions, "
        f"and says nothing about what it was not trained for. It was trained {trained}"
        + (f", with {held_out} held out." if held_out else ", with no manipulation held out.")
    )
