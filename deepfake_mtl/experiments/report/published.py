"""Metrics that others published, to stand beside; none of them is ours."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

CAVEAT: Final = (
    "Published by others, not ours: on FaceForensics++ c23, one manipulation held out, a score for "
    "each video. Face crops, clip lengths, pre-training and training data differ between them and "
    "from ours, and an AUC is not to be held against an accuracy. Look into the papers before you "
    "quote them."
)

INCOMPARABLE: Final = (
    "The corpus of this benchmark is synthetic: its figures cannot be compared with these at all."
)


@dataclass(frozen=True, slots=True)
class Published:
    """A line of metrics.

    Attributes:
        method: What was tested.
        measure: What the metrics are.
        metrics: Values by what was held out, in per cent.
        source: Where the method comes from.
        caveat: What to know about the line, or empty.
    """

    method: str
    measure: str
    metrics: Mapping[str, float]
    source: str
    caveat: str = ""


def _metrics(
    deepfakes: float, faceswap: float, face2face: float, neural_textures: float
) -> dict[str, float]:
    return {
        "Deepfakes": deepfakes,
        "Face2Face": face2face,
        "FaceSwap": faceswap,
        "NeuralTextures": neural_textures,
    }


PUBLISHED: Final = (
    Published("Xception", "AUC", _metrics(93.9, 51.2, 86.8, 79.7), "arXiv 1610.02357"),
    Published("Face X-ray", "AUC", _metrics(99.5, 93.2, 94.5, 92.5), "arXiv 1912.13458"),
    Published("LipForensics", "AUC", _metrics(99.7, 90.1, 99.7, 99.1), "arXiv 2012.07657"),
    Published("FTCN", "AUC", _metrics(99.8, 99.6, 98.2, 95.6), "arXiv 2108.06693"),
    Published("RealForensics", "AUC", _metrics(100.0, 97.1, 99.7, 99.2), "arXiv 2201.07131"),
    Published(
        "RealForensics, rerun by others",
        "accuracy at 0.5",
        _metrics(94.3, 70.4, 92.9, 62.9),
        "arXiv 2201.07131 (weights)",
        "The published weights, tested again: with NeuralTextures held out, 62.9 % accuracy go "
        "with 96.3 % AUC.",
    ),
    Published(
        "The paper that is implemented here",
        "accuracy",
        {},
        "arXiv 2308.13503",
        "Up to 85.16 % in its best configuration and fold; its split, compression and training are "
        "not public in full.",
    ),
)
