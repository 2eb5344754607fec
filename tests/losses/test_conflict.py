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


def test_a_meter_starts_anew_and_passes_over_what_is_frozen() -> None:
    weight, frozen = nn.Parameter(torch.tensor([1.0, 1.0])), nn.Parameter(torch.ones(2), False)
    meter = ConflictMeter({"w": [frozen, weight]})
    for sign in (1, -1):
        meter.add({"a": weight[0] + frozen.sum(), "b": sign * 4 * weight[0]})
        found = meter.compute()["w"]["a", "b"]
        assert found.cosine == sign
        assert found.norm_ratio == 0.25
    assert meter.compute() == {"w": {}}


@pytest.mark.parametrize("factor", [0.0, math.inf])
def test_without_two_gradients_of_a_length_there_is_no_figure(factor: float) -> None:
    weight = nn.Parameter(torch.tensor([1.0, 1.0]))
    losses = {"a": weight.sum(), "b": factor * weight.sum(), "c": weight[0]}
    figures = gradient_conflict(losses, {"w": [weight]})["w"]
    assert all(value.isnan() for value in (*figures["a", "b"], *figures["b", "c"]))
    assert figures["a", "c"].cosine.item() == pytest.approx(math.sqrt(0.5))


def test_equal_gradients_have_a_cosine_of_one_at_most() -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(1000))
    for _ in range(20):
        loss = (weight * torch.randn(1000)).sum()
        assert gradient_conflict({"a": loss, "b": loss}, {"w": [weight]})["w"]["a", "b"].cosine <= 1


def test_a_scale_keeps_small_gradients_of_16_bits() -> None:
    weight = nn.Parameter(torch.ones(2, dtype=torch.float16))
    losses = {"a": 1e-9 * weight.float()[0], "b": 1e-9 * weight.float().sum()}
    assert gradient_conflict(losses, {"w": [weight]})["w"]["a", "b"].cosine.isnan()
    meter = ConflictMeter({"w": [weight]})
    meter.add(losses, scale=2.0**16)
    found = meter.compute()["w"]["a", "b"]
    assert found.cosine.item() == pytest.approx(math.sqrt(0.5))
    assert found.norm_ratio.item() == pytest.approx(math.sqrt(0.5))


def test_a_scale_may_change_between_micro_batches() -> None:
    weight = nn.Parameter(torch.tensor([1.0, 1.0]))
    meter = ConflictMeter({"w": [weight]})
    meter.add({"a": weight[0], "b": 3 * weight[0]}, scale=8)
    meter.add({"a": weight[1], "b": 4 * weight[1]}, scale=2)
    found = meter.compute()["w"]["a", "b"]
    assert found.norm_ratio.item() == pytest.approx(math.sqrt(2) / 5)
    assert found.cosine.item() == pytest.approx(7 / 5 / math.sqrt(2))


def test_the_backward_pass_of_a_loss_in_float32_is_not_rounded() -> None:
    torch.manual_seed(0)
    network = TwoStages()
    losses = losses_of(network, torch.randn(8, 3))
    expected = gradient_conflict(losses, groups_of(network))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = gradient_conflict(losses, groups_of(network))
    assert found == expected


def test_a_frozen_group_is_refused() -> None:
    with pytest.raises(ValueError, match="group 'x' holds no parameter"):
        ConflictMeter({"x": nn.Linear(2, 2).requires_grad_(False).parameters()})
