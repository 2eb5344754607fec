from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepfake_mtl.data.sampling import BalancedSampler, Draw, ShardSampler
from deepfake_mtl.errors import ConfigurationError


def epoch_of(sampler: BalancedSampler, epoch: int) -> list[Draw]:
    sampler.set_epoch(epoch)
    return list(sampler)


@given(
    counts=st.lists(st.integers(1, 9), min_size=2, max_size=5),
    real_fraction=st.sampled_from([None, 0.2, 0.5, 0.7]),
    balance=st.booleans(),
    draws_per_video=st.integers(1, 3),
    epochs=st.integers(1, 6),
)
def test_shares_are_kept_and_no_video_is_preferred(
    counts: list[int],
    real_fraction: float | None,
    balance: bool,
    draws_per_video: int,
    epochs: int,
) -> None:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    sampler = BalancedSampler(
        labels,
        real_fraction=real_fraction,
        balance_manipulations=balance,
        draws_per_video=draws_per_video,
    )
    draws = [draw for epoch in range(epochs) for draw in epoch_of(sampler, epoch)]

    assert [draw.number for draw in draws] == list(range(len(labels) * draws_per_video * epochs))
    by_class = Counter(labels[draw.video] for draw in draws)
    real = counts[0] / len(labels) if real_fraction is None else real_fraction
    assert abs(by_class[0] - real * len(draws)) <= 1
    for label, count in enumerate(counts[1:], start=1):
        share = 1 / (len(counts) - 1) if balance else count / sum(counts[1:])
        assert abs(by_class[label] - (1 - real) * share * len(draws)) <= 2
    by_video = Counter(draw.video for draw in draws)
    for label in range(len(counts)):
        numbers = [by_video[v] for v in range(len(labels)) if labels[v] == label]
        assert max(numbers) - min(numbers) <= 1


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_share_an_epoch_without_overlap(ranks: int) -> None:
    labels = [0] * 10 + [1] * 7 + [2] * 5
    whole = epoch_of(BalancedSampler(labels, seed=5), 4)
    shards = [
        epoch_of(BalancedSampler(labels, seed=5, num_replicas=ranks, rank=rank), 4)
        for rank in range(ranks)
    ]
    assert len({len(shard) for shard in shards}) == 1
    together = [draw for shard in shards for draw in shard]
    assert len(set(together)) == len(together) >= len(whole) - (ranks - 1)
    assert set(together) <= set(whole)


def test_epochs_and_seeds_differ_and_repeat_exactly() -> None:
    labels = [0] * 20 + [1] * 20
    sampler = BalancedSampler(labels, seed=1)
    first, second = epoch_of(sampler, 0), epoch_of(sampler, 1)
    assert [d.video for d in first] != [d.video for d in second]
    assert epoch_of(BalancedSampler(labels, seed=1), 1) == second  # as after a resume
    assert epoch_of(BalancedSampler(labels, seed=2), 0) != first


def test_impossible_shares_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="only original"):
        BalancedSampler([0, 0])
    with pytest.raises(ConfigurationError, match="between 0 and 1"):
        BalancedSampler([0, 1], real_fraction=1.0)
    with pytest.raises(ConfigurationError, match="no video"):
        BalancedSampler([])


@given(length=st.integers(1, 30), ranks=st.integers(1, 5))
def test_evaluation_shards_cover_everything_evenly(length: int, ranks: int) -> None:
    shards = [list(ShardSampler(range(length), num_replicas=ranks, rank=r)) for r in range(ranks)]
    assert len({len(shard) for shard in shards}) == 1
    assert {index for shard in shards for index in shard} == set(range(length))
    assert sum(map(len, shards)) < length + ranks
