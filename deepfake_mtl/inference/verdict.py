"""What is said about a video, and the JSON that holds it; ``docs/detect.md`` has the schema."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal

from deepfake_mtl.inference.video import VideoFacts

SCHEMA_VERSION: Final = 1
"""Raised whenever a key of a verdict changes its meaning or its place."""

Status = Literal["scored", "no face", "not scored", "failed"]


@dataclass(frozen=True, slots=True)
class VerdictWarning:
    """Something that makes a score less trustworthy.

    Attributes:
        code: Name for programs.
        text: Sentence for people.
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
        end_time: When the last frame is shown, in seconds; None where the file does not tell.
        score: Probability of fake.
        side: Side of the face in pixels of the video, the median.
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
        probability: Probability of the likeliest of those, the mean over the clips.
        agreement: Share of clips in which that one is likeliest.
        probabilities: Probability of each class, the mean over the clips.
    """

    name: str | None
    probability: float
    agreement: float
    probabilities: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class FaceVerdict:
    """What is said about a face, or about whole frames.

    Attributes:
        face: Number of the face, by when it appeared.
        first_frame: First frame in which it is seen.
        last_frame: Last frame in which it is seen.
        frames: Number of frames in which it is seen.
        side: Side of the face in pixels of the video, the median.
        score: Probability of fake, the mean over the clips; None if no clip could be scored.
        spread: Standard deviation of the score over the clips; None where there are fewer than two.
        lowest: Lowest score of a clip.
        highest: Highest score of a clip.
        is_fake: Whether the score reaches the threshold; None without a score.
        resembles: Which manipulation; None unless it is called fake by a detector that tells.
        readouts: Probability of each class by predictor, mean over the clips.
        clips: The scores that the mean is of.
        skipped_clips: Number of clips that were not scored, since the face was too small or hardly
            found.
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
    warnings: tuple[VerdictWarning, ...]


@dataclass(frozen=True, slots=True)
class DetectorFacts:
    """Which detector said so.

    Attributes:
        path: Path of its checkpoint or folder.
        sha256: Digest of its weights.
        corpus: What it was trained on; None where it does not say.
        synthetic: Whether that is a synthetic world.
        held_out: Manipulations that it was not trained on.
        judges: ``faces`` or ``whole frames``.
        clip_length: Number of frames in a clip.
        clip_stride: Distance between these frames, in frames of the video.
        size: Side of a clip in pixels.
        version: Version of the library that gave the verdict.
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
        is_fake: Whether that reaches the threshold; None without a score.
        face: Number of that face; None without a score.
        threshold: Score from which on a face is called fake.
        threshold_from: ``calibrated`` on validation videos, or ``given``.
        spread: Standard deviation of the score of that face over its clips; see `FaceVerdict`.
        resembles: Which manipulation that face resembles; see `FaceVerdict`.
        warnings: What makes the score of the video less trustworthy.
        statement: What such a verdict is worth.
        file: What the file says about itself; None if it cannot be opened.
        detector: Which detector said so.
        settings: How clips were laid.
        faces: Verdicts on the faces, the most fake one first.
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
    warnings: tuple[VerdictWarning, ...] = ()
    file: VideoFacts | None = None
    faces: tuple[FaceVerdict, ...] = ()

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


@dataclass(frozen=True, slots=True)
class Setup:
    """What the verdicts of one detector have in common, whatever the video is.

    Attributes:
        threshold: Score from which on a face is called fake.
        threshold_from: ``calibrated`` on validation videos, or ``given``.
        statement: What such a verdict is worth.
        detector: Which detector says so.
        settings: How clips are laid and what is refused; with the weights they decide on the
            scores.
    """

    threshold: float
    threshold_from: str
    statement: str
    detector: DetectorFacts
    settings: Mapping[str, Any]

    def verdict(
        self,
        video: Path,
        file: VideoFacts,
        faces: Sequence[FaceVerdict],
        warnings: Iterable[VerdictWarning],
    ) -> Verdict:
        """Return the verdict on a video, which is that on its most fake face.

        Args:
            video: Path of the file.
            file: What it says about itself.
            faces: Verdicts on its faces, the most fake one first.
            warnings: What makes the score less trustworthy.
        """
        common = self._common(video)
        top = faces[0] if faces else None
        common |= {"file": file, "faces": tuple(faces), "warnings": tuple(warnings), "error": None}
        if top is None or top.score is None:
            return Verdict(status="no face" if top is None else "not scored", **common)
        return Verdict(
            status="scored",
            score=top.score,
            is_fake=top.is_fake,
            face=top.face,
            spread=top.spread,
            resembles=top.resembles,
            **common,
        )

    def failure(self, video: Path, reason: str) -> Verdict:
        """Return the verdict on a video that cannot be judged."""
        return Verdict(status="failed", error=reason, **self._common(video))

    def made(self, content: Mapping[str, Any]) -> bool:
        """Return whether a verdict was made with this detector and these settings.

        Args:
            content: Content of its JSON file.

        Raises:
            KeyError: It is not a verdict.
        """
        detector = content["detector"]
        return bool(
            content["schema_version"] == SCHEMA_VERSION
            and content["threshold"] == self.threshold
            and content["threshold_from"] == self.threshold_from
            and content["settings"] == self.settings
            and detector["sha256"] == self.detector.sha256
            and detector["version"] == self.detector.version
        )

    def _common(self, video: Path) -> dict[str, Any]:
        return {
            "video": str(video.absolute()),
            **{each.name: getattr(self, each.name) for each in fields(self)},
        }


def _plain(value: Any) -> Any:  # noqa: ANN401 (JSON)
    """Return a value with None for each number that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
