import contextlib
import itertools
import sys

import pytest
import torch
from torch import Tensor, nn

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.losses import GradientSurgery, gradient_conflict


def quadratics(point: Tensor, head: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Two bowls, one much steeper, whose gradients at (0, 1) are at more than a right angle."""
    features = 1.0 * point
    losses = {
        "a": 8 * (features - torch.tensor([2.0, 0])).pow(2).sum() * head,
        "b": (features - torch.tensor([-2.0, 0])).pow(2).sum(),
    }
    return losses, features


@pytest.fixture
def point() -> nn.Parameter:
    return nn.Parameter(torch.tensor([0.0, 1.0]))


@pytest.fixture
def head() -> nn.Parameter:
    return nn.Parameter(torch.tensor(1.0))


GRADIENTS = torch.tensor([[-32.0, 16.0], [4.0, 2.0]])


def projected(vector: Tensor, onto: Tensor) -> Tensor:
    """The part of a vector that is at a right angle to another one."""
    return vector - (vector @ onto) / (onto @ onto) * onto


def projections(task: int, gradients: Tensor) -> list[Tensor]:
    """What PCGrad may make of one of three gradients, in either order of the others."""
    others = [other for other in range(3) if other != task]
    found = []
    for order in (others, others[::-1]):
        gradient = gradients[task]
        for other in order:
            if gradient @ gradients[other] < 0:
                gradient = projected(gradient, gradients[other])
        found.append(gradient)
    return found


@pytest.mark.parametrize(
    "library", ["torchjd.aggregation", "torchjd.autojac", "quadprog", "qpsolvers"]
)
def test_a_missing_library_is_named(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.suppress(ConfigurationError):
        GradientSurgery()  # imports the others while all are there
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigurationError, match=r"pip install 'deepfake-mtl\[surgery\]'"):
        GradientSurgery()


class TestWithTorchJD:
    @pytest.fixture(autouse=True)
    def _torchjd(self) -> None:
        for name in ("torchjd", "quadprog", "qpsolvers"):
            pytest.importorskip(name)

    @pytest.mark.parametrize("method", ["upgrad", "pcgrad"])
    @pytest.mark.parametrize("scale", [1.0, 1e-4, 2.0**16, 2.0**-45, 2.0**45])
    def test_no_task_loses(
        self, point: nn.Parameter, head: nn.Parameter, method: str, scale: float
    ) -> None:
        losses, features = quadratics(point, head)
        conflict = gradient_conflict(losses, {"point": [point]})["point"]["a", "b"]
        assert conflict.cosine < 0

        surgery = GradientSurgery(method)
        surgery.backward({k: v * scale for k, v in losses.items()}, features, [point])
        weights = surgery.aggregate([point], [head])

        # For two tasks both methods project each gradient onto the other's normal plane.
        a, b = GRADIENTS
        expected = projected(a, b) + projected(b, a)
        torch.testing.assert_close(point.grad / scale, expected, rtol=1e-3, atol=1e-3)
        assert (GRADIENTS @ (point.grad / scale) > 0).all()
        assert (a + b) @ b < 0  # which the plain sum does not achieve
        assert head.grad / scale == 40
        assert all(weight > 1 for weight in weights.values())
        assert not hasattr(point, "jac")

    @pytest.mark.parametrize("method", ["upgrad", "pcgrad"])
    def test_without_conflict_it_is_the_sum(self, method: str) -> None:
        torch.manual_seed(0)
        encoder = nn.Sequential(nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2), nn.ReLU(), nn.Flatten())
        head = nn.Linear(2, 1)
        clips = torch.randn(4, 1, 3, 3, 3)

        def losses() -> tuple[dict[str, Tensor], Tensor]:
            features = encoder(clips)
            loss = head(features).pow(2).mean()
            return {"a": loss, "b": 3 * head(features).pow(2).mean()}, features

        sum(losses()[0].values()).backward()
        parameters = [*encoder.parameters(), *head.parameters()]
        expected = [p.grad.clone() for p in parameters]
        for p in parameters:
            p.grad = None
        surgery = GradientSurgery(method)
        values, features = losses()
        surgery.backward(values, features, encoder.parameters())
        surgery.aggregate(encoder.parameters(), head.parameters())
        for parameter, gradient in zip(parameters, expected, strict=True):
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-5)

    def test_gradients_lie_in_memory_as_their_parameters_do(self) -> None:
        """Else Adam leaves its fast path, and a fused one refuses them."""
        encoder = nn.Sequential(nn.Conv3d(4, 6, 3), nn.Conv3d(6, 4, (1, 3, 3)), nn.Flatten())
        encoder.to(memory_format=torch.channels_last_3d)
        head = nn.Linear(4, 1)
        features = encoder(torch.randn(2, 4, 3, 5, 5))
        surgery = GradientSurgery()
        losses = {"a": head(features).pow(2).mean(), "b": head(features).abs().mean()}
        surgery.backward(losses, features, encoder.parameters())
        surgery.aggregate(encoder.parameters(), head.parameters())
        parameters = [*encoder.parameters(), *head.parameters()]
        assert any(not each.is_contiguous() for each in parameters)
        assert all(each.grad.stride() == each.stride() for each in parameters)
        torch.optim.Adam(parameters, fused=True).step()

    def test_micro_batches_equal_one_batch(self) -> None:
        torch.manual_seed(0)
        encoder, heads = nn.Linear(4, 3), nn.ModuleList([nn.Linear(3, 1), nn.Linear(3, 1)])
        batch = torch.randn(8, 4)
        gradients = []
        for size in (8, 2):
            surgery = GradientSurgery()
            encoder.zero_grad()
            heads.zero_grad()
            for part in batch.split(size):
                features = torch.tanh(encoder(part))
                values = {
                    "a": (heads[0](features) - 1).pow(2).mean() * size / 8,
                    "b": (heads[1](features) + 1).pow(2).mean() * size / 8,
                }
                surgery.backward(values, [features], encoder.parameters())
            surgery.aggregate(encoder.parameters(), heads.parameters())
            gradients.append([p.grad.clone() for p in (*encoder.parameters(), *heads.parameters())])
        torch.testing.assert_close(*gradients)

    @pytest.mark.parametrize("method", ["upgrad", "pcgrad"])
    def test_three_tasks_are_combined_by_the_method(self, point: nn.Parameter, method: str) -> None:
        gradients = torch.tensor([[1.0, 0.0], [-0.5, 0.2], [-0.5, -0.9]])
        features = 1.0 * point
        losses = {name: row @ features for name, row in zip("abc", gradients, strict=True)}
        surgery = GradientSurgery(method)
        surgery.backward(losses, features, [point])
        surgery.aggregate([point])
        # UPGrad projects onto the cone in which no loss rises, PCGrad onto one plane at a time.
        outcomes = torch.stack(
            [sum(each) for each in itertools.product(*map(projections, range(3), [gradients] * 3))]
        )
        is_pcgrad = (outcomes - point.grad).norm(dim=1).min() < 1e-3
        assert is_pcgrad == (method == "pcgrad")
        assert ((gradients @ point.grad).min() > -1e-3) == (method == "upgrad")

    @pytest.mark.parametrize("method", ["upgrad", "pcgrad"])
    def test_an_overflow_is_handed_on(
        self, point: nn.Parameter, head: nn.Parameter, method: str
    ) -> None:
        losses, features = quadratics(point, head)
        surgery = GradientSurgery(method)
        surgery.backward({"a": losses["a"] * 1e38 * 1e3, "b": losses["b"]}, features, [point])
        surgery.aggregate([point], [head])
        assert not point.grad.isfinite().all()

    def test_what_stands_in_grad_is_added_to_and_what_is_frozen_is_passed_over(
        self, point: nn.Parameter
    ) -> None:
        frozen = nn.Parameter(torch.ones(2), requires_grad=False)
        point.grad = torch.tensor([1.0, -1.0])
        features = point * frozen
        surgery = GradientSurgery()
        surgery.backward({"a": features[0], "b": 2 * features[1]}, features, [frozen, point])
        weights = surgery.aggregate([frozen, point])
        torch.testing.assert_close(point.grad, torch.tensor([2.0, 1.0]), rtol=1e-3, atol=1e-3)
        assert frozen.grad is None
        assert {name: round(weight.item(), 2) for name, weight in weights.items()} == {
            "a": 1,
            "b": 1,
        }
        with pytest.raises(ValueError, match="call backward"):
            surgery.aggregate([point])

    @pytest.mark.parametrize("method", ["upgrad", "pcgrad"])
    @pytest.mark.parametrize("factors", [(0.0, 3.0), (0.0, 0.0)])
    def test_a_task_without_a_gradient_changes_nothing(
        self, point: nn.Parameter, method: str, factors: tuple[float, float]
    ) -> None:
        features = 1.0 * point
        losses = {name: factor * features.sum() for name, factor in zip("ab", factors, strict=True)}
        surgery = GradientSurgery(method)
        surgery.backward(losses, features, [point])
        weights = surgery.aggregate([point])
        torch.testing.assert_close(point.grad, torch.full((2,), sum(factors)), rtol=1e-3, atol=0)
        assert all(weight.isfinite() for weight in weights.values())

    def test_the_order_of_calls_is_checked(self, point: nn.Parameter, head: nn.Parameter) -> None:
        surgery = GradientSurgery()
        with pytest.raises(ValueError, match="call backward"):
            surgery.aggregate([point])
        losses, features = quadratics(point, head)
        surgery.backward(losses, features, [point])
        losses, features = quadratics(point, head)
        with pytest.raises(ValueError, match="those before of a, b"):
            surgery.backward({"a": losses["a"]}, features, [point])
        assert GradientSurgery().method == "upgrad"
        assert GradientSurgery().build({"a": 1.0, "b": 2.0}).names == ("a", "b")
        with pytest.raises(ConfigurationError, match="unknown method"):
            GradientSurgery("other")

    def test_autocast_does_not_reach_the_combination(self) -> None:
        torch.manual_seed(0)
        encoder, heads = nn.Linear(4, 3), nn.ModuleList([nn.Linear(3, 1), nn.Linear(3, 1)])
        heads[1].load_state_dict(heads[0].state_dict())
        batch, gradients = torch.randn(64, 4), []
        for half in (False, True):
            surgery = GradientSurgery()
            encoder.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
                features = encoder(batch)
                values = {
                    "a": (heads[0](features).float() - 1).pow(2).mean(),
                    "b": (heads[1](features).float() + 3).pow(2).mean(),
                }
                surgery.backward(values, features, encoder.parameters())
                weights = surgery.aggregate(encoder.parameters(), heads.parameters())
            assert all(w > 1 and w.dtype == torch.float32 for w in weights.values())
            gradients.append(torch.cat([p.grad.flatten() for p in encoder.parameters()]))
        assert (gradients[1] - gradients[0]).norm() < 0.03 * gradients[0].norm()
