"""How sure a metric is: people and trainings drawn again, and differences that are more than luck.

Pure functions of predictions; knows no files.
"""

from typing import TYPE_CHECKING

from deepfake_mtl.util.lazy import lazy_names

if TYPE_CHECKING:
    from deepfake_mtl.evaluation.statistics.bootstrap import ClusterBootstrap, identity_groups
    from deepfake_mtl.evaluation.statistics.comparison import (
        SIGNIFICANCE,
        Difference,
        compare,
        holm,
    )
    from deepfake_mtl.evaluation.statistics.estimate import (
        FEW_GROUPS,
        LEVEL,
        Estimate,
        Interval,
        combine,
        interval,
        over_seeds,
    )
    from deepfake_mtl.evaluation.statistics.scores import METRICS, MetricName, ScoreSet
    from deepfake_mtl.evaluation.statistics.weighted import weighted_accuracy, weighted_auc
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "FEW_GROUPS",
    "LEVEL",
    "METRICS",
    "SIGNIFICANCE",
    "ClusterBootstrap",
    "Difference",
    "Estimate",
    "Interval",
    "MetricName",
    "ScoreSet",
    "combine",
    "compare",
    "holm",
    "identity_groups",
    "interval",
    "over_seeds",
    "weighted_accuracy",
    "weighted_auc",
]
