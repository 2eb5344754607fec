"""A video in, a verdict out."""

import os
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

import torch

from deepfake_mtl import __version__
from deepfake_mtl.data.store.crop_settings import REVISION, CropSettings
from deepfake_mtl.errors import ConfigurationError, VideoError
from deepfake_mtl.faces.detection import Center, FaceDetector, YuNet, find_detector_model
from deepfake_mtl.faces.tracks import track_settings
from deepfake_mtl.inference.aggregation import Analysis, aggregate
from deepfake_mtl.inference.clips import ClipBuffer, ClipScorer
from deepfake_mtl.inference.loading import TrainedDetector, load_detector
from deepfake_mtl.inference.options import CALIBRATED, DetectOptions
from deepfake_mtl.inference.pipeline import Pipeline
from deepfake_mtl.inference.reliability import about_detector, about_faces, about_video, statement
from deepfake_mtl.inference.tracking import FaceTracker
from deepfake_mtl.inference.verdict import DetectorFacts, Setup, Verdict, VerdictWarning
from deepfake_mtl.inference.video import decode, inspect
from deepfake_mtl.inference.views import Views, WholeFrames, face_crop

Progress = Callable[[int, int], None]
"""Is told the number of frames that are done, and of all."""


class VideoDetector:
    """Judges videos with a trained detector; needs no Lightning.

    Args:
        trained: What `deepfake_mtl.inference.loading.load_detector` returns.
        options: How videos are judged.

    Attributes:
        trained: The detector.
        options: How videos are judged.
        device: Where the network computes.
        network: The detector's network, on its device, in evaluation mode.
        face_detector: Finds faces in a frame; None where whole frames are judged.
        setup: What all verdicts have in common.

    Raises:
        ConfigurationError: There is no such device, or no face detector.
        CheckpointError: The face detector is missing and cannot be downloaded.
    """

    def __init__(self, trained: TrainedDetector, options: DetectOptions = DetectOptions()) -> None:  # noqa: B008 (is frozen)
        self.trained = trained
        self.options = options
        self.device = find_device(options.device)
        self.network = trained.network.to(self.device).eval()
        self._warnings = about_detector(trained.description)
        self.face_detector: FaceDetector | None = None
        if trained.description.crops is not None:
            self.face_detector = _face_detector(trained.description.crops, options)
            self._warnings += _about_face_detector(trained.description.crops, self.face_detector)
        self.setup = _setup(trained, options, self.face_detector, self.device)

    @classmethod
    def from_checkpoint(
        cls,
        path: str | os.PathLike[str],
        options: DetectOptions = DetectOptions(),  # noqa: B008
        trust: str | Collection[str] = (),
    ) -> "VideoDetector":
        """Load a checkpoint of ``deepfake-mtl fit``, or a folder of ``deepfake-mtl export``.

        Args:
            path: Path of either.
            options: How videos are judged.
            trust: Packages from which the file may have classes imported, beside this library and
                `torch.nn`.

        Raises:
            CheckpointError: There is none, it cannot be read, or it names a class of a package that
                is not trusted.
        """
        return cls(load_detector(Path(path), trust), options)

    def __call__(self, video: str | os.PathLike[str], progress: Progress | None = None) -> Verdict:
        """Judge a video.

        Args:
            video: Path of the file.
            progress: Told the number of frames that are done, and of all.

        Raises:
            VideoError: It cannot be judged; the message says why.
        """
        return self.analyse(Path(video), progress).verdict

    def analyse(
        self, video: Path, progress: Progress | None = None, *, keep_squares: bool = False
    ) -> Analysis:
        """Judge a video, and keep what else a page shows.

        Args:
            video: Path of the file.
            progress: Told the number of frames that are done, and of all.
            keep_squares: Whether to keep where the faces are in every frame.

        Raises:
            VideoError: It cannot be judged; the message says why.
        """
        tell = progress or (lambda _done, _all: None)
        description, limits = self.trained.description, self.options.limits
        file = inspect(video, limits, lambda: tell(0, 0))
        views = self._views()
        pipeline = Pipeline(
            views,
            partial(
                ClipBuffer,
                description.positions,
                frames=file.frames,
                step=self.setup.settings["step"] or 1,
                count=self.options.clips,
            ),
            ClipScorer(self.network, self.device),
            None if description.crops is None else track_settings(description.crops),
            keep_squares=keep_squares,
        )
        pipeline.run(decode(video, limits), lambda done: tell(done, file.frames))
        if not pipeline.times:
            raise VideoError(f"{video}: has no frames that can be shown; copy it again")
        faces = aggregate(pipeline.tracks.values(), self.setup.threshold, description)
        warnings = [
            *self._warnings,
            *about_video(file, description, pipeline.interlaced / len(pipeline.times)),
            *about_faces(faces, views.looks),
        ]
        return Analysis(self.setup.verdict(video, file, faces, warnings), pipeline.tracks)

    def _views(self) -> Views:
        description = self.trained.description
        if description.crops is None or self.face_detector is None:
            return WholeFrames(description.size)
        crop = face_crop(description.crops, description.size)
        return FaceTracker(self.face_detector, track_settings(description.crops), crop)


