"""Training steps on fake CUDA tensors: shapes, types and layouts without a GPU.

PyTorch's fake tensors know no layout of three-dimensional convolutions and pools: here the outputs
of those have that of their input, as in the kernels of cuDNN and CUDA. Backward passes cannot run.
"""

import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from deepfake_mtl.detector import Detector
from deepfake_mtl.losses import contrastive
from deepfake_mtl.models import S3D
from deepfake_mtl.tasks import (
    BinaryContrast,
    BinaryCrossEntropy,
    ManipulationContrast,
    ManipulationCrossEntropy,
    MoCoSettings,
    Task,
)

pytestmark = pytest.mark.skipif(
    not torch.backends.cuda.is_built(), reason="this PyTorch was built without CUDA"
)

LAYOUT = torch.channels_last_3d
KEEP_LAYOUT = {"convolution", "native_batch_norm", "max_pool3d_with_indices"}
DIM, QUEUE, BATCH = 16, 32, 4


class Watch(TorchDispatchMode):
    """Notes what would be slow or wrong on a GPU."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.count: Counter[str] = Counter()
        self.faults: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func.overloadpacket.__name__
        self.count[name] += 1
        if name == "convolution":
            self._check_convolution(*args)
        if name in ("clone", "_to_copy") and args[0].dim() == 5:
            self._check_copy(name, args[0], kwargs or {})
        if name in ("mm", "bmm", "addmm"):
            self._check_product(*args[-2:])
        outputs = func(*args, **(kwargs or {}))
        if name not in KEEP_LAYOUT or not args[0].is_contiguous(memory_format=LAYOUT):
            return outputs
        if isinstance(outputs, Tensor):
            return outputs.contiguous(memory_format=LAYOUT)
        return (outputs[0].contiguous(memory_format=LAYOUT), *outputs[1:])

    def _check_convolution(self, inputs: Tensor, weight: Tensor, *options: Any) -> None:
        if {inputs.dtype, weight.dtype} != {self.dtype}:
            self.faults.append(f"convolution of {inputs.dtype} by {weight.dtype}")
        if not all(each.is_contiguous(memory_format=LAYOUT) for each in (inputs, weight)):
            self.faults.append(f"convolution of {tuple(inputs.shape)} in another layout")
        if self.dtype != torch.float16:  # whether cuDNN takes bfloat16, a real GPU is asked
            return
        bias, stride, padding, dilation, transposed, output_padding, groups = options
        backend = torch._C._select_conv_backend(
            inputs,
            weight,
            bias,
            stride,
            padding,
            dilation,
            transposed,
            output_padding,
            groups,
            None,
        )
        if backend != torch._C._ConvBackend.Cudnn:
            self.faults.append(f"convolution by {backend}")

    def _check_copy(self, name: str, source: Tensor, options: dict[str, Any]) -> None:
        pixels = source.shape[1] == 3
        if name == "clone" and not pixels:  # pixels are brought into the layout once
            self.faults.append(f"a copy of {tuple(source.shape)}")
        kind = options.get("device")
        if kind is not None and torch.device(kind).type != "cuda":
            self.faults.append(f"a copy to {kind}")

    def _check_product(self, first: Tensor, second: Tensor) -> None:
        """Similarities are products of queries and keys."""
        if first.shape[-1] == DIM and QUEUE in second.shape and first.dtype != torch.float32:
            self.faults.append(f"similarities in {first.dtype}")


@contextmanager
def fake_cuda(dtype: torch.dtype, *modules: nn.Module) -> Iterator[None]:
    """Have modules on a GPU that is not there, under autocast."""
    with FakeTensorMode():
        for module in (each for root in modules for each in root.modules()):
            for tensors in (module._parameters, module._buffers):
                for name, tensor in list(tensors.items()):
                    if tensor is not None:
                        tensors[name] = on_cuda(tensor)
        # torch.autocast("cuda") turns itself off where there is no GPU.
        torch.set_autocast_enabled("cuda", True)
        torch.set_autocast_dtype("cuda", dtype)
        try:
            yield
        finally:
            torch.set_autocast_enabled("cuda", False)
            torch.set_autocast_dtype("cuda", torch.float16)
            torch.clear_autocast_cache()


def on_cuda(tensor: Tensor) -> Tensor:
    fake = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cuda")
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(fake, requires_grad=tensor.requires_grad)
    return fake


def batch() -> dict[str, Tensor]:
    clip = torch.empty(BATCH, 3, 8, 32, 32, dtype=torch.uint8, device="cuda")
    label = torch.empty(BATCH, dtype=torch.int64, device="cuda")
    return {"clip": clip, "second_clip": clip, "is_fake": label, "manipulation": label}


def step(
    dtype: torch.dtype, *tasks: type[Task], symmetric: bool = False, encoder: S3D | None = None
) -> tuple[Watch, Tensor]:
    moco = MoCoSettings(dim=DIM, queue_size=QUEUE, neighbours=3, symmetric=symmetric)
    model = Detector(encoder or S3D(), [task() for task in tasks], moco=moco, held_out="none")
    model.log = lambda *_, **__: None  # type: ignore[method-assign]
    model.train()
    with warnings.catch_warnings(), fake_cuda(dtype, model), Watch(dtype) as watch:
        warnings.simplefilter("ignore")
        loss = model.training_step(batch(), 0)
        model._update_keys()
    assert isinstance(loss, Tensor)
    return watch, loss


@pytest.mark.parametrize(
    "dtype", [pytest.param(torch.bfloat16, marks=pytest.mark.slow), torch.float16]
)
@pytest.mark.parametrize(
    ("tasks", "symmetric"),
    [
        pytest.param((BinaryCrossEntropy,), False, marks=pytest.mark.slow),
        pytest.param((BinaryContrast,), False, marks=pytest.mark.slow),
        pytest.param((BinaryCrossEntropy, ManipulationCrossEntropy), False, marks=pytest.mark.slow),
        pytest.param((BinaryCrossEntropy, ManipulationContrast), True, marks=pytest.mark.slow),
        pytest.param((BinaryContrast, ManipulationCrossEntropy), False, marks=pytest.mark.slow),
        ((BinaryContrast, ManipulationContrast), True),
    ],
)
def test_a_step_is_what_a_gpu_is_fast_at(
    tasks: tuple[type[Task], ...], symmetric: bool, dtype: torch.dtype
) -> None:
    watch, loss = step(dtype, *tasks, symmetric=symmetric)
    assert watch.faults == []
    assert (loss.device.type, loss.dtype) == ("cuda", torch.float32)
    runs = 1 if not any("Contrast" in task.__name__ for task in tasks) else 4 if symmetric else 2
    assert watch.count["convolution"] == 77 * runs
    assert not watch.count.keys() & {"_local_scalar_dense", "nonzero"}


def test_a_tensor_on_the_cpu_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    normalize = S3D.normalize
    monkeypatch.setattr(S3D, "normalize", lambda self, clip: normalize(self, clip.cpu()))
    with pytest.raises(RuntimeError, match=r"device|Device"):
        step(torch.bfloat16, BinaryCrossEntropy)


def test_a_convolution_in_float32_is_noticed() -> None:
    class Exact(nn.Module):
        def __init__(self, layer: nn.Module) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, inputs: Tensor) -> Tensor:
            torch.set_autocast_enabled("cuda", False)
            outputs = self.layer(inputs.float())
            torch.set_autocast_enabled("cuda", True)
            return outputs

    encoder = S3D()
    encoder.features[2] = Exact(encoder.features[2])
    watch, _ = step(torch.bfloat16, BinaryCrossEntropy, encoder=encoder)
    assert set(watch.faults) == {"convolution of torch.float32 by torch.float32"}


def test_a_copy_and_another_layout_are_noticed() -> None:
    encoder = S3D()
    encoder.features[2].register_forward_pre_hook(lambda _, inputs: inputs[0].contiguous())
    watch, _ = step(torch.bfloat16, BinaryCrossEntropy, encoder=encoder)
    assert any(fault.startswith("a copy of") for fault in watch.faults)
    assert any("another layout" in fault for fault in watch.faults)


def test_similarities_in_16_bits_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    unit = contrastive._unit
    monkeypatch.setattr(contrastive, "_unit", lambda vectors: unit(vectors).bfloat16())
    watch, _ = step(torch.bfloat16, BinaryContrast)
    assert set(watch.faults) == {"similarities in torch.bfloat16"}
