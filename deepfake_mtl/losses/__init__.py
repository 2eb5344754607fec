"""Losses and what is done with several of them, for any PyTorch program.

This package needs torch and torchvision only; `GradientSurgery` needs TorchJD as well.
"""

from typing import TYPE_CHECKING

from deepfake_mtl.util.lazy import lazy_names

if TYPE_CHECKING:
    from deepfake_mtl.losses.balancing import (
        FixedWeights,
        GradientBalance,
        LossBalance,
        UncertaintyWeights,
    )
    from deepfake_mtl.losses.conflict import ConflictMeter, GradientConflict, gradient_conflict
    from deepfake_mtl.losses.contrastive import label_informed_info_nce, nearest_key_accuracy
    from deepfake_mtl.losses.surgery import GradientSurgery
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "ConflictMeter",
    "FixedWeights",
    "GradientBalance",
    "GradientConflict",
    "GradientSurgery",
    "LossBalance",
    "UncertaintyWeights",
    "gradient_conflict",
    "label_informed_info_nce",
    "nearest_key_accuracy",
]
