"""From the scores of clips to a verdict, and what makes it less trustworthy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from deepfake_mtl.data.records import MANIPULATION_CLASSES
from deepfake_mtl.inference.description import Description
from deepfake_mtl.inference.scoring import ScoredClip
from deepfake_mtl.inference.verdict import ClipScore, FaceVerdict, Resemblance, Warned
from deepfake_mtl.inference.video import VideoFacts

MANIPULATION: Final = "manipulation"
"""The readout that tells manipulations."""

CONFIDENT: Final = 0.5
"""Probability from which on a fake resembles a manipulation (assumption)."""

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


@dataclass(slots=True)
class SubjectRecord:
    """What was seen of a subject.

    Attributes:
        first: First frame in which it was seen.
        last: Last one, so far.
        frames: In how many, so far.
        clips: Scored ones, without their pictures.
        outputs: Of each readout, one row a clip.
        skipped: Number of clips that were not scored.
        folded: Whether a clip had to be played forth and back.
        sides: Of the face in pixels, of each clip and of each frame of a subject without clips.
    """

    first: int
    last: int
    frames: int = 0
    clips: list[ClipScore] = field(default_factory=list)
    outputs: dict[str, list[tuple[float, ...]]] = field(default_factory=dict)
    skipped: int = 0
    folded: bool = False
    side_sum: float = 0.0

    def see(self, number: int, side: float) -> None:
        """Note that it is in a frame."""
        self.last = number
        self.frames += 1
        self.side_sum += side

    def take(self, scored: ScoredClip, times: Sequence[float]) -> None:
        """Note what was scored."""
        clip = scored.clip
        self.clips.append(
            ClipScore(
                start=clip.start,
                end=clip.end,
                start_time=_time(times, clip.start),
                end_time=_time(times, clip.end),
                score=scored.score,
                side=clip.side,
            )
        )
        self.folded = self.folded or clip.folded
        for name, row in scored.outputs.items():
            self.outputs.setdefault(name, []).append(row)


def judge_subject(
    number: int, record: SubjectRecord, threshold: float, description: Description
) -> FaceVerdict:
    """Return the verdict on a face, or on whole frames.

    Args:
        number: Of the face.
        record: What was seen of it.
        threshold: From which score on it is fake.
        description: Of the detector.
    """
    scores = np.array([clip.score for clip in record.clips], np.float64)
    score = float(scores.mean()) if len(scores) else None
    means = {
        name: dict(
            zip(
                description.labels[name],
                np.mean(np.array(rows, np.float64), 0).tolist(),
                strict=True,
            )
        )
        for name, rows in record.outputs.items()
    }
    is_fake = None if score is None else score >= threshold
    side = record.side_sum / max(record.frames, 1)
    if record.clips:
        side = float(np.median([clip.side for clip in record.clips]))
    return FaceVerdict(
        face=number,
        first_frame=record.first,
        last_frame=record.last,
        frames=record.frames,
        side=side,
        score=score,
        spread=float(scores.std()) if len(scores) > 1 else None,
        lowest=float(scores.min()) if len(scores) else None,
        highest=float(scores.max()) if len(scores) else None,
        is_fake=is_fake,
        resembles=_resemblance(record, description) if is_fake else None,
        readouts=means,
        clips=tuple(record.clips),
        skipped_clips=record.skipped,
        warnings=tuple(_about_subject(record, scores, side, threshold, description)),
    )


def _resemblance(record: SubjectRecord, description: Description) -> Resemblance | None:
    """Return the manipulation that a fake resembles.

    The candidate is the manipulation, among those trained on, with the highest mean probability;
    the fake resembles it where that is `CONFIDENT` at least, and else none of those seen.
    """
    rows = record.outputs.get(MANIPULATION)
    classes = description.labels.get(MANIPULATION, ())
    if not rows or classes != MANIPULATION_CLASSES:
        return None
    table = np.array(rows, np.float64)
    means = dict(zip(classes, table.mean(axis=0).tolist(), strict=True))
    seen = [name for name in classes[1:] if name not in description.held_out]
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


def _about_subject(
    record: SubjectRecord,
    scores: np.ndarray[tuple[int], np.dtype[np.float64]],
    side: float,
    threshold: float,
    description: Description,
) -> list[Warned]:
    found: list[Warned] = []
    span = description.positions.span
    if not len(scores):
        why = (
            f"{record.skipped} clips were too small or hardly showed it"
            if record.skipped
            else (f"it is seen for {record.frames} frames, a clip takes {span}")
        )
        return [Warned("not_scored", f"No score: {why}.")]
    if record.folded:
        found.append(
            Warned(
                "few_frames",
                f"It is seen for fewer than the {span} frames of a clip, which were played forth "
                "and back.",
            )
        )
    elif record.frames < _ENOUGH_CLIPS * span:
        found.append(
            Warned(
                "few_frames",
                f"The score rests on {record.frames} frames, less than {_ENOUGH_CLIPS} clips of "
                f"{span} side by side.",
            )
        )
    if record.skipped:
        found.append(
            Warned(
                "skipped_clips",
                f"{record.skipped} clips were not scored: the face was too small or hardly found "
                "in them.",
            )
        )
    if description.crops is not None:
        found += _about_size(side * description.crops.margin, description)
    disagreeing = float((scores >= threshold).mean())
    if len(scores) > 1 and (scores.std() > _UNSTEADY or _UNSTEADY <= disagreeing <= 1 - _UNSTEADY):
        found.append(
            Warned(
                "disagreement",
                f"Its clips disagree: {100 * disagreeing:.0f} % of them reach the threshold, "
                f"scores lie between {scores.min():.2f} and {scores.max():.2f}.",
            )
        )
    return found


def _about_size(crop: float, description: Description) -> list[Warned]:
    """Return whether a face is small: below what training had, or below what the network takes."""
    trained = (description.videos or {}).get("crop_side")
    if trained is not None and crop < trained[0]:
        return [
            Warned(
                "small_face",
                f"The face is small: its crop has {crop:.0f} pixels, where 95 % of the training "
                f"videos have {trained[0]:.0f} or more.",
            )
        ]
    if trained is None and crop < description.size:
        return [
            Warned(
                "small_face",
                f"The face is small: its crop of {crop:.0f} pixels is enlarged to "
                f"{description.size}.",
            )
        ]
    return []


def about_detector(description: Description) -> list[Warned]:
    """Return the warnings that belong to every verdict of a detector."""
    if description.synthetic:
        return [Warned("synthetic", SYNTHETIC)]
    if description.synthetic is None:
        return [
            Warned(
                "unknown_corpus",
                "The checkpoint does not say which corpus it was trained on: it may have been a "
                "synthetic world, whose scores mean nothing on real video.",
            )
        ]
    return []


def about_video(
    facts: VideoFacts, description: Description, interlaced: float = 0.0
) -> list[Warned]:
    """Return warnings if resolution, compression or frame rate are far from the training's.

    Args:
        facts: What the file says about itself.
        description: Of the detector.
        interlaced: Share of the frames that consist of two fields.
    """
    trained: Mapping[str, list[float] | None] = description.videos or {}
    found: list[Warned] = []
    side, sides = min(facts.width, facts.height), trained.get("shorter_side")
    if sides is not None and not sides[0] / _FAR_SIDE <= side <= sides[2] * _FAR_SIDE:
        found.append(
            Warned(
                "resolution",
                f"The resolution is far from training: the shorter side of a frame has {side} "
                f"pixels, that of 90 % of the training videos {sides[0]:.0f} to {sides[2]:.0f}.",
            )
        )
    bits, range_ = facts.bits_per_pixel, trained.get("bits_per_pixel")
    if range_ is not None and not range_[0] / _FAR_BITS <= bits <= range_[2] * _FAR_BITS:
        found.append(
            Warned(
                "compression",
                f"The compression is far from training: {bits:.3f} bits a pixel, where 90 % of the "
                f"training videos have {range_[0]:.3f} to {range_[2]:.3f}.",
            )
        )
    found += _about_rate(facts, trained.get("fps"))
    if interlaced > _FEW_INTERLACED:
        found.append(
            Warned(
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
            Warned(
                "unknown_training",
                f"The checkpoint does not say how the {' and '.join(unknown)} of its training "
                "videos measured: whether this video is far from them is not known.",
            )
        )
    return found


def _about_rate(facts: VideoFacts, trained: list[float] | None) -> list[Warned]:
    """Return whether a clip lasts much longer or shorter than in training."""
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
        Warned(
            "frame_rate",
            f"The frame rate is far from training: {facts.fps:.4g} frames a second, where {where}: "
            "movements look faster or slower.",
        )
    ]


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


def _time(times: Sequence[float], frame: int) -> float | None:
    time = times[frame]
    return None if np.isnan(time) else time
