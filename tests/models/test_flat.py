from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.models import R3D18, S3D, fold_batch_norm
from deepfake_mtl.models.flat import FlatMaxPool3d, Operators, PaddedConv3d, use_flat_operators
from tests.models.pools import assert_same_pool

FLAT: tuple[Operators, ...] = ("flat_norms", "flat", "flat_padded")
LAST = torch.channels_last_3d


def clips(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)).double()


@pytest.fixture(scope="module")
def volume() -> S3D:
    torch.manual_seed(0)
    return S3D().double()


def same_as(volume: S3D, operators: Operators) -> S3D:
    flat = S3D(operators=operators).double()
    flat.load_state_dict(volume.state_dict())
    return flat


class Operations(TorchDispatchMode):
    """Counts operations by name and number of dimensions; clones apart."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[str, int]] = set()
        self.clones = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        big = [each for each in args if isinstance(each, Tensor) and each.dim() > 3]
        if big:
            self.seen.add((name, big[0].dim()))
            self.clones += name in ("clone", "copy_") and big[0].dim() == 5
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("operators", FLAT)
def test_flat_operators_compute_the_same_under_the_same_names(
    volume: S3D, operators: Operators
) -> None:
    flat = same_as(volume, operators)
    assert list(flat.state_dict()) == list(volume.state_dict())
    outputs, gradients = [], []
    for encoder in (volume, flat):
        features = encoder(clips(4, 3, 8, 48, 48))
        outputs.append(features)
        loss = (features * torch.linspace(-1, 1, features.numel()).view_as(features)).sum()
        gradients.append(torch.autograd.grad(loss, list(encoder.parameters())))
    torch.testing.assert_close(
        outputs[1], outputs[0], rtol=0, atol=3e-12 * outputs[0].norm().item()
    )
    for ours, theirs in zip(gradients[1], gradients[0], strict=True):
        assert (ours - theirs).norm() <= 7e-10 * max(theirs.norm().item(), 1e-12)
    for (name, ours), theirs in zip(flat.named_buffers(), volume.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, msg=name)


@pytest.mark.parametrize("operators", FLAT)
def test_gradients_are_laid_out_as_parameters(operators: Operators) -> None:
    """Else optimizers leave their fast paths."""
    encoder = S3D(operators=operators)
    encoder(clips(2, 3, 16, 32, 32).float()).sum().backward()
    for name, parameter in encoder.named_parameters():
        strides = zip(parameter.shape, parameter.stride(), parameter.grad.stride(), strict=True)
        assert all(own == of_gradient for size, own, of_gradient in strides if size > 1), name


@pytest.mark.parametrize("operators", FLAT)
def test_views_cost_nothing(operators: Operators) -> None:
    encoder, volume = S3D(operators=operators).eval(), S3D().eval()
    clip = clips(2, 3, 16, 64, 64).float().contiguous(memory_format=LAST)
    with Operations() as operations:
        encoder.encode(clip).sum().backward()
    with Operations() as others:
        volume.encode(clip).sum().backward()
    assert operations.clones <= (others.clones if operators == "flat_norms" else 0)
    norms = {dims for name, dims in operations.seen if "batch_norm" in name}
    convolutions = {dims for name, dims in operations.seen if "convolution" in name}
    pools = {(name, dims) for name, dims in operations.seen if "max_pool" in name}
    assert norms == {4}
    assert convolutions == ({5} if operators == "flat_norms" else {4})
    assert all(("max_pool3d" in name) == (operators == "flat_norms") for name, _ in pools)
    assert any(isinstance(each, PaddedConv3d) for each in encoder.modules()) == (
        operators == "flat_padded"
    )


@pytest.mark.parametrize(
    "pool",
    [
        nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        nn.MaxPool3d(3, 1, 1),
        nn.MaxPool3d(3, 2, 1),
        nn.MaxPool3d(2),
    ],
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, LAST])
def test_a_flat_pool_is_the_pool(pool: nn.MaxPool3d, layout: torch.memory_format) -> None:
    """With ties: of equal values the same one gets the gradient."""
    generator = torch.Generator().manual_seed(0)
    clip = torch.randint(3, (2, 3, 5, 7, 6), generator=generator).double()
    assert_same_pool(pool, FlatMaxPool3d, clip, layout)


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(mode=True)
    yield
    torch.use_deterministic_algorithms(mode=False)


@pytest.mark.usefixtures("deterministic")
def test_a_flat_pool_is_none_where_its_gradient_has_no_order() -> None:
    with Operations() as operations:
        FlatMaxPool3d(3, 1, 1)(clips(1, 2, 4, 5, 5))
    assert {name for name, _ in operations.seen if "pool" in name} == {"max_pool3d_with_indices"}


def test_flat_operators_take_short_clips_in_bfloat16() -> None:
    """The CPU's gradient of kernels that are longer than the clip is garbage in 16 bits."""
    layer = nn.Sequential(nn.Conv3d(2, 2, (3, 1, 1), padding=(1, 0, 0)))
    use_flat_operators(layer, "flat")
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(clips(1, 2, 2, 4, 4).float()).dtype == torch.float32
        assert layer(clips(1, 2, 4, 4, 4).float()).dtype == torch.bfloat16


def test_flat_operators_are_folded(volume: S3D) -> None:
    flat = same_as(volume, "flat_padded").eval()
    folded = fold_batch_norm(flat)
    assert not any(isinstance(each, nn.BatchNorm3d) for each in folded.modules())
    clip = clips(1, 3, 8, 32, 32)
    torch.testing.assert_close(folded(clip), flat(clip))


@pytest.mark.parametrize("operators", ["flat", "others"])
def test_operators_that_cannot_be_are_refused(operators: Operators) -> None:
    with pytest.raises(
        ConfigurationError, match=f"operators is '{operators}': choose among volume"
    ):
        S3D(operators=operators, channels_last=False)


@pytest.mark.parametrize("kind", [S3D, R3D18])
def test_pixels_are_rearranged_before_they_are_normalised(
    kind: type[S3D] | type[R3D18], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quarter of the bytes moved, and the same bits."""
    encoder = kind()
    clip = torch.randint(256, (2, 3, 8, 32, 32), dtype=torch.uint8)
    expected = encoder.normalize(clip).contiguous(memory_format=LAST)
    seen: list[Tensor] = []
    monkeypatch.setattr(encoder, "normalize", _noting(seen, encoder.normalize))
    monkeypatch.setattr(encoder, "encode", _noting(seen, lambda each: each))
    encoder(clip)
    assert seen[0].dtype == torch.uint8
    assert seen[0].is_contiguous(memory_format=LAST)
    assert torch.equal(seen[1], expected)
    assert seen[1].stride() == expected.stride()


def _noting(seen: list[Tensor], function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def noting(clip: Tensor) -> Tensor:
        seen.append(clip)
        return function(clip)

    return noting
