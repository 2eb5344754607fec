"""Where the videos of each class lie in the space of features."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.errors import DeepfakeMTLError
from deepfake_mtl.experiments.report.runs import Benchmark, read_features

MOST_VIDEOS: Final = 80
"""Number of videos that are drawn of each class, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """The features of one training's test videos, in two dimensions.

    Attributes:
        configuration: Configuration of the training.
        fold: What was held out.
        seed: Seed of the training.
        points: Array [N, 2].
        methods: N names.
        held_out: Manipulations that were not trained on.
        explained: Share of the variance along the two axes.
    """

    configuration: str
    fold: str
    seed: str
    points: NDArray[np.float64]
    methods: Sequence[str]
    held_out: Sequence[str]
    explained: tuple[float, float]


def principal_components(
    features: NDArray[np.float64],
) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Project onto the two directions of largest variance, by singular values.

    Args:
        features: Array [N, D], N >= 1.

    Returns:
        Array [N, 2], and the share of the variance along each axis. The signs are such that the
        largest component of each direction is positive.
    """
    centred = features - features.mean(axis=0)
    left, values, right = np.linalg.svd(centred, full_matrices=False)
    largest = np.abs(right).argmax(axis=1)
    signs = np.where(right[np.arange(len(right)), largest] < 0, -1.0, 1.0)
    points = np.zeros((len(features), 2))
    kept = min(2, len(values))
    points[:, :kept] = (left * values * signs)[:, :kept]
    total = float((values**2).sum())
    shares = [float(value**2) / total if total else 0.0 for value in values[:2]]
    first, second = [*shares, 0.0, 0.0][:2]
    return points, (first, second)


def read_projections(benchmark: Benchmark) -> tuple[list[Projection], list[str]]:
    """Project the features of the first seed that has any, for each configuration and fold.

    Args:
        benchmark: The runs.

    Returns:
        The projections, with all videos in them, and a message for each file that could not be
        read.
    """
    found: list[Projection] = []
    unreadable: list[str] = []
    for fold in benchmark.folds:
        for configuration in benchmark.configurations:
            for run in benchmark.of(configuration, fold):
                try:
                    read = read_features(run)
                except DeepfakeMTLError as error:
                    unreadable.append(str(error))
                    continue
                if read is None or run.test is None or not len(read[0]):
                    continue
                points, explained = principal_components(read[0])
                held_out = run.test.results["held_out"]
                found.append(
                    Projection(configuration, fold, run.seed, points, read[1], held_out, explained)
                )
                break
    return found, unreadable


def shown(methods: Sequence[str], method: str) -> list[int]:
    """Choose which videos of a method are drawn: all, or `MOST_VIDEOS` spread evenly."""
    places = [place for place, each in enumerate(methods) if each == method]
    if len(places) <= MOST_VIDEOS:
        return places
    chosen = np.linspace(0, len(places) - 1, MOST_VIDEOS).round().astype(int)
    return [places[place] for place in chosen]
