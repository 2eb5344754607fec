"""A video in, a verdict out."""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deepfake_mtl import __version__
from deepfake_mtl.data.store.crop_settings import REVISION
from deepfake_mtl.data.video import Frame
from deepfake_mtl.errors import ConfigurationError, VideoError
from deepfake_mtl.faces.detection import Center, FaceDetector, YuNet, find_detector_model
from deepfake_mtl.faces.tracks import TrackSettings, track_settings
from deepfake_mtl.inference.clips import Clip, ClipMaker
from deepfake_mtl.inference.judging import (
    SubjectRecord,
    about_detector,
    about_video,
    judge_subject,
    statement,
)
from deepfake_mtl.inference.loading import TrainedDetector, load_detector
from deepfake_mtl.inference.options import CALIBRATED, DetectOptions
from deepfake_mtl.inference.scoring import ClipScorer
from deepfake_mtl.inference.subjects import FaceCrops, Subjects, View, WholeFrames
from deepfake_mtl.inference.telling import TellingMoments
from deepfake_mtl.inference.verdict import DetectorFacts, FaceVerdict, Verdict, Warned
from deepfake_mtl.inference.video import VideoFacts, decode, inspect

Progress = Callable[[int, int], None]
"""Is told the number of frames that are done, and of all."""


@dataclass(slots=True)
class Examination:
    """A verdict, and what a page and an annotated video show beside it.

    Attributes:
        verdict: What is said.
        moments: Clips to be shown.
        squares: By subject: numbers of frames, and left, top and side in pixels; where asked for.
    """

    verdict: Verdict
    moments: TellingMoments = field(default_factory=TellingMoments)
    squares: dict[int, tuple[NDArray[np.int64], NDArray[np.float32]]] = field(default_factory=dict)


