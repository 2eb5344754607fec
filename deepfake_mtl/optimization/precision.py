"""In how many bits a detector is trained."""

import logging
import math
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import conv3d

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.evaluation.results import PrecisionRecord

if TYPE_CHECKING:
    from pytorch_lightning import Trainer

TF32 = Literal["none", "convolutions", "all"]

Precision: TypeAlias = Literal[
    "auto", "32-true", "bf16-mixed", "16-mixed", "64-true", "32", "bf16", "16", "64", 32, 16, 64,
    "bf16-true", "16-true", "transformer-engine", "transformer-engine-float16",
]  # fmt: skip
"""What a trainer's precision may be: Lightning's names, and ``auto`` for what is measured."""

PRECISION: Final = "precision"
"""Key of a checkpoint for the `PrecisionRecord` of its training."""

_ACCEPTED: Final = ("32-true", "64-true", "16-mixed", "bf16-mixed")
_FASTER: Final = 0.9
"""At this ratio of its time to float32's bfloat16 is taken: what is nearer to 1 may be noise."""

_SLOWER: Final = 1.2
_PROBE_SECONDS: Final = 0.6
_PROBE_ROUNDS: Final = 20

_log = logging.getLogger(__name__)


class _Measured:
    """Ratios of the devices that were probed in this process."""

    ratios: Final[dict[str, float]] = {}


def resolve_precision(asked: Precision | None, accelerator: object = "auto") -> Precision | None:
    """Return what a trainer is to be given for a precision that may be ``auto``.

    Args:
        asked: Any of Lightning's names; or ``auto``, for ``bf16-mixed`` where `bf16_ratio` shows it
            faster than float32 on the device, and ``32-true`` elsewhere.
        accelerator: Name of the trainer's accelerator.

    Returns:
        A name that Lightning knows; whatever is not ``auto`` as it was given.
    """
    if asked != "auto":
        return asked
    device = device_of(accelerator)
    ratio = bf16_ratio(device)
    chosen: Precision = "bf16-mixed" if ratio < _FASTER else "32-true"
    what = (
        f"bfloat16 takes {ratio:.2f} times as long as float32"
        if math.isfinite(ratio)
        else "bfloat16 does not work"
    )
    _log.warning("precision auto: %s, as %s on %s", chosen, what, _name(device))
    return chosen


def device_of(accelerator: object) -> torch.device:
    """Return the first device of an accelerator, as Lightning's ``accelerator=`` names it."""
    if accelerator not in {"cpu", "tpu"} and torch.accelerator.is_available():
        kind = torch.accelerator.current_accelerator()
        if kind is not None and kind.type in {"cuda", "mps"}:
            return torch.device(kind.type, 0)
    return torch.device("cpu")


def bf16_ratio(device: torch.device) -> float:
    """Return the time of a convolution, forward and backward, in bfloat16 over float32.

    A convolution over space and one over time, of the shapes of S3D's early stages, under autocast
    as `bf16-mixed` has it. Takes well below two seconds, and is measured once in a process. On a
    CPU without bfloat16 instructions (AVX-512 BF16 or AMX) the ratio is 10 to 100.

    Args:
        device: Device to compute on.

    Returns:
        The ratio; infinity where bfloat16 does not work.
    """
    key = str(device)
    if key not in _Measured.ratios:
        _Measured.ratios[key] = _probe(device)
    return _Measured.ratios[key]


def precision_record(precision: str, device: torch.device) -> PrecisionRecord:
    """Return what to write down of a precision, with the ratio where it was measured."""
    ratio = _Measured.ratios.get(str(device), math.nan)
    return {
        "used": precision,
        "bf16_over_float32": round(ratio, 3) if math.isfinite(ratio) else None,
    }


def warn_of_slow_precision(precision: str, device: torch.device) -> None:
    """Say once, with the measured ratio, that mixed bfloat16 is slower than float32 here."""
    if precision == "bf16-mixed":
        _warn_once(str(device))


@lru_cache
def _warn_once(name: str) -> None:
    ratio = bf16_ratio(torch.device(name))
    if ratio > _SLOWER:
        _log.warning(
            "precision bf16-mixed takes %.1f times as long as 32-true on %s: it is used, since it "
            "was asked for; precision auto measures, and takes the faster",
            ratio,
            _name(torch.device(name)),
        )


