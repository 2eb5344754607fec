import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.losses import label_informed_info_nce, nearest_key_accuracy
from tests.conftest import shared_path


def random_case(
    seed: int, batch: int = 5, size: int = 9, dim: int = 4, classes: int = 3, empty: int = 3
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    vectors = [
        torch.randn(n, dim, dtype=torch.float64, generator=generator) for n in (batch, batch, size)
    ]
    labels = torch.randint(classes, (batch,), generator=generator)
    queue_labels = torch.randint(classes, (size,), generator=generator)
    queue_labels[size - empty :] = -1
    return vectors[0], vectors[1], labels, vectors[2], queue_labels


def by_loops(
    queries: Tensor,
    keys: Tensor,
    labels: Tensor,
    queue_keys: Tensor,
    queue_labels: Tensor,
    temperature: float,
    count_empty: bool,
) -> float:
    def similarity(a: Tensor, b: Tensor) -> float:
        product = sum(x * y for x, y in zip(a.tolist(), b.tolist(), strict=True))
        return product / (math.hypot(*a.tolist()) * math.hypot(*b.tolist()) * temperature)

    total = 0.0
    for query, key, label in zip(queries, keys, labels.tolist(), strict=True):
        candidates = [(similarity(query, key), True)]
        for other, other_label in zip(queue_keys, queue_labels.tolist(), strict=True):
            if other_label >= 0 or count_empty:
                candidates.append((similarity(query, other), other_label == label))
        whole = math.fsum(math.exp(s) for s, _ in candidates)
        positives = [s for s, positive in candidates if positive]
        total += -math.fsum(math.log(math.exp(s) / whole) for s in positives) / len(positives)
    return total / len(queries)


def test_equals_the_reference() -> None:
    case = json.loads(shared_path("reference/ubernce.json").read_text())
    queries, keys = torch.tensor(case["q"]), torch.tensor(case["k"])
    queue = torch.tensor(case["queue_columns_are_keys"]).T
    labels, queue_labels = torch.tensor(case["labels"]), torch.tensor(case["queue_labels"])

    def loss(rows: slice) -> float:
        return label_informed_info_nce(
            queries[rows],
            keys[rows],
            labels[rows],
            queue,
            queue_labels,
            temperature=case["temperature"],
            count_empty=True,
        ).item()

    assert loss(slice(None)) == pytest.approx(case["mean"], abs=1e-5)
    each = [loss(slice(i, i + 1)) for i in range(len(queries))]
    assert each == pytest.approx(case["per_sample"], abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 6),
    size=st.integers(1, 12),
    empty=st.integers(0, 12),
    classes=st.integers(1, 4),
    temperature=st.sampled_from([0.05, 0.2, 1.0]),
    count_empty=st.booleans(),
)
def test_equals_the_definition_in_loops(
    seed: int,
    batch: int,
    size: int,
    empty: int,
    classes: int,
    temperature: float,
    count_empty: bool,
) -> None:
    case = random_case(seed, batch, size, classes=classes, empty=min(empty, size))
    loss = label_informed_info_nce(*case, temperature=temperature, count_empty=count_empty)
    expected = by_loops(*case, temperature=temperature, count_empty=count_empty)
    assert loss.dtype == torch.float64
    assert loss.item() == pytest.approx(expected, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("count_empty", [False, True])
def test_gradients_are_exact(count_empty: bool) -> None:
    queries, keys, labels, queue_keys, queue_labels = random_case(0)
    assert torch.autograd.gradcheck(
        lambda q, k, n: label_informed_info_nce(
            q, k, labels, n, queue_labels, temperature=0.3, count_empty=count_empty
        ),
        tuple(t.requires_grad_() for t in (queries, keys, queue_keys)),
    )


def test_what_stands_in_an_empty_slot_counts_for_nothing() -> None:
    queries, keys, labels, queue_keys, queue_labels = random_case(1)
    garbage = torch.where(queue_labels[:, None] < 0, torch.nan, queue_keys)
    clean = queue_keys[queue_labels >= 0], queue_labels[queue_labels >= 0]
    queries.requires_grad_()

    loss = label_informed_info_nce(
        queries, keys, labels, torch.nan_to_num(garbage, 1e3), queue_labels, temperature=0.07
    )
    expected = label_informed_info_nce(queries, keys, labels, *clean, temperature=0.07)
    torch.testing.assert_close(loss, expected)
    assert torch.autograd.grad(loss, queries)[0].isfinite().all()


@pytest.mark.parametrize("count_empty", [False, True])
def test_a_query_of_unknown_class_has_its_own_key_only(count_empty: bool) -> None:
    queries, keys, labels, queue_keys, queue_labels = random_case(5)
    loss, expected = (
        label_informed_info_nce(
            queries,
            keys,
            torch.full_like(labels, label),
            queue_keys,
            queue_labels,
            count_empty=count_empty,
        )
        for label in (-1, 99)
    )
    torch.testing.assert_close(loss, expected)


def test_an_empty_queue_leaves_nothing_to_tell_apart() -> None:
    queries, keys, labels, queue_keys, _ = random_case(2)
    empty = torch.full((9,), -1)
    assert label_informed_info_nce(queries, keys, labels, queue_keys, empty) == 0


def test_autocast_does_not_reach_the_loss() -> None:
    torch.manual_seed(0)
    network = torch.nn.Linear(16, 128)
    clips, keys = torch.randn(32, 16), normalize(torch.randn(32, 128))
    queue_keys, queue_labels = normalize(torch.randn(512, 128)), torch.randint(2, (512,))
    labels = torch.randint(2, (32,))

    def run(queries: Tensor) -> Tensor:
        return label_informed_info_nce(
            queries, keys, labels, queue_keys, queue_labels, temperature=0.07
        )

    queries = network(clips)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = run(queries)
        whole = run(network(clips))
    assert loss.dtype == whole.dtype == torch.float32
    torch.testing.assert_close(loss, run(queries), rtol=0, atol=0)
    # With the network in bfloat16 too.
    assert abs(whole - run(queries)) < 1e-3


def test_large_logits_do_not_overflow() -> None:
    queries, keys, labels, queue_keys, queue_labels = (t.float() for t in random_case(3))
    loss = label_informed_info_nce(
        queries.requires_grad_(),
        keys,
        labels.long(),
        queue_keys,
        queue_labels.long(),
        temperature=1e-3,
    )
    assert loss.isfinite()
    assert torch.autograd.grad(loss, queries)[0].isfinite().all()


def test_bad_arguments_are_refused() -> None:
    queries, keys, labels, queue_keys, queue_labels = random_case(4)
    with pytest.raises(ConfigurationError, match="temperature is 0"):
        label_informed_info_nce(queries, keys, labels, queue_keys, queue_labels, temperature=0)
    with pytest.raises(ValueError, match="one key a query"):
        label_informed_info_nce(queries, keys[1:], labels, queue_keys, queue_labels)
    for fits_not in (
        (queries, labels, queue_keys, queue_labels[1:]),
        (queries, labels, queue_keys, queue_labels[:, None]),
        (queries, labels[1:], queue_keys, queue_labels),
        (queries, labels, queue_keys[:, 1:], queue_labels),
        (queries[..., None], labels, queue_keys, queue_labels),
        (queries, labels, queue_keys[..., None], queue_labels),
    ):
        with pytest.raises(
            ValueError, match=r"expected queries \[B, D\], labels \[B\], queue_keys"
        ):
            nearest_key_accuracy(*fits_not)
        given, *others = fits_not
        with pytest.raises(
            ValueError, match=r"expected queries \[B, D\], labels \[B\], queue_keys"
        ):
            label_informed_info_nce(given, keys, *others)


def test_the_temperature_is_that_of_coclr_unless_told_otherwise() -> None:
    case = random_case(6)
    expected = by_loops(*case, temperature=0.07, count_empty=False)
    assert label_informed_info_nce(*case).item() == pytest.approx(expected)


def test_share_of_queries_next_to_their_class() -> None:
    queue_keys = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    queries = torch.tensor([[2.0, 0.1], [0.1, 3], [-1, 0.2], [0.1, -1]])
    labels = torch.tensor([0, 1, 1, 0])
    assert nearest_key_accuracy(queries, labels, queue_keys, torch.tensor([0, 1, 0, 0])) == 0.75
    # The last one's nearest slot is empty, and the next nearest is of its class.
    assert nearest_key_accuracy(queries, labels, queue_keys, torch.tensor([0, 1, 0, -1])) == 0.75
    assert nearest_key_accuracy(queries, labels, queue_keys, torch.full((4,), -1)).isnan()


def test_the_nearest_key_is_nearest_by_angle_in_full_precision() -> None:
    # A long key further off; and two keys that bfloat16 does not tell apart.
    queue_keys = torch.tensor([[9.0, 9], [1, 0.001], [1, 0]])
    queries = torch.tensor([[5.0, 0]], requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        share = nearest_key_accuracy(
            queries, torch.tensor([2]), queue_keys, torch.tensor([0, 1, 2])
        )
    assert share == 1
    assert not share.requires_grad
