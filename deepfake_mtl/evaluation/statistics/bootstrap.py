"""Who is drawn again: groups of people, not videos and not clips.

Videos of one person resemble each other, and a fake shows two people, so videos are no independent
draws. What is independent is a group of people who share videos with nobody outside of it.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.data.splits import connected_identities


def identity_groups(identities: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Give a number to each group of videos that share people, directly or through others.

    Args:
        identities: Who is to be seen in each video, by key.

    Returns:
        For each key the number of its group, from 0, the same whatever the order of the videos. A
        video without identities is a group of its own.
    """
    people = connected_identities(identities.values())
    numbers = {identity: number for number, group in enumerate(people) for identity in group}
    alone = iter(range(len(people), len(people) + len(identities)))
    return {
        key: numbers[identities[key][0]] if identities[key] else next(alone)
        for key in sorted(identities)
    }


class ClusterBootstrap:
    """The groups of people in a test, drawn again for every metric in the same way.

    One group fewer is drawn than there are (with replacement): the variance of a mean over such
    draws is that of the mean itself, whereas as many draws as groups give one that is too small by
    the factor (groups - 1) / groups (Rao and Wu 1988, JASA 83, 231-241).

    Args:
        identities: Who is to be seen in each video of all sets to be resampled, by key.
        resamples: Number of resamples.
        seed: Seed of the draws.

    Attributes:
        groups: Number of groups.
    """

    def __init__(
        self, identities: Mapping[str, Sequence[str]], resamples: int = 2000, seed: int = 0
    ) -> None:
        self._numbers = identity_groups(identities)
        self.groups = len(set(self._numbers.values()))
        self._counts = np.zeros((resamples, self.groups), dtype=np.int64)
        if self.groups > 1:
            shares = np.full(self.groups, 1 / self.groups)
            generator = np.random.default_rng(seed)
            self._counts = generator.multinomial(self.groups - 1, shares, size=resamples)

    def weights(self, keys: Iterable[str]) -> NDArray[np.float64]:
        """Count how many times each video is in each resample.

        Args:
            keys: N videos.

        Returns:
            Array [resamples, N].

        Raises:
            KeyError: If a video was not among those given at first.
        """
        numbers = [self._numbers[key] for key in keys]
        return self._counts[:, numbers].astype(np.float64)
