"""The checkpoints of the CoCLR code (Han et al., NeurIPS 2020, arXiv 2010.09709)."""

import re
from collections.abc import Mapping
from typing import Final

from deepfake_mtl.models.weights import OTHER_CLASSIFIER, PYTORCH, AdaptedStateDict, adapt

# Each stage of CoCLR's S3D stands in a checkpoint twice, under these names -> torchvision's index.
_STAGES: Final = {
    ("Conv_1a", "block1.0"): 0,
    ("Conv_2b", "block2.1"): 2,
    ("Conv_2c", "block2.2"): 3,
    ("Mixed_3b", "block3.1"): 5,
    ("Mixed_3c", "block3.2"): 6,
    ("Mixed_4b", "block4.1"): 8,
    ("Mixed_4c", "block4.2"): 9,
    ("Mixed_4d", "block4.3"): 10,
    ("Mixed_4e", "block4.4"): 11,
    ("Mixed_4f", "block4.5"): 12,
    ("Mixed_5b", "block5.1"): 14,
    ("Mixed_5c", "block5.2"): 15,
}
_INDICES: Final = {name: index for names, index in _STAGES.items() for name in names}
_NAME: Final = re.compile(
    r"(?:encoder_q\.0\.|backbone\.)?"  # pre-training, fine-tuning; a bare network has neither
    r"(?P<stage>Conv_\w+|Mixed_\w+|block\d\.\d)\."
    r"(?:(?P<branch>branch\d)\.(?P<place>\d)\.)?"
    r"(?P<kind>conv|bn)(?P<half>[12]?)\."
    r"(?P<rest>\w+)"
)
_SKIPPED: Final = (
    (r"queue(_|$)", "the queue of contrastive pre-training"),
    (r"encoder_k\.", "the key encoder of contrastive pre-training"),
    (r"encoder_q\.[1-9]", "the projection head of contrastive pre-training"),
    (r"sampler\.", "the encoder of CoCLR's other stream, which chose its positives"),
    (r"final_(fc|bn)\.", OTHER_CLASSIFIER),
)


def coclr_adapter(state: Mapping[str, object]) -> AdaptedStateDict:
    """Adapt a pre-training, fine-tuning or bare S3D state dict of CoCLR to `S3D`.

    Of a pre-training checkpoint the query encoder is taken.

    Raises:
        CheckpointError: The two names of a tensor hold different values.
    """
    return adapt(state, PYTORCH, _rename, skipped=_SKIPPED, otherwise="unknown to CoCLR's S3D")


def _rename(name: str) -> str | None:
    match = _NAME.fullmatch(name)
    if match is None or match["stage"] not in _INDICES:
        return None
    parts = ["features", str(_INDICES[match["stage"]])]
    if match["branch"]:
        # Branch 0 has a single layer, which torchvision does not wrap.
        parts.append(match["branch"])
        if match["branch"] != "branch0":
            parts.append(match["place"])
    if match["half"]:  # the spatial and the temporal half of a separated convolution
        parts.append(str(int(match["half"]) - 1))
    return ".".join([*parts, "0" if match["kind"] == "conv" else "1", match["rest"]])
