"""Keys of contrastive tasks: from which encoder, of which view, and with which BatchNorm."""

import pytest
import torch
from torch import nn

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.models import MomentumEncoder
from deepfake_mtl.tasks import MoCoSettings
from deepfake_mtl.tasks.key_encoders import KeyEncoders

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def encoder() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def made(source: nn.Module | None = None, **settings: object) -> KeyEncoders:
    return KeyEncoders({"binary": source or encoder()}, MoCoSettings(**settings))


def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(5, 3, generator=generator) for name in ("clip", "second_clip")}


def test_statistics_are_averaged_where_that_is_the_remedy() -> None:
    assert not made()["binary"].average_statistics
    assert not made(batch_norm_remedy="sync")["binary"].average_statistics
    assert made(batch_norm_remedy="average")["binary"].average_statistics


@pytest.mark.parametrize("symmetric", [False, True])
def test_keys_are_of_the_second_view_and_of_the_first_where_both_ways_count(
    symmetric: bool,
) -> None:
    source, clips = encoder().eval(), batch()
    keys = made(source, symmetric=symmetric)
    with torch.no_grad():
        keys["binary"].module[0].weight.mul_(2)
    found = keys.features("binary", source, clips)
    copy = keys["binary"]
    torch.testing.assert_close(found.first, source(clips["clip"]))
    torch.testing.assert_close(found.second_key, copy(clips["second_clip"]))
    if symmetric:
        torch.testing.assert_close(found.second, source(clips["second_clip"]))
        torch.testing.assert_close(found.first_key, copy(clips["clip"]))
    else:
        assert found.second is found.first_key is None
    other = keys.features("manipulation", source, {"clip": clips["clip"]})
    torch.testing.assert_close(other.first, found.first)
    assert other[1:] == (None, None, None, False)
    assert not found.equal_ranks
    keys.equal_ranks = True
    assert keys.features("binary", source, clips).equal_ranks
    with pytest.raises(ConfigurationError, match="two views of each clip"):
        keys.features("binary", source, {"clip": clips["clip"]})


def test_keys_are_shuffled_where_that_is_the_remedy() -> None:
    source = encoder()
    with pytest.raises(ConfigurationError, match="on one rank"):
        made(source, batch_norm_remedy="shuffle").features("binary", source, batch())


def test_the_encoder_of_a_branch_is_followed_by_the_momentum() -> None:
    source = encoder()
    keys = made(source, momentum=0.75)
    before = keys["binary"].module[0].weight.clone()
    with torch.no_grad():
        source[0].weight.add_(1)
    keys.follow("manipulation", source)
    assert torch.equal(keys["binary"].module[0].weight, before)
    keys.follow("binary", source)
    torch.testing.assert_close(keys["binary"].module[0].weight, before + 0.25)
    assert isinstance(keys["binary"], MomentumEncoder)


def test_a_remedy_that_does_nothing_is_refused() -> None:
    none = KeyEncoders({}, MoCoSettings(batch_norm_remedy="sync"))
    with pytest.raises(ConfigurationError, match="remedy is 'sync', but no task is contrastive"):
        none.check_batch_norm(encoder(), 2, GPU)
    KeyEncoders({}, MoCoSettings()).check_batch_norm(encoder(), 1, CPU)
    synced = made(batch_norm_remedy="sync")
    synced.check_batch_norm(encoder(), 2, GPU)
    with pytest.raises(ConfigurationError, match="on accelerators only"):
        synced.check_batch_norm(encoder(), 2, CPU)
    with pytest.raises(ConfigurationError, match="on one rank"):
        synced.check_batch_norm(encoder(), 1, GPU)
    made(batch_norm_remedy="average").check_batch_norm(encoder(), 1, CPU)
    made(batch_norm_remedy="shuffle").check_batch_norm(encoder(), 2, CPU)


def test_statistics_are_shared_where_that_is_the_remedy() -> None:
    def kinds(keys: KeyEncoders, ranks: int = 2) -> set[type[nn.Module]]:
        source = encoder()
        whole = nn.ModuleList([source, keys])
        keys.sync_batch_norm(whole, source, ranks)
        return {type(each) for each in whole.modules() if "BatchNorm" in type(each).__name__}

    assert kinds(made(batch_norm_remedy="sync")) == {nn.SyncBatchNorm}
    for other in ("none", "average", "shuffle"):
        assert kinds(made(batch_norm_remedy=other)) == {nn.BatchNorm1d}
    none = KeyEncoders({}, MoCoSettings(batch_norm_remedy="sync"))
    assert kinds(none, ranks=1) == {nn.BatchNorm1d}
    with pytest.raises(ConfigurationError, match="on one rank"):
        kinds(made(batch_norm_remedy="sync"), ranks=1)
