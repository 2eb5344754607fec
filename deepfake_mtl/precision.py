"""In how many bits a detector is trained."""

from typing import Final, Literal

import torch

from deepfake_mtl.errors import ConfigurationError

TF32 = Literal["none", "convolutions", "all"]

_ACCEPTED: Final = ("32-true", "64-true", "16-mixed", "bf16-mixed")


def check_precision(precision: str, asked: str | None = None) -> None:
    """Refuse a precision in which a detector learns badly or not at all.

    Args:
        precision: That of the trainer.
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
