"""Trained detectors from checkpoints and exported folders, without Lightning."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from deepfake_mtl import __version__
from deepfake_mtl.data.protocol import TEST_SETS, data_state
from deepfake_mtl.data.store.crop_settings import CropSettings
from deepfake_mtl.errors import CheckpointError, ConfigurationError
from deepfake_mtl.evaluation.files import RESULTS
from deepfake_mtl.inference.description import Description
from deepfake_mtl.models.checkpoint_files import load_checkpoint
from deepfake_mtl.network import MultiTaskNetwork, describe_part, network_state
from deepfake_mtl.util.files import sha256_of

WEIGHTS: Final = "model.safetensors"
CONFIG: Final = "config.json"
# What a detector takes where nothing is configured.
_DEFAULT_ENCODER: Final = {"class_path": "deepfake_mtl.models.S3D"}
_DEFAULT_TASKS: Final = ({"class_path": "deepfake_mtl.tasks.BinaryCrossEntropy"},)


@dataclass(frozen=True, slots=True)
class TrainedDetector:
    """A detector that was trained.

    Attributes:
        network: With its weights, in evaluation mode, on the CPU.
        description: What it is.
        path: Where it was loaded from.
        digest: SHA-256 of that file, or of the weights of that folder.
    """

    network: MultiTaskNetwork
    description: Description
    path: Path
    digest: str


def load_detector(path: Path, trust: str | Collection[str] = ()) -> TrainedDetector:
    """Load a checkpoint of ``deepfake-mtl fit``, or a folder of ``deepfake-mtl export``.

    Args:
        path: Path of either.
        trust: Packages whose code may be run because the file names one of their classes, such as
            an encoder of your own; see `deepfake_mtl.parts.make_part`.

    Raises:
        CheckpointError: There is none, it cannot be read, holds something else, or names a class of
            a package that is not trusted.
    """
    if path.is_dir():
        return _load_folder(path, trust)
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such checkpoint; name one of deepfake-mtl fit, or a folder of "
            "deepfake-mtl export"
        )
    return _load_checkpoint(path, trust)


def _load_folder(path: Path, trust: str | Collection[str]) -> TrainedDetector:
    for name in (CONFIG, WEIGHTS):
        if not (path / name).is_file():
            raise CheckpointError(f"{path}: holds no {name}; deepfake-mtl export writes it")
    try:
        description = Description.from_json((path / CONFIG).read_text(encoding="utf-8"))
    except (CheckpointError, OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path / CONFIG}: {error}") from error
    try:
        state = load_file(path / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path / WEIGHTS}: cannot be read ({error})") from error
    network = _network(path, description, state, trust)
    return TrainedDetector(network, description, path, sha256_of(path / WEIGHTS))


def _load_checkpoint(path: Path, trust: str | Collection[str]) -> TrainedDetector:
    content = load_checkpoint(path)
    kept = data_state(content)
    if kept is None:
        raise CheckpointError(f"{path}: not a checkpoint of deepfake-mtl fit")
    try:
        parts, data = content["hyper_parameters"], content["datamodule_hyper_parameters"]
        state = content["state_dict"]
        if "encoder" not in parts:
            raise CheckpointError(
                f"{path}: was put together in Python, so that it does not say what its encoder and "
                "tasks are; train it by deepfake-mtl fit"
            )
        description = _describe(path, parts, data, kept, float(state["threshold"]))
    except KeyError as error:
        raise CheckpointError(f"{path}: not a checkpoint of deepfake-mtl fit") from error
    network = _network(path, description, network_state(state), trust)
    description = replace(description, labels=network.classes)
    return TrainedDetector(network, description, path, sha256_of(path))


def _describe(
    path: Path,
    parts: Mapping[str, Any],
    data: Mapping[str, Any],
    kept: Mapping[str, Any],
    threshold: float,
) -> Description:
    crops = kept.get("crops")
    try:
        settings = None if crops is None else CropSettings.from_dict(crops)
    except ConfigurationError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return Description(
        encoder=describe_part(parts["encoder"] or _DEFAULT_ENCODER),
        tasks=tuple(describe_part(task) for task in parts["tasks"] or _DEFAULT_TASKS),
        moco=dict(parts["moco"] or {}),
        separate_encoders=bool(parts["separate_encoders"]),
        clip_length=int(data["clip_length"]),
        clip_stride=int(data["clip_stride"]),
        size=int(data["size"]),
        crops=settings,
        held_out=tuple(kept["held_out"]),
        threshold=threshold,
        corpus=kept.get("corpus"),
        videos=kept.get("videos"),
        metrics=_metrics(path),
        labels={},
        version=__version__,
    )


def _metrics(path: Path) -> dict[str, Any] | None:
    """Return the metrics of the test of a checkpoint, where it stands in the run folder."""
    try:
        results = json.loads((path.parent.parent / RESULTS).read_text(encoding="utf-8"))
        tested = Path(results["checkpoint"] or "")
        if tested.name != path.name:
            return None
        names = ("accuracy", "balanced_accuracy", "auc", "eer", "accuracy_calibrated")
        return {
            "corpus": {k: results["corpus"][k] for k in ("name", "compression", "synthetic")},
            "test": results["counts"].get("test"),
            **{
                group: None if report is None else {name: report.get(name) for name in names}
                for group in TEST_SETS
                for report in (results["figures"][group],)
            },
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _network(
    path: Path,
    description: Description,
    state: Mapping[str, Tensor],
    trust: str | Collection[str],
) -> MultiTaskNetwork:
    try:
        network = MultiTaskNetwork.from_description(
            description.encoder,
            description.tasks,
            description.moco,
            separate_encoders=description.separate_encoders,
            trust=trust,
        )
        network.load(state)
    except (CheckpointError, TypeError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    return network.eval()
