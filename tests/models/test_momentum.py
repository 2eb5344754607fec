from copy import deepcopy
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.models import S3D, MLPHead
from deepfake_mtl.models.momentum import (
    BATCH_NORM_REMEDIES,
    BatchNormRemedy,
    MomentumEncoder,
    check_batch_norm_remedy,
    shuffled_forward,
)


def small_network() -> nn.Sequential:
    return nn.Sequential(nn.Conv3d(3, 4, 3), nn.BatchNorm3d(4), nn.ReLU(), nn.Flatten())


def perturb(network: nn.Module) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter))


def copies(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def test_it_keeps_the_memory_format_and_the_buffers_of_an_encoder() -> None:
    source = S3D()
    copy = MomentumEncoder(source)
    for name, value in source.named_parameters():
        assert copy.module.get_parameter(name).stride() == value.stride()
    weights = [p for p in copy.parameters() if p.dim() == 5]
    assert weights
    assert all(w.is_contiguous(memory_format=torch.channels_last_3d) for w in weights)
    assert torch.equal(copy.module.mean, source.mean)


def test_it_starts_as_an_independent_frozen_copy() -> None:
    torch.manual_seed(0)
    source = small_network()
    copy = MomentumEncoder(source)
    before = copies(dict(copy.module.named_parameters()))
    for name, parameter in source.named_parameters():
        assert torch.equal(parameter, before[name])

    perturb(source)
    clips = torch.randn(2, 3, 4, 4, 4)
    (copy(clips) + source(clips)).sum().backward()
    for name, parameter in copy.module.named_parameters():
        assert torch.equal(parameter, before[name])
        assert parameter.grad is None
        assert not parameter.requires_grad
    assert all(parameter.grad is not None for parameter in source.parameters())


def test_update_equals_the_formula_and_leaves_statistics_alone() -> None:
    torch.manual_seed(0)
    source = small_network().double()
    copy = MomentumEncoder(source)
    copy(torch.randn(4, 3, 3, 3, 3, dtype=torch.float64))
    before = copies(copy.module.state_dict())
    perturb(source)
    source(torch.randn(4, 3, 3, 3, 3, dtype=torch.float64))
    copy.update(source, 0.99)
    copy.update(source, 0.9)
    for name, value in copy.module.named_parameters():
        new = source.get_parameter(name)
        expected = 0.9 * (0.99 * before[name] + 0.01 * new) + 0.1 * new
        torch.testing.assert_close(value, expected, rtol=0, atol=1e-14)
    for name, value in copy.module.named_buffers():
        assert torch.equal(value, before[name])
        assert not torch.equal(value, source.get_buffer(name)) or name.endswith("tracked")


def test_it_moves_where_bfloat16_would_not() -> None:
    torch.manual_seed(0)
    start = MLPHead(8, 4, 8)
    source = deepcopy(start).bfloat16()
    copy = MomentumEncoder(source)
    module = nn.ModuleDict({"query": source, "key": copy}).to(torch.bfloat16)
    before = copies(dict(copy.module.named_parameters()))
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.mul_(1.5)
    for _ in range(1000):
        copy.update(module["query"], 0.999)
    for name, value in copy.module.named_parameters():
        assert value.dtype == torch.float32
        expected = before[name] + (1 - 0.999**1000) * (source.get_parameter(name) - before[name])
        torch.testing.assert_close(value, expected, rtol=1e-3, atol=1e-6)
    # The same in bfloat16 stands still.
    naive = torch.ones(3, dtype=torch.bfloat16)
    for _ in range(1000):
        naive = naive * 0.999 + torch.full_like(naive, 1.5) * 0.001
    assert torch.equal(naive, torch.ones_like(naive))


def test_what_is_compiled_is_the_copy() -> None:
    class Noted(nn.Linear):
        def compile(self, *args: object, **kwargs: object) -> None:
            self.asked = (args, kwargs)

    source = Noted(2, 2)
    copy = MomentumEncoder(source)
    copy.compile("some", dynamic=True)
    assert copy.module.asked == (("some",), {"dynamic": True})
    assert not hasattr(source, "asked")


def test_averaged_statistics_part_a_key_from_its_batch() -> None:
    torch.manual_seed(0)
    source = small_network().double()
    copy, moco = MomentumEncoder(source, average_statistics=True), MomentumEncoder(source)
    parent = nn.ModuleList([source, copy, moco]).train()
    clips = torch.randn(4, 3, 3, 3, 3, dtype=torch.float64)
    mean = copy.module[1].running_mean.clone()
    source(clips)
    copy.update(source, 0.9)
    torch.testing.assert_close(
        copy.module[1].running_mean, 0.9 * mean + 0.1 * source[1].running_mean
    )
    assert copy.module[1].num_batches_tracked == 0
    torch.testing.assert_close(copy(clips)[:1], copy(clips[:1]))
    assert not torch.allclose(moco(clips)[:1], moco(clips[:2])[:1])
    assert parent.training
    assert not copy.module[1].training
    with pytest.raises(ConfigurationError, match="no BatchNorm with running statistics"):
        MomentumEncoder(MLPHead(2, 2), average_statistics=True)


def test_bad_updates_are_refused() -> None:
    copy = MomentumEncoder(MLPHead(4, 4, 4))
    for momentum in (1.1, -0.1):
        with pytest.raises(ConfigurationError, match="must be from 0 to 1"):
            copy.update(MLPHead(4, 4, 4), momentum)
    with pytest.raises(ValueError, match="not the network that was copied"):
        copy.update(MLPHead(4, 4, 5), 0.9)


def test_at_the_ends_of_its_range_a_copy_stands_still_or_is_its_source() -> None:
    source = small_network()
    copy = MomentumEncoder(source)
    before = copies(dict(copy.module.named_parameters()))
    perturb(source)
    for momentum, expected in ((1, before), (0, dict(source.named_parameters()))):
        copy.update(source, momentum)
        for name, value in copy.module.named_parameters():
            torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_copy_of_a_network_in_16_bits_is_in_float32(dtype: torch.dtype) -> None:
    copy = MomentumEncoder(MLPHead(2, 2).to(dtype))
    assert {p.dtype for p in copy.parameters()} == {torch.float32}
    partly = MomentumEncoder(nn.Sequential(nn.Linear(2, 2).to(dtype), nn.Linear(2, 2)))
    assert {p.dtype for p in partly.parameters()} == {torch.float32}
    assert {p.dtype for p in MomentumEncoder(MLPHead(2, 2).double()).parameters()} == {
        torch.float64
    }
    inputs = torch.randn(3, 2, requires_grad=True)
    assert not partly(inputs).requires_grad


@pytest.mark.parametrize("training", [True, False])
def test_a_copy_is_in_the_mode_of_its_source(training: bool) -> None:
    for average in (True, False):
        copy = MomentumEncoder(small_network().train(training), average_statistics=average)
        assert copy.training is copy.module[0].training is training
        assert copy.module[1].training is (training and not average)
        assert copy.train() is copy
        assert copy.training
        assert copy.eval().module[1].training is False


def test_statistics_that_are_not_kept_cannot_be_averaged() -> None:
    without = nn.Sequential(nn.BatchNorm3d(4, track_running_stats=False), nn.BatchNorm3d(4))
    for refused in (
        lambda: MomentumEncoder(without, average_statistics=True),
        lambda: check_batch_norm_remedy("average", without, 2),
    ):
        with pytest.raises(ConfigurationError, match="no BatchNorm with running statistics"):
            refused()


def test_remedies_that_do_nothing_are_refused() -> None:
    plain, synced = (
        small_network(),
        nn.SyncBatchNorm.convert_sync_batchnorm(small_network()),
    )
    head = MLPHead(2, 2)
    assert get_args(BatchNormRemedy) == BATCH_NORM_REMEDIES
    for remedy in BATCH_NORM_REMEDIES:
        check_batch_norm_remedy(remedy, plain, 2)
    check_batch_norm_remedy("none", head, 1)
    check_batch_norm_remedy("average", plain, 1)
    check_batch_norm_remedy("sync", synced, 2)
    check_batch_norm_remedy("shuffle", nn.Sequential(synced, plain), 2)
    for remedy, network, ranks, reason in [
        ("shuffle", plain, 1, "any order"),
        ("sync", plain, 1, "nobody to share"),
        ("shuffle", synced, 2, "use one of the two"),
        ("shuffle", head, 2, "has no BatchNorm"),
        ("sync", head, 2, "has no BatchNorm"),
        ("average", head, 2, "has no BatchNorm"),
        ("other", plain, 2, "unknown remedy"),
    ]:
        with pytest.raises(ConfigurationError, match=reason):
            check_batch_norm_remedy(remedy, network, ranks)
    with pytest.raises(ConfigurationError, match="any order"):
        shuffled_forward(plain, torch.zeros(2, 3, 3, 3, 3))
