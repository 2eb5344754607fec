"""What a GPU would refuse under ``--trainer.deterministic true``, found on a CPU."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from deepfake_mtl.detector import Detector
from deepfake_mtl.models import S3D, Encoder, MViTv2S, R2Plus1D18, pooling
from deepfake_mtl.models.pooling import DeterministicMaxPool3d
from deepfake_mtl.tasks import (
    BinaryContrast,
    BinaryCrossEntropy,
    ManipulationContrast,
    ManipulationCrossEntropy,
    MoCoSettings,
    Task,
)
from tests.models.pools import assert_same_pool
from tests.worlds import TinyEncoder, loader, trainer

REFUSED = {
    *("avg_pool3d_backward", "_adaptive_avg_pool2d_backward", "_adaptive_avg_pool3d_backward"),
    *("adaptive_max_pool2d_backward", "adaptive_max_pool3d_backward"),
    *("fractional_max_pool2d_backward", "fractional_max_pool3d_backward"),
    *("max_pool3d_with_indices_backward", "max_unpool2d", "max_unpool3d"),
    *("upsample_linear1d_backward", "upsample_bilinear2d_backward", "upsample_bicubic2d_backward"),
    *("upsample_trilinear3d_backward", "grid_sampler_2d_backward", "grid_sampler_3d_backward"),
    *("reflection_pad1d_backward", "reflection_pad2d_backward", "reflection_pad3d_backward"),
    *("nll_loss2d_forward", "nll_loss2d_backward", "_ctc_loss_backward", "_embedding_bag_backward"),
    *("put", "put_", "histc", "median", "kthvalue", "scatter_reduce", "scatter_reduce_"),
    *("index_reduce", "index_reduce_"),
}
"""Operations that raise on CUDA in PyTorch 2.11 or later: those of the second list in the
documentation of `torch.use_deterministic_algorithms`, by the names of their kernels."""


class Operations(TorchDispatchMode):
    """Notes the operations that a GPU would refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[str] = set()
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func.overloadpacket.__name__
        weighted = name == "bincount" and len(args) > 1 and args[1] is not None
        self.count += 1
        if name in REFUSED or weighted:
            self.refused.add(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("binary", [BinaryCrossEntropy, BinaryContrast])
@pytest.mark.parametrize("manipulation", [None, ManipulationCrossEntropy, ManipulationContrast])
def test_training_and_evaluation_use_nothing_that_is_refused(
    binary: type[Task], manipulation: type[Task] | None, tmp_path: Path
) -> None:
    tasks = [kind(hidden_features=8) for kind in (binary, manipulation) if kind]
    moco = MoCoSettings(dim=5, queue_size=12, neighbours=3)
    model = Detector(TinyEncoder(norm=True), tasks, held_out="none", moco=moco)
    run, batches = trainer(tmp_path), loader([0, 1, 2, 3, 4, 0], views=2)
    with Operations() as operations:
        run.fit(model, batches, batches)
        run.test(model, batches, verbose=False)
    assert operations.count > 1000
    assert operations.refused == set()


@pytest.mark.parametrize(
    ("make", "left"),
    [
        (S3D, set()),
        pytest.param(R2Plus1D18, set(), marks=pytest.mark.slow),
        # torchvision interpolates its positions for all clips but those of 16 x 224 x 224.
        pytest.param(MViTv2S, {"upsample_linear1d_backward"}, marks=pytest.mark.slow),
    ],
)
def test_what_of_an_encoder_is_refused(
    make: type[Encoder], left: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = torch.zeros(2, 3, 8, 32, 32)
    encoder = make()
    for refuses in (False, True):
        monkeypatch.setattr(pooling, "_is_refused", lambda _, refuses=refuses: refuses)
        with Operations() as operations:
            encoder(clip).sum().backward()
        pools = {"max_pool3d_with_indices_backward"} & operations.refused
        assert operations.refused - pools == left
        assert bool(pools) == (make is not R2Plus1D18 and not refuses)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize(
    "pool",
    [nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)), nn.MaxPool3d(3, 1, 1), nn.MaxPool3d(2)],
)
def test_a_deterministic_pool_is_the_pool(
    pool: nn.MaxPool3d, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ties: of equal values the same one gets the gradient."""
    monkeypatch.setattr(pooling, "_is_refused", lambda _: True)
    generator = torch.Generator().manual_seed(0)
    clip = torch.randint(3, (2, 3, 4, 7, 6), generator=generator).double()
    assert_same_pool(pool, DeterministicMaxPool3d, clip, layout)