def _setup(
    trained: TrainedDetector,
    options: DetectOptions,
    face_detector: FaceDetector | None,
    device: torch.device,
) -> Setup:
    description = trained.description
    calibrated = options.threshold == CALIBRATED
    half_a_clip = max(description.positions.span // 2, 1)
    return Setup(
        threshold=description.threshold if calibrated else float(options.threshold),
        threshold_from=CALIBRATED if calibrated else "given",
        statement=statement(description),
        detector=DetectorFacts(
            path=str(trained.path.absolute()),
            sha256=trained.digest,
            corpus=description.corpus,
            synthetic=description.synthetic,
            held_out=description.held_out,
            judges="whole frames" if description.crops is None else "faces",
            clip_length=description.clip_length,
            clip_stride=description.clip_stride,
            size=description.size,
            version=__version__,
        ),
        settings={
            "step": None if options.clips else options.step or half_a_clip,
            "clips": options.clips,
            "face_detector": None if face_detector is None else face_detector.digest,
            "limits": {
                "megapixels": options.limits.max_megapixels,
                "hours": options.limits.max_hours,
            },
            "device": device.type,
            "tf32": device.type == "cuda" and torch.backends.cudnn.allow_tf32,
        },
    )


def _face_detector(crops: CropSettings, options: DetectOptions) -> FaceDetector:
    if crops.detector == "center":
        return Center(crops.margin)
    return YuNet(find_detector_model(options.detector_model))


def _about_face_detector(crops: CropSettings, detector: FaceDetector) -> list[VerdictWarning]:
    """Say where faces are found or cropped otherwise than for the training."""
    if crops.detector == "center":
        return []
    if detector.digest != crops.detector_hash:
        found = "files" if crops.detector == "boxes" else "another face detector"
        return [
            VerdictWarning(
                "face_detector",
                f"Boxes of faces came from {found} in training, and from YuNet here: crops may "
                "look otherwise.",
            )
        ]
    if crops.revision != REVISION:
        return [
            VerdictWarning(
                "face_detector",
                "Faces were found and cropped by another version of this program in training: "
                "crops may look otherwise.",
            )
        ]
    return []


def find_device(name: str) -> torch.device:
    """Find a device.

    Args:
        name: ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ``cuda:1`` and the like.

    Raises:
        ConfigurationError: There is no such device.
    """
    if name == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigurationError(f"device is {name!r}: {str(error).splitlines()[0]}") from error
    return device


def find_devices(name: str) -> list[torch.device]:
    """Find the devices that several processes take turns with: all GPUs, unless one is named.

    Args:
        name: See `find_device`.

    Raises:
        ConfigurationError: There is no such device.
    """
    device = find_device(name)
    if device.type == "cpu" or str(device) != device.type:
        return [device]
    return [torch.device(device.type, n) for n in range(torch.accelerator.device_count())]
