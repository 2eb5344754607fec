"""The scores of one detector on one set of videos, and the metrics that are resampled."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.evaluation.predictions import Prediction
from deepfake_mtl.evaluation.statistics.bootstrap import ClusterBootstrap
from deepfake_mtl.evaluation.statistics.weighted import weighted_accuracy, weighted_auc

MetricName = Literal["auc", "accuracy", "accuracy_calibrated"]
METRICS: Final[tuple[MetricName, ...]] = get_args(MetricName)


@dataclass(frozen=True, slots=True, eq=False)
class ScoreSet:
    """The scores of one detector on one set of videos.

    Attributes:
        keys: N videos.
        scores: Array [N]: probability of fake.
        fake: Array [N]: whether the video is manipulated.
        threshold: The one calibrated on validation videos, or None. It is taken as given: that
            other validation videos would have given another one is in no interval.
    """

    keys: tuple[str, ...]
    scores: NDArray[np.float64]
    fake: NDArray[np.bool_]
    threshold: float | None

    @classmethod
    def of(cls, predictions: Sequence[Prediction], threshold: float | None) -> "ScoreSet":
        """Take the scores of predictions, in the order of their keys."""
        ordered = sorted(predictions, key=lambda each: each.key)
        return cls(
            keys=tuple(each.key for each in ordered),
            scores=np.array([each.score for each in ordered], dtype=np.float64),
            fake=np.array([each.label for each in ordered], dtype=np.bool_),
            threshold=threshold,
        )

    def value(self, metric: MetricName) -> float | None:
        """Return the metric, or None where there is none: one class alone, or no threshold."""
        value = float(self._metrics(metric, np.ones((1, len(self.keys))))[0])
        return None if np.isnan(value) else value

    def draws(self, metric: MetricName, bootstrap: ClusterBootstrap) -> NDArray[np.float64]:
        """Return the metric of every resample of the people.

        Args:
            metric: Which one.
            bootstrap: The people; must know all videos of this set.

        Returns:
            Array [resamples]; NaN where a resample lacks one of the classes.
        """
        return self._metrics(metric, bootstrap.weights(self.keys))

    def _metrics(self, metric: MetricName, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        if metric == "auc":
            return weighted_auc(self.scores, self.fake, weights)
        threshold = 0.5 if metric == "accuracy" else self.threshold
        if threshold is None:
            return np.full(len(weights), np.nan)
        return weighted_accuracy(self.scores, self.fake, weights, threshold)