def _probe(device: torch.device) -> float:
    # Values that need no random number: the draws of a training stay as they are.
    clip = (torch.arange(32 * 8 * 28 * 28, dtype=torch.float32) % 7 - 3).view(1, 32, 8, 28, 28)
    spatial = (torch.arange(32 * 32 * 9, dtype=torch.float32) % 5 - 2).view(32, 32, 1, 3, 3) / 100
    temporal = (torch.arange(32 * 32 * 3, dtype=torch.float32) % 5 - 2).view(32, 32, 3, 1, 1) / 100
    clip, spatial, temporal = (
        each.to(device).contiguous(memory_format=torch.channels_last_3d)
        for each in (clip, spatial, temporal)
    )
    times: dict[bool, list[float]] = {False: [], True: []}
    begin = time.perf_counter()
    try:
        for _ in range(_PROBE_ROUNDS):
            for bf16, taken in times.items():
                taken.append(_time(clip, spatial, temporal, bf16=bf16))
            if time.perf_counter() - begin > _PROBE_SECONDS:
                break
    except RuntimeError:  # a device without the type, or without the operation in it
        return math.inf
    if len(times[True]) > 1:  # the first of each has kernels chosen, and memory fetched
        times = {bf16: taken[1:] for bf16, taken in times.items()}
    return min(times[True]) / min(times[False])


def _time(clip: Tensor, spatial: Tensor, temporal: Tensor, *, bf16: bool) -> float:
    weights = [each.detach().requires_grad_() for each in (spatial, temporal)]
    begin = time.perf_counter()
    with (
        torch.enable_grad(),
        torch.autocast(clip.device.type, torch.bfloat16, enabled=bf16),
    ):
        features = conv3d(
            conv3d(clip, weights[0], padding=(0, 1, 1)), weights[1], padding=(1, 0, 0)
        )
    torch.autograd.grad(features.float().sum(), weights)
    if clip.device.type != "cpu":
        torch.accelerator.synchronize(clip.device)
    return time.perf_counter() - begin


def _name(device: torch.device) -> str:
    return "this CPU" if device.type == "cpu" else f"this device ({device.type})"


def check_precision(precision: str, asked: str | None = None) -> None:
    """Refuse a precision in which a detector learns badly or not at all.

    Args:
        precision: Precision of the trainer.
        asked: What was asked for, of which Lightning may have made something else.

    Raises:
        ConfigurationError: The weights would be of 16 bits or fewer, or Lightning has taken
            another precision than the one that was asked for.
    """
    if precision not in _ACCEPTED:
        raise ConfigurationError(
            f"trainer.precision is {precision}, which keeps the weights themselves in few bits. "
            "bfloat16 has three digits: a step of less than 0.2 % of a weight is lost, and so are "
            "the moving averages of BatchNorm. Use bf16-mixed (or 16-mixed on GPUs older than "
            "Ampere), which computes in 16 bits and keeps weights in 32"
        )
    if asked in ("16", "16-mixed") and precision != "16-mixed":
        raise ConfigurationError(
            f"trainer.precision is {asked}, but PyTorch mixes in float16 on GPUs only: use "
            "bf16-mixed or 32-true here"
        )


def check_training(trainer: "Trainer") -> None:
    """Refuse a training in a bad precision, and warn where a precision is slow.

    Raises:
        ConfigurationError: See `check_precision` and `check_ranks_agree`.
    """
    check_precision(str(trainer.precision))
    check_ranks_agree(trainer)
    if trainer.is_global_zero:
        warn_of_slow_precision(str(trainer.precision), trainer.strategy.root_device)


def check_ranks_agree(trainer: "Trainer") -> None:
    """Refuse to train in one precision here and in another there.

    With `auto` each process measures its own device, and devices may differ.

    Raises:
        ConfigurationError: The ranks have taken different precisions.
    """
    here = str(trainer.precision)
    first = trainer.strategy.broadcast(here)
    if not trainer.strategy.reduce_boolean_decision(here == first, all=True):
        raise ConfigurationError(
            f"precision auto chose {first} on the first device and another one elsewhere (rank "
            f"{trainer.global_rank} has {here}): name one of them, 32-true where in doubt"
        )


def use_tf32(operations: TF32) -> None:
    """Choose what GPUs round to TF32 (float32's range, three digits) where data is float32.

    It makes them several times as fast, and changes nothing where operations are autocast to 16
    bits. ``convolutions`` is PyTorch's own default. Products of matrices are then exact, among them
    the similarities of contrastive losses, which stay in float32 under mixed precision as well.

    Args:
        operations: ``none``, ``convolutions``, or ``all``.
    """
    torch.backends.cudnn.allow_tf32 = operations != "none"
    torch.set_float32_matmul_precision("high" if operations == "all" else "highest")
