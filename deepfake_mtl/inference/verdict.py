"""What is said about a video, and the JSON that holds it; ``docs/detect.md`` has the schema."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from deepfake_mtl.inference.video import VideoFacts

SCHEMA_VERSION: Final = 1
"""Raised whenever a key of a verdict changes its meaning or its place."""

Status = Literal["scored", "no face", "not scored", "failed"]


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that makes a score less trustworthy.

    Attributes:
        code: For programs.
        text: For people.
    """

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class ClipScore:
    """The score of a clip.

    Attributes:
        start: First frame, counted from 0.
        end: Last frame.
        start_time: When the first frame is shown, in seconds; None where the file does not tell.
        end_time: Likewise of the last.
        score: Probability of fake.
        side: Of the face in pixels of the video, the median.
    """

    start: int
    end: int
    start_time: float | None
    end_time: float | None
    score: float
    side: float


@dataclass(frozen=True, slots=True)
class Resemblance:
    """Which manipulation a fake resembles.

    Attributes:
        name: A manipulation that was trained on; None if it resembles none of those.
        probability: Of the likeliest of those, the mean over the clips.
        agreement: Share of clips in which that one is likeliest.
        probabilities: Of each class, the mean over the clips.
    """

    name: str | None
    probability: float
    agreement: float
    probabilities: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class FaceVerdict:
    """What is said about a face, or about whole frames.

    Attributes:
        face: Its number, by when it appeared.
        first_frame: In which it is seen.
        last_frame: Likewise.
        frames: In how many frames it is seen.
        side: Of the face in pixels of the video, the median.
        score: Probability of fake, the mean over the clips; None if no clip could be scored.
        spread: Standard deviation of the score over the clips; None where there are fewer than two.
        lowest: Score of a clip.
        highest: Likewise.
        is_fake: Whether the score reaches the threshold; None without a score.
        resembles: Which manipulation; None unless it is called fake by a detector that tells.
        readouts: Means over the clips of the classes of each readout.
        clips: The scores that the mean is of.
        skipped_clips: Clips that were not scored, since the face was too small or hardly found.
        warnings: What makes the score less trustworthy.
    """

    face: int
    first_frame: int
    last_frame: int
    frames: int
    side: float
    score: float | None
    spread: float | None
    lowest: float | None
    highest: float | None
    is_fake: bool | None
    resembles: Resemblance | None
    readouts: Mapping[str, Mapping[str, float]]
    clips: tuple[ClipScore, ...]
    skipped_clips: int
    warnings: tuple[Warned, ...]


@dataclass(frozen=True, slots=True)
class DetectorFacts:
    """Which detector said so.

    Attributes:
        path: Its checkpoint or folder.
        sha256: Of its weights.
        corpus: What it was trained on; None where it does not say.
        synthetic: Whether that is a synthetic world.
        held_out: Manipulations that it was not trained on.
        judges: ``faces`` or ``whole frames``.
        clip_length: Frames of a clip.
        clip_stride: Their distance.
        size: Side of a clip in pixels.
        version: Of the library that gave the verdict.
    """

    path: str
    sha256: str
    corpus: Mapping[str, Any] | None
    synthetic: bool | None
    held_out: tuple[str, ...]
    judges: str
    clip_length: int
    clip_stride: int
    size: int
    version: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said about a video.

    Attributes:
        video: Path of the file.
        status: ``scored``; ``no face``; ``not scored``: there are faces, but no clip of any could
            be scored; or ``failed``: the file could not be judged.
        error: Why it failed; None otherwise.
        score: Probability of fake of the face that is likeliest fake; None without a score.
        is_fake: Whether that reaches the threshold; None likewise.
        face: Number of that face; None likewise.
        threshold: From which score on a face is called fake.
        threshold_from: ``calibrated`` on validation videos, or ``given``.
        spread: See `FaceVerdict`; of that face, as the next.
        resembles: See there.
        warnings: About the video as a whole.
        statement: What such a verdict is worth.
        file: What the file says about itself; None if it cannot be opened.
        detector: Which detector said so.
        settings: How clips were laid.
        faces: The most fake one first.
    """

    video: str
    status: Status
    error: str | None
    threshold: float
    threshold_from: str
    statement: str
    detector: DetectorFacts
    settings: Mapping[str, Any]
    score: float | None = None
    is_fake: bool | None = None
    face: int | None = None
    spread: float | None = None
    resembles: Resemblance | None = None
    warnings: tuple[Warned, ...] = ()
    file: VideoFacts | None = None
    faces: tuple[FaceVerdict, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, the schema's version first."""
        order = (
            "video", "status", "error", "score", "is_fake", "threshold", "threshold_from", "spread",
            "resembles", "face", "warnings", "statement", "file", "detector", "settings", "faces",
        )  # fmt: skip
        values = asdict(self)
        return {"schema_version": SCHEMA_VERSION, **{name: values[name] for name in order}}

    def to_json(self) -> str:
        """Return the text of ``verdict.json``."""
        return (
            json.dumps(_plain(self.to_dict()), indent=1, ensure_ascii=True, allow_nan=False) + "\n"
        )


def _plain(value: Any) -> Any:  # noqa: ANN401 (JSON)
    """Turn numbers that are not finite into None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
