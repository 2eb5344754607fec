"""Which video is drawn when: balanced over classes, shared among ranks, the same after a resume."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler, SequentialSampler

from deepfake_mtl.errors import ConfigurationError


class Draw(NamedTuple):
    """A request for one training clip.

    Attributes:
        video: Position of the video in the dataset.
        number: Ordinal of the draw in the whole training, so that no two draws are alike; the
            dataset derives the place of the clip and its augmentation from it.
    """

    video: int
    number: int


class BalancedSampler(Sampler[Draw]):
    """Draw training videos such that classes come in given shares.

    Each class is gone through in a random order again and again, from epoch to epoch: within a
    class no video is drawn twice before every other was drawn once. An epoch is a function of the
    seed and its number alone, so a resumed run draws what an uninterrupted one does. All ranks see
    the same epoch and take every `num_replicas`-th draw; what does not divide is left to the next
    epoch's shuffle.

    Args:
        labels: Manipulation label of each video; 0 is an original.
        real_fraction: Share of originals among the draws; ``None`` takes videos as they are.
        balance_manipulations: Draw equally many of each manipulation, however many videos it has.
        draws_per_video: Draws of an epoch over the number of videos.
        seed: Decides all orders.
        num_replicas: Number of ranks.
        rank: This process's rank.

    Attributes:
        epoch: The epoch to be drawn next.

    Raises:
        ConfigurationError: A setting is out of range, or a class to be drawn has no video.
    """

    def __init__(
        self,
        labels: Sequence[int],
        *,
        real_fraction: float | None = 0.5,
        balance_manipulations: bool = True,
        draws_per_video: int = 1,
        seed: int = 0,
        num_replicas: int = 1,
        rank: int = 0,
    ) -> None:
        if real_fraction is not None and not 0 < real_fraction < 1:
            raise ConfigurationError(f"real_fraction is {real_fraction}: it lies between 0 and 1")
        if draws_per_video < 1:
            raise ConfigurationError(f"draws_per_video is {draws_per_video}: at least 1")
        self._labels = np.asarray(labels)
        self._length = len(self._labels) * draws_per_video
        self._seed = seed
        self._num_replicas = num_replicas
        self._rank = rank
        self.epoch = 0
        self._resumed = (0, 0)
        self._classes, shares = self._class_shares(real_fraction, balance_manipulations)
        self._cumulative = np.cumsum(shares)
        self._cumulative[-1] = 1.0  # whatever the rounding of the sum

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch to be drawn next; Lightning calls it."""
        self.epoch = epoch

    def resume(self, draws: int) -> None:
        """Leave out the first draws of this rank in the chosen epoch; others begin as ever."""
        self._resumed = (self.epoch, draws)

    def __len__(self) -> int:
        """Return the number of draws of this rank in a whole epoch."""
        return self._length // self._num_replicas

    def __iter__(self) -> Iterator[Draw]:
        """Yield the draws of this rank in the chosen epoch."""
        first = self.epoch * self._length
        # Cumulative rounding: over any number of epochs, each class has its share to within one.
        begins, ends = (
            np.diff((draws * self._cumulative).astype(int), prepend=0).tolist()
            for draws in (first, first + self._length)
        )
        videos: list[int] = []
        for label, begin, end in zip(self._classes, begins, ends, strict=True):
            videos.extend(self._class_draws(label, begin, end))
        order = self._generator(0, self.epoch).permutation(len(videos))
        count = len(self) * self._num_replicas
        epoch, done = self._resumed
        begin = self._rank + (done * self._num_replicas if epoch == self.epoch else 0)
        for position in range(begin, count, self._num_replicas):
            yield Draw(videos[order[position]], first + position)

    def _class_draws(self, label: int, begin: int, end: int) -> list[int]:
        members = np.flatnonzero(self._labels == label)
        draws: list[int] = []
        for round_ in range(begin // len(members), -(-end // len(members))):
            order = self._generator(1, label, round_).permutation(members)
            offset = round_ * len(members)
            draws.extend(order[max(begin - offset, 0) : end - offset].tolist())
        return draws

    def _generator(self, *key: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, *key])

    def _class_shares(
        self, real_fraction: float | None, balance_manipulations: bool
    ) -> tuple[list[int], NDArray[np.float64]]:
        labels, counts = np.unique(self._labels, return_counts=True)
        if len(labels) == 0:
            raise ConfigurationError("there is no video to draw from")
        weights: NDArray[np.float64] = counts.astype(np.float64)
        fakes = labels != 0
        if balance_manipulations and fakes.any():
            weights[fakes] = weights[fakes].mean()
        if real_fraction is not None:
            if fakes.all() or not fakes.any():
                raise ConfigurationError(
                    "real_fraction asks for originals and manipulated videos, but only "
                    f"{'manipulated' if fakes.all() else 'original'} ones are there"
                )
            weights[fakes] *= (1 - real_fraction) / weights[fakes].sum()
            weights[~fakes] *= real_fraction / weights[~fakes].sum()
        return labels.tolist(), weights / weights.sum()


def mixed_order(labels: Sequence[int]) -> list[int]:
    """Return positions in an order in which every beginning holds classes in their shares.

    Of the first n positions a class has its share of n, rounded up: each class comes early, and
    never less than it should. Within a class the order stays.

    Args:
        labels: The class of each position.
    """
    counts = Counter(labels)
    passed: Counter[int] = Counter()
    places = []
    for position, label in enumerate(labels):
        places.append((Fraction(passed[label], counts[label]), label, position))
        passed[label] += 1
    return [position for _, _, position in sorted(places)]


class ShardSampler(SequentialSampler):
    """Share samples among ranks in a given order, the same in every epoch.

    The ranks get equally many samples: the last ones of some ranks repeat the first, and metrics
    count such repeats once (`deepfake_mtl.metrics.VideoScores`). Lightning's ``overfit_batches``
    puts a sampler of its own in the place of any that is no SequentialSampler.

    Args:
        order: What the dataset is asked for, in the order in which all ranks together take it:
            positions, or draws.
        num_replicas: Number of ranks.
        rank: This process's rank.
    """

    def __init__(self, order: Sequence[Any], *, num_replicas: int = 1, rank: int = 0) -> None:
        super().__init__(order)
        self._order = order
        self._num_replicas = num_replicas
        self._rank = rank

    def __len__(self) -> int:
        """Return the number of samples of this rank."""
        return math.ceil(len(self._order) / self._num_replicas)

    def __iter__(self) -> Iterator[Any]:
        """Yield what this rank takes."""
        for position in range(len(self)):
            place = position * self._num_replicas + self._rank
            yield self._order[place % len(self._order)]
