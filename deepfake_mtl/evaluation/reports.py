"""Real against fake: what was held out, and what was seen in training."""

from collections.abc import Sequence

import torch
from torch import Tensor

from deepfake_mtl.data.protocol import (
    TestSet,
    is_in_set,
    seen_manipulations,
    unseen_manipulations,
)
from deepfake_mtl.evaluation.predictions import Prediction
from deepfake_mtl.evaluation.results import Reports
from deepfake_mtl.metrics import binary_report


def report_sets(
    predictions: Sequence[Prediction],
    scores: Tensor,
    held_out: Sequence[str],
    threshold: float | None,
) -> Reports:
    """Compute the metrics of the manipulations that were held out and of those that were seen.

    Args:
        predictions: One for each video of the test set.
        scores: Float tensor [N]: probability that each of these videos is fake.
        held_out: Names of the manipulations that were not trained on; may be empty.
        threshold: A threshold calibrated on validation videos, or None if there is none.

    Returns:
        `deepfake_mtl.metrics.binary_report` of each set of `deepfake_mtl.data.protocol.TEST_SETS`;
        None where there is no such manipulation.

    Raises:
        DeepfakeMTLError: If a score is not finite.
    """
    methods = [each.method for each in predictions]
    labels = torch.tensor([each.label for each in predictions], dtype=torch.int64)

    def report(of: TestSet) -> dict[str, float | None]:
        chosen = torch.tensor(
            [is_in_set(method, held_out, of) for method in methods], dtype=torch.bool
        )
        return binary_report(scores[chosen], labels[chosen], threshold)

    return {
        "held_out": report("held_out") if unseen_manipulations(held_out, methods) else None,
        "seen": report("seen") if seen_manipulations(held_out) else None,
    }