class VideoDetector:
    """Judges videos with a trained detector; needs no Lightning.

    Args:
        trained: What `deepfake_mtl.inference.loading.load_detector` returns.
        options: How videos are judged.

    Attributes:
        trained: The detector.
        options: See above.
        network: On its device, in evaluation mode.

    Raises:
        ConfigurationError: There is no such device, or no face detector.
        CheckpointError: The face detector is missing and cannot be downloaded.
    """

    def __init__(self, trained: TrainedDetector, options: DetectOptions = DetectOptions()) -> None:  # noqa: B008 (is frozen)
        self.trained = trained
        self.options = options
        self.device = _device(options.device)
        self.network = trained.network.to(self.device).eval()
        self._warnings = about_detector(trained.description)
        self._face_detector = self._make_face_detector()

    @classmethod
    def from_checkpoint(
        cls,
        path: str | os.PathLike[str],
        options: DetectOptions = DetectOptions(),  # noqa: B008
    ) -> "VideoDetector":
        """Load a checkpoint of ``deepfake-mtl fit``, or a folder of ``deepfake-mtl export``.

        Args:
            path: Of either.
            options: How videos are judged.

        Raises:
            CheckpointError: There is none, or it cannot be read.
        """
        return cls(load_detector(Path(path)), options)

    def __call__(self, video: str | os.PathLike[str], progress: Progress | None = None) -> Verdict:
        """Judge a video.

        Args:
            video: Its file.
            progress: Told how far it is.

        Raises:
            VideoError: It cannot be judged; the message says why.
        """
        return self.examine(Path(video), progress).verdict

    def examine(
        self, video: Path, progress: Progress | None = None, *, keep_squares: bool = False
    ) -> Examination:
        """Judge a video, and keep what else a page shows.

        Args:
            video: Its file.
            progress: Told how far it is.
            keep_squares: Whether to keep where the subjects are in every frame.

        Raises:
            VideoError: It cannot be judged.
        """
        tell = progress or (lambda _done, _all: None)
        facts = inspect(video, self.options.limits, lambda: tell(0, 0))
        return _Run(self, video, facts, tell, keep_squares=keep_squares).run()

    def failure(self, video: Path, reason: str) -> Verdict:
        """Return the verdict on a video that cannot be judged."""
        return self.verdict(video, None, status="failed", error=reason)

    def verdict(self, video: Path, facts: VideoFacts | None, **values: Any) -> Verdict:  # noqa: ANN401
        """Return a verdict of this detector, with what is the same in all of them."""
        description, options = self.trained.description, self.options
        return Verdict(
            video=str(video.absolute()),
            threshold=self.threshold,
            threshold_from=CALIBRATED if options.threshold == CALIBRATED else "given",
            statement=statement(description),
            detector=self.facts,
            settings=self.settings,
            file=facts,
            **{"error": None, **values},
        )

    @property
    def threshold(self) -> float:
        """From which score on a face is called fake."""
        if self.options.threshold == CALIBRATED:
            return self.trained.description.threshold
        return float(self.options.threshold)

    @property
    def facts(self) -> DetectorFacts:
        """Which detector it is."""
        description = self.trained.description
        return DetectorFacts(
            path=str(self.trained.path.absolute()),
            sha256=self.trained.digest,
            corpus=description.corpus,
            synthetic=description.synthetic,
            held_out=description.held_out,
            judges="whole frames" if description.crops is None else "faces",
            clip_length=description.clip_length,
            clip_stride=description.clip_stride,
            size=description.size,
            version=__version__,
        )

    @property
    def settings(self) -> dict[str, Any]:
        """How clips are laid and what is refused; with the weights they decide on the scores."""
        options, finder = self.options, self._face_detector
        step = (
            None
            if options.clips
            else options.step or max(self.trained.description.positions.span // 2, 1)
        )
        return {
            "step": step,
            "clips": options.clips,
            "face_detector": None if finder is None else finder.digest,
            "limits": asdict(options.limits),
        }

    def clip_maker(self, frames: int) -> ClipMaker:
        """Return what makes clips of a subject, in a video of so many frames."""
        return ClipMaker(
            self.trained.description.positions,
            frames=frames,
            step=self.settings["step"] or 1,
            count=self.options.clips,
        )

    def subjects(self) -> Subjects:
        """Return what of a video's frames is shown to the network."""
        description = self.trained.description
        if description.crops is None or self._face_detector is None:
            return WholeFrames(description.size)
        return FaceCrops(description.crops, self._face_detector, description.size)

    @property
    def warnings(self) -> list[Warned]:
        """What is to be said about every verdict."""
        return list(self._warnings)

    def _make_face_detector(self) -> FaceDetector | None:
        crops = self.trained.description.crops
        if crops is None:
            return None
        if crops.detector == "center":
            return Center(crops.margin)
        detector = YuNet(find_detector_model(self.options.detector_model))
        if detector.digest != crops.detector_hash:
            found = "files" if crops.detector == "boxes" else "another face detector"
            self._warnings.append(
                Warned(
                    "face_detector",
                    f"Boxes of faces came from {found} in training, and from YuNet here: crops may "
                    "look otherwise.",
                )
            )
        elif crops.revision != REVISION:
            self._warnings.append(
                Warned(
                    "face_detector",
                    "Faces were found and cropped by another version of this program in training: "
                    "crops may look otherwise.",
                )
            )
        return detector


class _Run:
    """One video on its way through."""

    def __init__(
        self,
        detector: VideoDetector,
        video: Path,
        facts: VideoFacts,
        progress: Progress,
        *,
        keep_squares: bool,
    ) -> None:
        self._detector = detector
        self._video = video
        self._facts = facts
        self._progress = progress
        self._scorer = ClipScorer(detector.network, detector.device)
        self._tracking = _tracking(detector)
        self._makers: dict[int, ClipMaker] = {}
        self._records: dict[int, SubjectRecord] = {}
        self._times: list[float] = []
        self._interlaced = 0
        self._moments = TellingMoments()
        self._keep_squares = keep_squares
        self._places: dict[int, list[tuple[int, float, float, float]]] = {}

    def run(self) -> Examination:
        """Judge it."""
        subjects = self._detector.subjects()
        frames = self._noted(decode(self._video, self._detector.options.limits))
        for number, time, views in subjects.views(frames):
            self._times.append(time)
            present = {view.subject for view in views}
            for gone in [each for each in self._makers if each not in present]:
                self._close(gone)
            for view in views:
                self._see(view)
            self._progress(number + 1, self._facts.frames)
        for subject in list(self._makers):
            self._close(subject)
        self._take(self._scorer.flush())
        if not self._times:
            raise VideoError(f"{self._video}: has no frames that can be shown; copy it again")
        return self._conclude(subjects.looks)

    def _noted(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Count interlaced frames on the way."""
        for frame in frames:
            self._interlaced += frame.is_interlaced
            yield frame

    def _see(self, view: View) -> None:
        record = self._records.setdefault(view.subject, SubjectRecord(view.number, view.number))
        record.see(view.number, view.side)
        if self._keep_squares:
            self._places.setdefault(view.subject, []).append((view.number, *view.square))
        if view.subject not in self._makers:
            self._makers[view.subject] = self._detector.clip_maker(self._facts.frames)
        for clip in self._makers[view.subject].push(view):
            self._score(clip)

    def _close(self, subject: int) -> None:
        for clip in self._makers.pop(subject).close():
            self._score(clip)

    def _score(self, clip: Clip) -> None:
        tracking = self._tracking
        if tracking is not None and (
            clip.side < tracking.least_side
            or (clip.found is not None and clip.found < tracking.least_found)
        ):
            self._records[clip.subject].skipped += 1
            return
        self._take(self._scorer.push(clip))

    def _take(self, scored: Any) -> None:  # noqa: ANN401
        for each in scored:
            self._records[each.clip.subject].take(each, self._times)
            self._moments.take(each)

    def _conclude(self, looks: int) -> Examination:
        detector = self._detector
        description = detector.trained.description
        faces = [
            judge_subject(number, record, detector.threshold, description)
            for number, record in self._records.items()
        ]
        faces.sort(key=lambda face: (math.inf if face.score is None else -face.score, face.face))
        interlaced = self._interlaced / len(self._times)
        warnings = [*detector.warnings, *about_video(self._facts, description, interlaced)]
        values: dict[str, Any] = {"faces": tuple(faces)}
        if not faces:
            where = f"{looks} frames" if looks != 1 else "the only frame"
            warnings.append(Warned("no_face", f"No face was found in the {where} looked at."))
            values["status"] = "no face"
        elif faces[0].score is None:
            warnings.append(
                Warned("not_scored", "Faces were found, but none long and large enough for a clip.")
            )
            values["status"] = "not scored"
        else:
            top: FaceVerdict = faces[0]
            values |= {"status": "scored", "score": top.score, "is_fake": top.is_fake}
            values |= {"face": top.face, "spread": top.spread, "resembles": top.resembles}
            warnings += top.warnings
        verdict = detector.verdict(self._video, self._facts, warnings=tuple(warnings), **values)
        return Examination(verdict, self._moments, self._squares())

    def _squares(self) -> dict[int, tuple[NDArray[np.int64], NDArray[np.float32]]]:
        return {
            subject: (
                np.array([place[0] for place in places], np.int64),
                np.array([place[1:] for place in places], np.float32),
            )
            for subject, places in self._places.items()
        }


def _tracking(detector: VideoDetector) -> TrackSettings | None:
    crops = detector.trained.description.crops
    return None if crops is None else track_settings(crops)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigurationError(f"device is {name!r}: {str(error).splitlines()[0]}") from error
    return device
