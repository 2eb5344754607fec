import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torchvision.models.video import VideoResNet, r2plus1d_18, r3d_18, s3d

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.models import R3D18, S3D, Encoder, MLPHead, MViTv2S, R2Plus1D18, fold_batch_norm
from deepfake_mtl.models.convolution import use_temporal_convolutions


@pytest.fixture(scope="module")
def encoder() -> S3D:
    torch.manual_seed(0)
    return S3D().eval()


@pytest.mark.parametrize("shape", [(8, 32, 32), (9, 33, 47), (16, 64, 64)])
def test_any_clip_of_eight_frames_and_32_pixels(encoder: S3D, shape: tuple[int, int, int]) -> None:
    features = encoder(torch.randint(256, (2, 3, *shape), dtype=torch.uint8))
    assert features.shape == (2, encoder.feature_dim) == (2, 1024)
    assert features.isfinite().all()


def test_equals_torchvision_in_outputs_and_gradients() -> None:
    torch.manual_seed(0)
    ours = S3D(norm_eps=1e-3, norm_momentum=1e-3).double()
    theirs = s3d(weights=None).double()
    theirs.features.load_state_dict(ours.features.state_dict())
    clip = torch.rand(2, 3, 16, 64, 64, dtype=torch.float64)

    features = ours(clip)
    expected = theirs.features(ours.normalize(clip)).mean(dim=(2, 3, 4))
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-9 * expected.norm().item())

    probe = torch.randn_like(features)
    (features * probe).sum().backward()
    (expected * probe).sum().backward()
    for mine, other in zip(ours.features.parameters(), theirs.features.parameters(), strict=True):
        assert (mine.grad - other.grad).norm() <= 1e-9 * max(other.grad.norm().item(), 1e-12)


def test_recomputed_activations_are_not_compiled() -> None:
    with pytest.raises(ConfigurationError, match="`recompute_activations` is set, but"):
        S3D(recompute_activations=True).compile()


def test_recomputed_activations_change_nothing() -> None:
    torch.manual_seed(0)
    plain = S3D(channels_last=False).double()
    saving = S3D(channels_last=False, recompute_activations=True).double()
    saving.load_state_dict(plain.state_dict())
    clip = torch.rand(2, 3, 8, 32, 32, dtype=torch.float64)
    kept: list[int] = []
    for encoder in (plain, saving):
        sizes: list[int] = []

        def count(tensor: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            loss = encoder(clip).square().sum()
        kept.append(sum(sizes))
        loss.backward()
    assert kept[1] < 0.7 * kept[0]
    for mine, other in zip(saving.parameters(), plain.parameters(), strict=True):
        assert torch.equal(mine.grad, other.grad)
    for (name, mine), other in zip(saving.named_buffers(), plain.buffers(), strict=True):
        assert torch.equal(mine, other), name


@pytest.mark.parametrize("kind", [S3D, R2Plus1D18])
def test_a_folded_encoder_is_the_same_function(kind: type[Encoder]) -> None:
    torch.manual_seed(0)
    encoder = kind().double()
    clip = torch.rand(2, 3, 8, 32, 32, dtype=torch.float64)
    encoder(clip)  # statistics that are not those of the start
    before = copy.deepcopy(encoder.state_dict())
    folded = fold_batch_norm(encoder)
    assert not any(isinstance(module, nn.BatchNorm3d) for module in folded.modules())
    expected = encoder.eval()(clip)
    torch.testing.assert_close(folded(clip), expected, rtol=0, atol=1e-9 * expected.norm().item())
    assert all(torch.equal(x, before[name]) for name, x in encoder.state_dict().items())


def test_uint8_and_unit_interval_are_the_same_clip(encoder: S3D) -> None:
    clip = torch.randint(256, (1, 3, 8, 32, 32), dtype=torch.uint8)
    torch.testing.assert_close(encoder(clip), encoder(clip.float() / 255))
    # Channels are normalised one by one, in the order RGB.
    grey = torch.full((1, 3, 8, 32, 32), 255, dtype=torch.uint8)
    normal = encoder.normalize(grey)[0, :, 0, 0, 0]
    torch.testing.assert_close(normal, torch.tensor([2.2489083, 2.4285715, 2.64]))


@pytest.mark.parametrize(
    "shape", [(2, 3, 7, 32, 32), (2, 3, 8, 31, 32), (2, 1, 8, 32, 32), (3, 8, 32, 32)]
)
def test_other_clips_are_refused(encoder: S3D, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"at least 8 frames and 32 x 32|B x 3 x T x H x W"):
        encoder(torch.zeros(shape))


def test_an_empty_batch_has_no_features(encoder: S3D) -> None:
    assert encoder(torch.zeros((0, 3, 8, 32, 32), dtype=torch.uint8)).shape == (0, 1024)


def test_norm_settings_reach_every_layer() -> None:
    norms = [
        m
        for m in S3D(norm_eps=1e-3, norm_momentum=0.05).modules()
        if isinstance(m, torch.nn.BatchNorm3d)
    ]
    assert len(norms) > 50
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.05)}


