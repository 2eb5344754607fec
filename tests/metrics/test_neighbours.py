import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch.nn.functional import normalize

from deepfake_mtl.metrics.neighbours import neighbour_vote


@pytest.mark.parametrize("k", [1, 5, 40])
def test_equals_scikit_learn(k: int) -> None:
    generator = torch.Generator().manual_seed(k)
    queries = torch.randn(12, 6, dtype=torch.float64, generator=generator)
    keys = torch.randn(60, 6, dtype=torch.float64, generator=generator)
    labels = torch.randint(-1, 4, (60,), generator=generator)
    known = labels >= 0

    # Between unit vectors, cosine = 1 - distance^2 / 2.
    model = KNeighborsClassifier(k, weights=lambda d: np.exp((1 - d**2 / 2) / 0.07))
    model.fit(normalize(keys[known]).numpy(), labels[known].numpy())
    expected = torch.from_numpy(model.predict_proba(normalize(queries).numpy()))

    votes = neighbour_vote(queries, keys, labels, 4, k=k, temperature=0.07)
    torch.testing.assert_close(votes, expected)


def test_few_and_no_keys() -> None:
    queries = torch.tensor([[1.0, 0.0], [0.0, 2.0]]).bfloat16()
    keys = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    votes = neighbour_vote(queries, keys, torch.tensor([2, 0, -1]), 3, k=20, temperature=1.0)
    e = np.exp(1)
    expected = torch.tensor([[1, 0, e], [e, 0, 1]]) / (1 + e)
    torch.testing.assert_close(votes, expected.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        same = neighbour_vote(queries, keys, torch.tensor([2, 0, -1]), 3, k=20, temperature=1.0)
    torch.testing.assert_close(same, votes, rtol=0, atol=0)

    uniform = neighbour_vote(queries, keys, torch.full((3,), -1), 4)
    assert uniform.tolist() == [[0.25] * 4] * 2
    assert uniform.dtype == torch.float32
    assert neighbour_vote(queries[:0], keys, torch.tensor([0, 1, 1]), 2).shape == (0, 2)


def test_bad_arguments_are_refused() -> None:
    for queries, keys, labels in (
        ((2, 3), (4, 3), (3,)),
        ((2, 3), (4, 2), (4,)),
        ((2, 3, 1), (4, 3), (4,)),
        ((2, 3), (4, 3, 1), (4,)),
        ((2, 3), (4, 3), (4, 1)),
    ):
        with pytest.raises(ValueError, match=r"expected queries \[N, D\]"):
            neighbour_vote(torch.zeros(queries), torch.zeros(keys), torch.zeros(labels), 2)
    fitting = torch.zeros(2, 3), torch.zeros(4, 3), torch.zeros(4), 2
    with pytest.raises(ValueError, match="k is 0"):
        neighbour_vote(*fitting, k=0)
    with pytest.raises(ValueError, match="temperature 0"):
        neighbour_vote(*fitting, temperature=0)


def test_twenty_keys_vote_unless_told_otherwise() -> None:
    generator = torch.Generator().manual_seed(0)
    queries, keys = (torch.randn(n, 3, generator=generator) for n in (2, 50))
    labels = torch.arange(50) % 3
    votes = neighbour_vote(queries.requires_grad_(), keys, labels, 3)
    torch.testing.assert_close(
        votes, neighbour_vote(queries, keys, labels, 3, k=20, temperature=0.07)
    )
    for k, temperature in ((21, 0.07), (20, 0.08)):
        other = neighbour_vote(queries, keys, labels, 3, k=k, temperature=temperature)
        assert not torch.equal(votes, other)
    assert not votes.requires_grad
    assert neighbour_vote(queries, keys, labels, 3, k=1).amax(dim=1).tolist() == [1, 1]
