import math

import pytest
import torch
from torch import Tensor, nn

from deepfake_mtl.losses import ConflictMeter, gradient_conflict


class TwoStages(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.second = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(torch.tanh(self.first(x)))
        return out


def losses_of(network: nn.Module, x: Tensor, share: float = 1.0) -> dict[str, Tensor]:
    out = network(x)
    return {"a": out[:, 0].pow(2).mean() * share, "b": (out.sum(dim=1) - 1).abs().mean() * share}


def groups_of(network: TwoStages) -> dict[str, list[nn.Parameter]]:
    return {
        "first": list(network.first.parameters()),
        "second": list(network.second.parameters()),
        "all": list(network.parameters()),
    }


def test_known_angle_and_lengths() -> None:
    weight = nn.Parameter(torch.tensor([1.0, 1.0]))
    losses = {
        "a": weight[0] * 4,
        "b": -weight[0] * 1 + weight[1] * math.sqrt(3),
        "c": weight.detach().sum().requires_grad_(),
    }
    figures = gradient_conflict(losses, {"w": [weight]})["w"]
    assert figures["a", "b"].cosine.item() == pytest.approx(-0.5)
    assert figures["a", "b"].norm_ratio.item() == pytest.approx(2)
    assert all(value.isnan() for value in figures["b", "c"])


def test_micro_batches_and_scale_do_not_change_it() -> None:
    torch.manual_seed(0)
    network, x = TwoStages().double(), torch.randn(8, 3, dtype=torch.float64)
    losses = losses_of(network, x)
    whole = gradient_conflict(losses, groups_of(network))

    meter = ConflictMeter(groups_of(network))
    for part in x.split(2):
        meter.add(losses_of(network, part, share=0.25), scale=1024)
    parts = meter.compute()
    assert list(whole) == ["first", "second", "all"]
    for name, pairs in whole.items():
        torch.testing.assert_close(parts[name]["a", "b"], pairs["a", "b"])

    # The truth, by separate backward passes; and a backward pass is possible afterwards.
    gradients = {}
    for task in losses:
        network.zero_grad()
        losses[task].backward(retain_graph=True)
        gradients[task] = torch.cat([p.grad.flatten() for p in network.first.parameters()])
    cosine = torch.cosine_similarity(gradients["a"], gradients["b"], dim=0)
    torch.testing.assert_close(whole["first"]["a", "b"].cosine, cosine)


def test_it_leaves_gradients_alone_and_works_under_autocast() -> None:
    torch.manual_seed(0)
    network, x = TwoStages(), torch.randn(64, 3)
    full = gradient_conflict(losses_of(network, x), groups_of(network))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = gradient_conflict(losses_of(network, x), groups_of(network))
    assert all(p.grad is None for p in network.parameters())
    for name, pairs in full.items():
        assert half[name]["a", "b"].cosine.dtype == torch.float32
        torch.testing.assert_close(half[name]["a", "b"], pairs["a", "b"], rtol=0.03, atol=0.03)


def test_a_frozen_group_is_refused() -> None:
    with pytest.raises(ValueError, match="group 'x' holds no parameter"):
        ConflictMeter({"x": nn.Linear(2, 2).requires_grad_(False).parameters()})
