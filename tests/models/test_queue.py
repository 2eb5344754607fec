from collections import deque

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.models.queue import KeyQueue


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 9), batches=st.lists(st.integers(0, 20), max_size=8))
def test_it_is_a_ring(size: int, batches: list[int]) -> None:
    queue = KeyQueue(size, 3)
    expected: deque[tuple[int, list[float]]] = deque(maxlen=size)
    label = 0
    for rows in batches:
        keys = torch.randn(rows, 3)
        labels = torch.arange(label, label + rows)
        label += rows
        queue.enqueue(keys, labels)
        expected.extend(zip(labels.tolist(), normalize(keys).tolist(), strict=True))
    # From the pointer on, slots go from the oldest to the newest.
    order = (queue.pointer + torch.arange(size)) % size
    labels, keys = queue.labels[order], queue.keys[order]
    filled = labels >= 0
    assert labels[filled].tolist() == [row[0] for row in expected]
    assert keys[filled].tolist() == [row[1] for row in expected]
    assert not keys[~filled].any()
    assert filled.sum() == min(label, size)


def test_a_snapshot_outlives_the_next_batch() -> None:
    queue = KeyQueue(4, 3)
    queue.enqueue(torch.randn(4, 3), torch.tensor([0, 1, 0, 1]))
    queries = torch.randn(2, 3, requires_grad=True)
    keys = torch.randn(2, 3)
    before, before_labels = queue.keys.clone(), queue.labels.clone()
    queue_keys, queue_labels = queue.snapshot()
    logits = queries @ queue_keys.T
    queue.enqueue(keys, torch.tensor([2, 3]))
    logits.sum().backward()
    torch.testing.assert_close(queries.grad, before.sum(dim=0).expand(2, -1))
    assert torch.equal(queue_labels, before_labels)


def test_it_travels_in_the_state_dict() -> None:
    queue, other = KeyQueue(5, 3), KeyQueue(5, 3)
    queue.enqueue(torch.randn(7, 3), torch.arange(7))
    other.load_state_dict(queue.state_dict())
    more = torch.randn(2, 3), torch.tensor([7, 8])
    for each in (queue, other):
        each.enqueue(*more)
    for name, value in queue.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])
    queue.reset()
    assert queue.labels.tolist() == [-1] * 5
    for name, value in KeyQueue(5, 3).state_dict().items():
        assert torch.equal(value, queue.state_dict()[name])


def test_keys_stay_in_full_precision() -> None:
    parent = torch.nn.ModuleDict({"queue": KeyQueue(2, 3), "head": torch.nn.Linear(3, 3)})
    parent["queue"].enqueue(torch.randn(2, 3), torch.tensor([0, 1]))
    before = parent["queue"].keys.clone()
    parent.to(torch.bfloat16)
    assert parent["head"].weight.dtype == torch.bfloat16
    assert torch.equal(parent["queue"].keys, before)
    parent["queue"].enqueue(torch.randn(2, 3).bfloat16().requires_grad_(), torch.tensor([0, 1]))
    assert not parent["queue"].keys.requires_grad
    torch.testing.assert_close(parent["queue"].keys.norm(dim=1), torch.ones(2))
    assert parent.double()["queue"].keys.dtype == torch.float64


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="a queue of 0 keys"):
        KeyQueue(0, 3)
    with pytest.raises(ConfigurationError, match="of length 0"):
        KeyQueue(3, 0)
    assert KeyQueue(1, 1).keys.shape == (1, 1)
    for keys, labels in [
        (torch.zeros(2, 4), torch.zeros(2)),
        (torch.zeros(2, 3), torch.zeros(3)),
    ]:
        with pytest.raises(ValueError, match=r"expected keys \[B, 3\]"):
            KeyQueue(2, 3).enqueue(keys, labels)
