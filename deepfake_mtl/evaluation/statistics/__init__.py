"""How sure a figure is: people and trainings drawn again, and differences that are more than luck.

Pure functions of predictions; knows no files.
"""

from deepfake_mtl.evaluation.statistics.comparison import (
    SIGNIFICANCE,
    Difference,
    compare,
    holm,
)
from deepfake_mtl.evaluation.statistics.people import People, identity_groups
from deepfake_mtl.evaluation.statistics.sampled import (
    FEW_GROUPS,
    LEVEL,
    Interval,
    Sampled,
    combine,
    interval,
    over_seeds,
)
from deepfake_mtl.evaluation.statistics.scored import FIGURES, FigureName, Scored
from deepfake_mtl.evaluation.statistics.weighted import weighted_accuracy, weighted_auc

__all__ = [
    "FEW_GROUPS",
    "FIGURES",
    "LEVEL",
    "SIGNIFICANCE",
    "Difference",
    "FigureName",
    "Interval",
    "People",
    "Sampled",
    "Scored",
    "combine",
    "compare",
    "holm",
    "identity_groups",
    "interval",
    "over_seeds",
    "weighted_accuracy",
    "weighted_auc",
]
