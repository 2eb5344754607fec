"""How long a world and a training on it will take on this machine, measured by a part of each."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import psutil  # type: ignore[import-untyped]
import torch

from deepfake_mtl.data.records import MANIPULATIONS
from deepfake_mtl.models import S3D
from deepfake_mtl.optimization.precision import device_of, resolve_precision
from deepfake_mtl.synthetic.config import SyntheticConfig
from deepfake_mtl.synthetic.world import film_identity, pair_identities, split_pairs
from deepfake_mtl.util.machine import usable_cores

_STARTS: Final = 4
"""Processes that import as much as this one did: two workers of films, two of clips."""

_BESIDE: Final = 1.25
"""A step in the training over one alone: clips are read and augmented on the same cores."""


def forecast(world: SyntheticConfig, config: Mapping[str, Any]) -> float:
    """Return the seconds that it takes to make a world, and to fit and test one fold on it.

    One person is filmed, and two steps of S3D are made, which takes some seconds. The measured part
    is a lower bound where the machine is busy with something else later.

    Args:
        world: The world.
        config: Configuration of the training, as
            `deepfake_mtl.training.command.resolve_config` gives it.

    Returns:
        Seconds, from now on.
    """
    # In other processes the same modules are imported again.
    importing: float = time.time() - psutil.Process().create_time()
    filming = world.identities * _seconds_to_film(world) / usable_cores()
    data, trainer = config["data"], config["trainer"]
    split = split_pairs(pair_identities(world), world.test_share)
    # Two people in a pair; each has an original and a fake of each manipulation.
    learnt, tested = 2 * len(MANIPULATIONS), 2 * (1 + len(MANIPULATIONS))
    clips = len(split["train"]) * learnt * data["train_clips_per_video"]
    steps = trainer["max_epochs"] * (clips // data["batch_size"])
    validations = trainer["max_epochs"] // (trainer["check_val_every_n_epoch"] or 1)
    scored = len(split["val"]) * learnt * validations + len(split["test"]) * tested
    batches = math.ceil(scored * data["eval_clips_per_video"] / data["batch_size"])
    learning, scoring = _seconds_a_batch(config)
    working: float = steps * learning + batches * scoring
    return _STARTS * importing + filming + _BESIDE * working


def _seconds_to_film(world: SyntheticConfig) -> float:
    with TemporaryDirectory() as folder:
        return _time(lambda: film_identity(Path(folder), world, 0))


def _seconds_a_batch(config: Mapping[str, Any]) -> tuple[float, float]:
    """Return the seconds of a training step, and of scoring a batch."""
    data, trainer = config["data"], config["trainer"]
    device = device_of(trainer["accelerator"])
    precision = resolve_precision(trainer["precision"], trainer["accelerator"])
    shape = (data["batch_size"], 3, data["clip_length"], data["size"], data["size"])
    encoder = S3D().to(device)
    clip = torch.zeros(shape, dtype=torch.uint8, device=device)

    def score() -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
            features: torch.Tensor = encoder(clip)
        return features.float().sum()

    def learn() -> None:
        encoder.zero_grad()
        torch.autograd.backward(score())

    for _ in range(2):  # the first has kernels chosen, and memory fetched
        learning = _time(learn)
    encoder.eval()
    with torch.inference_mode():
        return learning, _time(score)


def _time(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return time.perf_counter() - begin
