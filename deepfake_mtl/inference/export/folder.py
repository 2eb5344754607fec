"""A checkpoint as a folder to hand out: weights, configuration, model card, traced network."""

import os
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.export import Dim, ExportedProgram

from deepfake_mtl.errors import CheckpointError, ConfigurationError
from deepfake_mtl.inference.export.card import model_card
from deepfake_mtl.inference.loading import CONFIG, WEIGHTS, TrainedDetector
from deepfake_mtl.network import MultiTaskNetwork
from deepfake_mtl.util.files import replace, write_whole

CARD: Final = "README.md"
PROGRAM: Final = "model.pt2"

TOLERANCE: Final = 1e-5
"""By how much a probability of the traced network may differ from that of the network itself."""

_BATCHES: Final = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        folder: Where.
        difference: Largest difference of a probability between the traced network and the network
            itself; None where it could not be traced.
        untraced: Why it could not be; empty otherwise.
    """

    folder: Path
    difference: float | None
    untraced: str


def export_detector(trained: TrainedDetector, folder: Path) -> Exported:
    """Write a folder from which a detector is loaded without Lightning.

    ``model.safetensors`` (weights of encoders and tasks), ``config.json`` (all else that `detect`
    needs, and the figures of the test), ``README.md`` (the model card), and ``model.pt2``: encoder
    and heads as `torch.export` traces them, from uint8 clips (B x 3 x T x size x size, any B) to
    the probabilities of each predictor; compared with the network itself.

    Args:
        trained: The detector.
        folder: New or empty.

    Raises:
        ConfigurationError: The folder holds something, or cannot be written to.
        CheckpointError: The traced network gives other probabilities.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigurationError(f"{folder}: is not empty; name a new folder")
        partial = folder.with_name(f".{folder.name}.{os.getpid()}.part")
        partial.mkdir(parents=True)
    except OSError as error:
        raise ConfigurationError(
            f"{folder}: cannot be written to ({error.strerror}); name another folder"
        ) from error
    try:
        save_file(trained.network.weights(), partial / WEIGHTS, {"format": "pt"})
        (partial / WEIGHTS).chmod(0o644)  # as others are, whatever safetensors takes
        write_whole(partial / CONFIG, trained.description.to_json())
        difference, untraced = _write_program(trained, partial / PROGRAM)
        exported = Exported(folder, difference, untraced)
        write_whole(partial / CARD, model_card(trained, difference, untraced))
        if folder.exists():
            folder.rmdir()
        replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return exported


def trace(network: MultiTaskNetwork, clip: Tensor) -> ExportedProgram:
    """Trace encoder and heads for any number of clips.

    Args:
        network: Network in evaluation mode, on the CPU.
        clip: uint8, B x 3 x T x H x W, with B of at least 2.
    """
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(
            network, (clip,), dynamic_shapes={"clip": {0: Dim("batch", min=1)}}
        )


def largest_difference(network: MultiTaskNetwork, program: ExportedProgram, clips: Tensor) -> float:
    """Compare the probabilities of batches of several sizes.

    Args:
        network: Network in evaluation mode, on the CPU.
        program: Traced from it.
        clips: uint8, at least 5 x 3 x T x H x W.
    """
    traced = program.module()
    largest = 0.0
    with torch.inference_mode():
        for count in _BATCHES:
            eager, other = network(clips[:count]), traced(clips[:count])
            for name, expected in eager.items():
                largest = max(largest, float((expected - other[name]).abs().max()))
    return largest


def _write_program(trained: TrainedDetector, path: Path) -> tuple[float | None, str]:
    description = trained.description
    shape = (max(_BATCHES), 3, description.clip_length, description.size, description.size)
    generator = torch.Generator().manual_seed(0)
    clips = torch.randint(256, shape, dtype=torch.uint8, generator=generator)
    try:
        program = trace(trained.network, clips[:2])
    except Exception as error:  # noqa: BLE001 (torch raises many kinds, for what it cannot trace)
        return None, f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program, path)
        # What others will load, rather than what is in memory.
        program = torch.export.load(path)
    difference = largest_difference(trained.network, program, clips)
    if not difference <= TOLERANCE:
        raise CheckpointError(
            f"the traced network differs from the network itself by {difference:.2g} in a "
            f"probability, more than {TOLERANCE:g}: please report this with the versions of torch "
            "and deepfake_mtl"
        )
    return difference, ""