@pytest.mark.parametrize(("ours", "theirs"), [(R3D18, r3d_18), (R2Plus1D18, r2plus1d_18)])
def test_residual_encoders_equal_torchvision(
    ours: type[Encoder], theirs: Callable[..., VideoResNet]
) -> None:
    encoder, network = ours(norm_eps=1e-2).eval(), theirs(weights=None, num_classes=2).eval()
    adapted = encoder.adapters[0](network.state_dict())
    assert set(adapted.skipped) == {"fc.weight", "fc.bias"}
    assert adapted.tensors.keys() == encoder.state_dict().keys() - {"_extra_state"}
    encoder.load_state_dict({**adapted.tensors, "_extra_state": encoder.get_extra_state()})
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm3d):
            norm.eps = 1e-2
    network.fc = nn.Identity()
    clip = torch.randint(256, (2, 3, 9, 33, 31), dtype=torch.uint8)
    features = encoder(clip)
    assert features.shape == (2, encoder.feature_dim)
    torch.testing.assert_close(features, network(encoder.normalize(clip)), rtol=1e-4, atol=1e-5)
    assert encoder(torch.zeros(1, 3, 8, 16, 16)).isfinite().all()


def test_mvit_equals_torchvision_and_takes_clips_of_any_size() -> None:
    encoder = MViTv2S().eval()
    network = copy.deepcopy(encoder.features)
    clip = torch.randint(256, (2, 3, 8, 64, 96), dtype=torch.uint8)
    # torchvision fixes the grid in its constructor, from a size that our encoder does not need.
    network.pos_encoding.temporal_size = 4
    network.pos_encoding.spatial_size = (16, 24)
    expected = network(encoder.normalize(clip))
    torch.testing.assert_close(encoder(clip), expected, rtol=0, atol=0)
    assert expected.shape == (2, encoder.feature_dim) == (2, 768)

    published = {name.removeprefix("features."): x for name, x in encoder.state_dict().items()}
    adapted = encoder.adapters[0](published | {"head.1.weight": torch.zeros(400, 768)})
    assert set(adapted.skipped) == {"head.1.weight"}
    assert encoder.state_dict().keys() - {"_extra_state"} <= adapted.tensors.keys()
    for shape in ((4, 32, 32), (5, 39, 50)):
        assert encoder(torch.zeros(1, 3, *shape)).isfinite().all()
    with pytest.raises(ValueError, match="at least 4 frames and 32 x 32"):
        encoder(torch.zeros(1, 3, 3, 32, 32))


def test_the_head_has_three_linear_layers() -> None:
    head = MLPHead(6, 5, hidden_features=4)
    layers = [layer for layer in head if isinstance(layer, torch.nn.Linear)]
    assert [(x.in_features, x.out_features) for x in layers] == [(6, 4), (4, 4), (4, 5)]
    assert head(torch.zeros(2, 6)).shape == (2, 5)


@pytest.mark.parametrize("frames", [8, 10, 12, 16])
def test_bfloat16_gradients_of_short_clips(frames: int) -> None:
    """Some lengths leave two frames to kernels of three, for which torch's are garbage."""
    torch.manual_seed(0)
    encoder = S3D()
    clip = torch.rand(4, 3, frames, 32, 32)
    probe = torch.randn(4, 1024)
    with torch.autocast("cpu", torch.bfloat16):
        features = encoder(clip)
    (features.float() * probe).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all(), name


def test_a_temporal_convolution_on_two_frames_equals_float32() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Conv3d(48, 48, (3, 1, 1), padding=(1, 0, 0), bias=False)
    network = torch.nn.Sequential(layer)
    clip = torch.randn(8, 48, 2, 6, 6)
    probe = torch.randn(8, 48, 2, 6, 6)
    (expected,) = torch.autograd.grad((network(clip) * probe).sum(), layer.weight)
    use_temporal_convolutions(network)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = network(clip)
    (gradient,) = torch.autograd.grad((outputs.float() * probe).sum(), layer.weight)
    torch.testing.assert_close(gradient, expected)


def test_convolutions_over_time_start_as_random_values_plus_the_identity() -> None:
    """What the option adds to the output of each is its input, and nothing else changes."""
    encoders = []
    for identity in (False, True):
        torch.manual_seed(0)
        encoders.append(S3D(temporal_identity=identity).double())
    compared = 0
    for plain, other in zip(*(each.modules() for each in encoders), strict=True):
        if not isinstance(plain, torch.nn.Conv3d):
            continue
        channels = plain.in_channels
        clip = torch.randn(1, channels, 8, 2, 2, dtype=torch.float64)
        if plain.kernel_size[0] > 1 and channels == plain.out_channels:
            shown = clip[:, :, :: plain.stride[0]]
            torch.testing.assert_close(other(clip), plain(clip) + shown)
            compared += 1
        else:
            assert torch.equal(other.weight, plain.weight)
    assert compared == 2 + 2 * 9  # the stem's two, and two branches of each of nine blocks
