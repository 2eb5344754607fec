"""The metrics of a benchmark: of each configuration and fold, over its seeds."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from deepfake_mtl.data.protocol import TestSet, is_in_set
from deepfake_mtl.data.records import ORIGINAL
from deepfake_mtl.evaluation.statistics import (
    ClusterBootstrap,
    Estimate,
    Interval,
    MetricName,
    ScoreSet,
    combine,
    interval,
    over_seeds,
)
from deepfake_mtl.experiments.report.runs import Benchmark, Evaluated


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """A metric of one configuration and fold, or its mean over the folds.

    Attributes:
        by_seed: The metric with each seed that is there; over several folds, that all of them have.
        seeds: Number of seeds that are there; over several folds, the least of them.
        planned: Number of seeds that were planned; over several folds, the least of them.
        estimate: Mean over the seeds, with people and seeds drawn again.
        interval: None where there are too few people.
    """

    by_seed: Mapping[str, float]
    seeds: int
    planned: int
    estimate: Estimate
    interval: Interval | None

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return self.estimate.value

    @property
    def deviation(self) -> float | None:
        """Sample deviation over the seeds (n - 1); None for a single seed."""
        values = list(self.by_seed.values())
        return float(np.std(values, ddof=1)) if len(values) > 1 else None


class Cells:
    """All metrics of a benchmark, computed when they are first asked for.

    Args:
        benchmark: The runs.
        resamples: Number of resamples of the people, the same for every metric.
        seed: Seed of all draws.

    Attributes:
        people: People of the tests of all runs.
    """

    def __init__(self, benchmark: Benchmark, resamples: int = 2000, seed: int = 0) -> None:
        self._benchmark = benchmark
        self._seed = seed
        self._known: dict[tuple[str, str | None, MetricName, TestSet], Cell | None] = {}
        identities = {
            prediction.key: prediction.identities
            for run in benchmark.finished
            if run.test
            for prediction in run.test.predictions
        }
        self.bootstrap = ClusterBootstrap(identities, resamples, seed)

    def cell(
        self, configuration: str, fold: str | None, metric: MetricName, of: TestSet = "held_out"
    ) -> Cell | None:
        """Return a metric of one configuration.

        Args:
            configuration: Name of the configuration.
            fold: What was held out, or None for the mean over all folds.
            metric: Which one.
            of: Originals against what was held out, or against what was seen.

        Returns:
            None if no run has it; for the mean, if any of the folds lacks it, since means over
            different folds cannot be compared.
        """
        key = configuration, fold, metric, of
        if key not in self._known:
            make = self._mean if fold is None else self._one
            self._known[key] = make(configuration, fold or "", metric, of)
        return self._known[key]

    def _one(self, configuration: str, fold: str, metric: MetricName, of: TestSet) -> Cell | None:
        runs = self._benchmark.of(configuration, fold)
        by_seed: dict[str, float] = {}
        draws = []
        for run in runs:
            if run.test is None:
                continue
            value = run.test.metric(metric, of)
            if value is not None:
                by_seed[run.seed] = value
                draws.append(scored_set(run.test, of).draws(metric, self.bootstrap))
        if not by_seed:
            return None
        name = zlib.crc32(f"{configuration}/{fold}".encode())
        estimate = over_seeds(
            list(by_seed.values()), np.stack(draws), self.bootstrap.groups, self._seed + name
        )
        return Cell(by_seed, len(by_seed), len(runs), estimate, interval(estimate))

    def _mean(self, configuration: str, _: str, metric: MetricName, of: TestSet) -> Cell | None:
        cells = [self.cell(configuration, fold, metric, of) for fold in self._benchmark.folds]
        found = [cell for cell in cells if cell is not None]
        if not found or len(found) < len(cells):
            return None
        seeds = [seed for seed in found[0].by_seed if all(seed in cell.by_seed for cell in found)]
        estimate = combine([(1 / len(found), cell.estimate) for cell in found])
        return Cell(
            {seed: float(np.mean([cell.by_seed[seed] for cell in found])) for seed in seeds},
            min(cell.seeds for cell in found),
            min(cell.planned for cell in found),
            estimate,
            interval(estimate),
        )


def scored_set(test: Evaluated, of: TestSet) -> ScoreSet:
    """Return the scores of one of the two sets of a test."""
    held_out = test.results["held_out"]
    wanted = [each for each in test.predictions if is_in_set(each.method, held_out, of)]
    return ScoreSet.of(wanted, test.threshold)


def scored_method(test: Evaluated, method: str) -> ScoreSet:
    """Return the scores of the originals of a test together with one manipulation."""
    wanted = [each for each in test.predictions if each.method in (ORIGINAL, method)]
    return ScoreSet.of(wanted, test.threshold)
