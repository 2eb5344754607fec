import math

import pytest
import torch
from torch import nn

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.losses import FixedWeights, GradientBalance, LossBalance, UncertaintyWeights


def test_fixed_weights_sum_by_name() -> None:
    balance = FixedWeights().build({"binary": 2.0, "manipulation": 0.5})
    losses = {"manipulation": torch.tensor(4.0), "binary": torch.tensor(3.0)}
    assert balance(losses) == 8.0
    assert {k: v.item() for k, v in balance.factors().items()} == {
        "binary": 2.0,
        "manipulation": 0.5,
    }
    assert not list(balance.parameters())
    assert not balance.state_dict()


def test_uncertainty_is_least_at_twice_the_loss() -> None:
    balance = UncertaintyWeights().build({"a": 1, "b": 1}).double()
    losses = {
        "a": torch.tensor(0.3, dtype=torch.float64),
        "b": torch.tensor(5.0, dtype=torch.float64),
    }
    # At the start it is the plain sum.
    assert balance(losses).item() == pytest.approx(5.3)

    optimizer = torch.optim.LBFGS(
        balance.parameters(), max_iter=100, tolerance_grad=1e-12, tolerance_change=0
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        total: torch.Tensor = balance(losses)
        total.backward()
        return total

    optimizer.step(closure)
    variance = balance.log_variance.detach().exp()
    torch.testing.assert_close(variance, torch.tensor([0.6, 10.0], dtype=torch.float64))
    least = 2 * 0.5 + 0.5 * math.log(0.6) + 0.5 * math.log(10)
    assert balance(losses).item() == pytest.approx(least)
    assert balance.factors()["b"].item() == pytest.approx(0.1)


def test_uncertainty_weighs_the_gradients_of_losses() -> None:
    balance = UncertaintyWeights().build({"a": 1, "b": 1})
    balance.load_state_dict({"log_variance": torch.tensor([0.0, math.log(4)])})
    losses = {name: torch.tensor(1.0, requires_grad=True) for name in "ab"}
    balance(losses).backward()
    assert losses["a"].grad == 1
    assert losses["b"].grad == pytest.approx(0.25)


class PlainSum(GradientBalance):
    """Combines gradients as they are, and notes what it was given."""

    def backward(self, losses, features, shared):
        self.given = features, list(shared)
        torch.stack(list(losses.values())).sum().backward()

    def aggregate(self, shared, others=()):
        self.aggregated = list(shared), list(others)
        return self.factors()


@pytest.mark.parametrize("scale", [None, 4.0])
@pytest.mark.parametrize("probed", [False, True])
def test_a_step_is_made_of_the_gradients_of_one_batch(scale: float | None, probed: bool) -> None:
    shared, probe = (nn.Parameter(torch.tensor(1.0)) for _ in range(2))
    shared.grad = torch.tensor(100.0)  # of the step before
    features = [2 * shared]
    losses = {"a": features[0], "b": 0.5 * features[0]}
    optimizer = torch.optim.SGD([shared, probe], lr=0.125)
    balance = PlainSum().build({"a": 1.0, "b": 0.5})
    options = {} if scale is None else {"scale": scale}
    probe_loss = 5 * probe if probed else None
    balance.step(
        optimizer, losses, features, iter([shared]), [probe], probe_loss=probe_loss, **options
    )
    factor = scale or 1.0
    assert shared == 1 - 0.125 * 3 * factor
    assert probe == 1 - 0.125 * 5 * factor * probed
    assert balance.given == (features, [shared])
    assert balance.aggregated == ([shared], [probe])


def test_which_weights_are_learnt() -> None:
    assert LossBalance.learns
    assert UncertaintyWeights.learns
    assert not FixedWeights.learns
    assert not PlainSum.learns
    assert PlainSum().names == ()
    built = PlainSum().build({"a": 1.0, "b": 0.5})
    assert built.names == ("a", "b")
    assert {name: float(factor) for name, factor in built.factors().items()} == {"a": 1, "b": 0.5}
    with pytest.raises(ConfigurationError, match=r"^gradient surgery need several losses"):
        PlainSum().build({"a": 1.0})


def test_other_tasks_and_bad_weights_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="losses are of a, but weights of a, b"):
        UncertaintyWeights().build({"a": 1, "b": 1})({"a": torch.tensor(1.0)})
    with pytest.raises(ConfigurationError, match="task a: weight is -1"):
        FixedWeights().build({"a": -1.0})
    ignored = FixedWeights().build({"a": 0.0, "b": 1.0})
    assert ignored({"a": torch.tensor(5.0), "b": torch.tensor(2.0)}) == 2
    with pytest.raises(ConfigurationError, match=r"^uncertainty weights need .* only one task"):
        UncertaintyWeights().build({"a": 1})
    with pytest.raises(ConfigurationError, match="leave them at 1"):
        UncertaintyWeights().build({"a": 1, "b": 0.5})
    with pytest.raises(ConfigurationError, match="there is no task"):
        FixedWeights().build({})
