import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepfake_mtl.data.sampling import (
    BalancedSampler,
    Draw,
    ShardSampler,
    mixed_order,
)
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
    with pytest.raises(ConfigurationError, match="only manipulated"):
        BalancedSampler([1, 2])
    for fraction in (0.0, 1.0):
        with pytest.raises(ConfigurationError, match="between 0 and 1"):
            BalancedSampler([0, 1], real_fraction=fraction)
    with pytest.raises(ConfigurationError, match="no video"):
        BalancedSampler([])
    with pytest.raises(ConfigurationError, match="draws_per_video is 0: at least 1"):
        BalancedSampler([0, 1], draws_per_video=0)


def test_one_class_alone_is_drawn_as_it_is() -> None:
    for labels in ([0] * 5, [2] * 5):
        sampler = BalancedSampler(labels, real_fraction=None)
        assert sorted(draw.video for draw in sampler) == list(range(5))


def test_half_is_real_and_manipulations_are_equal_unless_told_otherwise() -> None:
    labels = [0] * 2 + [1] * 8 + [2] * 2
    drawn = Counter(labels[draw.video] for draw in BalancedSampler(labels))
    assert drawn == {0: 6, 1: 3, 2: 3}
    told = BalancedSampler(labels, seed=0, num_replicas=1, rank=0, draws_per_video=1)
    assert told.epoch == 0
    assert list(BalancedSampler(labels)) == list(told)
    assert list(BalancedSampler(labels, seed=1)) != list(told)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_resumed_epoch_leaves_out_what_was_drawn(rank: int) -> None:
    labels = [0] * 10 + [1] * 7 + [2] * 6
    whole, resumed = (BalancedSampler(labels, seed=5, num_replicas=2, rank=rank) for _ in range(2))
    assert len(whole) == 11
    resumed.set_epoch(3)
    resumed.resume(4)
    assert epoch_of(resumed, 3) == epoch_of(whole, 3)[4:]
    for other in (2, 4, 0):
        assert epoch_of(resumed, other) == epoch_of(whole, other)
        assert len(epoch_of(whole, other)) == 11


@given(counts=st.lists(st.integers(1, 9), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_every_beginning_of_a_mixed_order_holds_each_class_in_its_share(
    counts: list[int], seed: int
) -> None:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    random.Random(seed).shuffle(labels)
    order = mixed_order(labels)
    assert sorted(order) == list(range(len(labels)))
    for end in range(len(order) + 1):
        begun = Counter(labels[position] for position in order[:end])
        for label, count in enumerate(counts):
            # Within one of its share; and the last of a class comes in the last round.
            assert abs(begun[label] - end * count / len(labels)) < len(counts)
    for label in range(len(counts)):
        positions = [position for position in order if labels[position] == label]
        assert positions == sorted(positions)


def test_a_mixed_order_by_hand() -> None:
    # In turn the first of each class, then what lags most behind its share.
    assert mixed_order([0, 0, 1, 1, 1, 1]) == [0, 2, 3, 1, 4, 5]
    assert mixed_order([1, 0]) == [1, 0]


def test_fixed_draws_are_the_same_in_every_epoch() -> None:
    draws = [Draw(3, 7), Draw(1, 2)]
    sampler = ShardSampler(draws)
    assert list(sampler) == list(sampler) == draws
    assert sampler.data_source is draws
    assert len(sampler) == 2


@given(length=st.integers(1, 30), ranks=st.integers(1, 5))
def test_evaluation_shards_cover_everything_evenly(length: int, ranks: int) -> None:
    shards = [list(ShardSampler(range(length), num_replicas=ranks, rank=r)) for r in range(ranks)]
    assert len({len(shard) for shard in shards}) == 1
    assert {index for shard in shards for index in shard} == set(range(length))
    assert sum(map(len, shards)) < length + ranks


def test_shards_take_turns_and_repeat_the_first() -> None:
    order = [4, 2, 0, 3, 1]
    shards = [ShardSampler(order, num_replicas=2, rank=rank) for rank in range(2)]
    assert [list(shard) for shard in shards] == [[4, 0, 1], [2, 3, 4]]
    assert [len(shard) for shard in shards] == [3, 3]
    assert list(ShardSampler(order)) == order
