"""What a trained detector is, apart from its weights: the content of ``config.json``."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from deepfake_mtl.data.clip_positions import ClipPositions
from deepfake_mtl.data.store.crop_settings import CropSettings
from deepfake_mtl.errors import CheckpointError, ConfigurationError

FORMAT: Final = "deepfake-mtl-detector"
CONFIG_VERSION: Final = 1
"""Version of ``config.json``; raised whenever older programs would misread it."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a trained detector is, apart from its weights.

    Attributes:
        encoder: ``class_path`` and ``init_args``.
        tasks: The same of each task; the first is the primary one.
        moco: What contrastive tasks have in common.
        separate_encoders: Whether each task has an encoder of its own.
        clip_length: Frames of a clip.
        clip_stride: Distance of these frames, in frames of the video.
        size: Side of a clip in pixels.
        crops: How face crops were made; None of a detector of whole frames.
        held_out: Manipulations that it was not trained on.
        threshold: What was best on validation videos.
        corpus: ``name``, ``compression`` and ``synthetic``; None where the checkpoint does not say,
            as those of older versions.
        videos: See `deepfake_mtl.data.dataset_statistics.describe_training`; None likewise.
        metrics: Metrics of its test; None where there was none.
        labels: Names of the classes of each predictor.
        version: Version of this library that wrote it.
    """

    encoder: Mapping[str, Any]
    tasks: tuple[Mapping[str, Any], ...]
    moco: Mapping[str, Any]
    separate_encoders: bool
    clip_length: int
    clip_stride: int
    size: int
    crops: CropSettings | None
    held_out: tuple[str, ...]
    threshold: float
    corpus: Mapping[str, Any] | None
    videos: Mapping[str, list[float] | None] | None
    metrics: Mapping[str, Any] | None
    labels: Mapping[str, tuple[str, ...]]
    version: str

    @property
    def positions(self) -> ClipPositions:
        """Which frames of a video a clip is made of."""
        return ClipPositions(self.clip_length, self.clip_stride)

    @property
    def synthetic(self) -> bool | None:
        """Whether it was trained on a synthetic world; None where nobody knows."""
        return None if self.corpus is None else bool(self.corpus["synthetic"])

    def to_json(self) -> str:
        """Return the text of ``config.json``."""
        values: dict[str, Any] = {"format": FORMAT, "version": CONFIG_VERSION}
        values |= {"deepfake_mtl": self.version, "encoder": dict(self.encoder)}
        values |= {"tasks": [dict(task) for task in self.tasks], "moco": dict(self.moco)}
        values |= {"separate_encoders": self.separate_encoders}
        for name in ("clip_length", "clip_stride", "size", "threshold", "corpus", "videos"):
            values[name] = getattr(self, name)
        values["crops"] = None if self.crops is None else self.crops.to_dict()
        values["held_out"] = list(self.held_out)
        values["labels"] = {name: list(classes) for name, classes in self.labels.items()}
        values["metrics"] = self.metrics
        return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return what `to_json` was called on.

        Raises:
            CheckpointError: It is something else, or of another version.
        """
        try:
            values = json.loads(text)
            if values["format"] != FORMAT or values["version"] != CONFIG_VERSION:
                raise CheckpointError(
                    f"is {values['format']} of version {values['version']}; this program reads "
                    f"{FORMAT} of version {CONFIG_VERSION}: export the checkpoint again"
                )
            crops = values["crops"]
            return cls(
                encoder=values["encoder"],
                tasks=tuple(values["tasks"]),
                moco=values["moco"],
                separate_encoders=bool(values["separate_encoders"]),
                clip_length=int(values["clip_length"]),
                clip_stride=int(values["clip_stride"]),
                size=int(values["size"]),
                crops=None if crops is None else CropSettings.from_dict(crops),
                held_out=tuple(values["held_out"]),
                threshold=float(values["threshold"]),
                corpus=values["corpus"],
                videos=values["videos"],
                metrics=values["metrics"],
                labels={name: tuple(classes) for name, classes in values["labels"].items()},
                version=str(values["deepfake_mtl"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, ConfigurationError) as error:
            raise CheckpointError(f"cannot be understood ({error!r})") from error
