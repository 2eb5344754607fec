"""What a training step asks of a GPU, found without one: on tensors without content.

The backward pass needs a GPU: it does not run on them.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from deepfake_mtl.detector import Detector
from deepfake_mtl.losses import contrastive
from deepfake_mtl.models import S3D, Encoder
from deepfake_mtl.tasks import (
    BinaryContrast,
    BinaryCrossEntropy,
    ManipulationContrast,
    ManipulationCrossEntropy,
    MoCoSettings,
    Task,
)
from deepfake_mtl.tasks.key_encoders import KeyEncoders

pytestmark = pytest.mark.skipif(
    not torch.backends.cuda.is_built(), reason="PyTorch is built without CUDA"
)
BATCH, QUEUE = 7, 11
"""Numbers that no layer has, by which activations and similarities are known."""

CHOICES = [
    (binary, manipulation, symmetric)
    for binary in (BinaryCrossEntropy, BinaryContrast)
    for manipulation in (None, ManipulationCrossEntropy, ManipulationContrast)
    for symmetric in (False, True)
    if not symmetric or BinaryContrast is binary or ManipulationContrast is manipulation
]


class FirstLayers(S3D):
    """The first layers of an S3D: all kinds that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.features = self.features[:6]
        self.feature_dim = 256


class Step(Detector):
    """A detector without a trainer, whose batches are known to be right."""

    def check_batch(self, batch: Mapping[str, Tensor]) -> None:
        """As with a datamodule."""

    def log(self, *_: Any, **__: Any) -> None:
        """As without a logger."""


class Faults(TorchDispatchMode):
    """Notes what a GPU would be slow or wrong at."""

    def __init__(self, precision: torch.dtype) -> None:
        super().__init__()
        self.precision = precision
        self.found: list[str] = []
        self.convolutions = 0
        self.similarities = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        outputs = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        given, made = _tensors((args, kwargs)), _tensors(outputs)
        if name != "device" and any(each.device.type != "cuda" for each in given + made):
            self.found.append(f"{name}: not on the device")
        if name == "convolution":
            self.convolutions += 1
            self._convolution(args)
        elif name == "mm" and made[0].shape[-1] == QUEUE:
            self.similarities += 1
            if {each.dtype for each in given} != {torch.float32}:
                self.found.append("similarities in 16 bits")
        elif name == "_log_softmax" and made[0].dtype != torch.float32:
            self.found.append("likelihoods in 16 bits")
        for each in made:
            if each.dim() == 5 and each.shape[0] == BATCH and each.shape[1] > 3:
                self._activations(name, each)
        return outputs

    def _convolution(self, args: tuple[Any, ...]) -> None:
        clip, weight, _, *options = args
        if {clip.dtype, weight.dtype} != {self.precision}:
            self.found.append("convolution in float32")
        if not all(_channels_last(each) for each in (clip, weight)):
            self.found.append("convolution of channels first")
        chosen = torch._C._select_conv_backend(clip, weight, None, *options, None)
        if chosen != torch._C._ConvBackend.Cudnn:
            self.found.append(f"convolution by {chosen}")

    def _activations(self, name: str, activations: Tensor) -> None:
        if name in ("clone", "copy_", "_to_copy"):
            self.found.append(f"{name}: activations are copied")
        if activations.is_floating_point() and activations.dtype != self.precision:
            self.found.append(f"{name}: activations in float32")
        if not _channels_last(activations):
            self.found.append(f"{name}: channels first")


def _tensors(tree: object) -> list[Tensor]:
    return [each for each in tree_leaves(tree) if isinstance(each, Tensor)]


def _channels_last(tensor: Tensor) -> bool:
    return tensor.is_contiguous(memory_format=torch.channels_last_3d)


def _move(module: nn.Module) -> None:
    """Put a network on the device: what is called so, in the same layouts."""

    def moved(tensor: Tensor) -> Tensor:
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cuda")

    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = nn.Parameter(
                    moved(parameter), requires_grad=parameter.requires_grad
                )
        part._buffers.update({n: moved(b) for n, b in part._buffers.items() if b is not None})


@contextmanager
def cudnn_in_16_bits() -> Iterator[None]:
    """Ask for float16 where bfloat16 is meant, which PyTorch asks the GPU itself about."""
    choose = torch._C._select_conv_backend

    def half(value: Any) -> Any:
        is_meant = isinstance(value, Tensor) and value.dtype == torch.bfloat16
        return value.half() if is_meant else value

    def chosen(*given: Any, **named: Any) -> Any:  # PyTorch 2.11 itself asks by names
        named = {name: half(value) for name, value in named.items()}
        return choose(*map(half, given), **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch._C, "_select_conv_backend", chosen)
        yield


@contextmanager
def autocast(precision: torch.dtype) -> Iterator[None]:
    """As `torch.autocast`, which turns itself off where there is no GPU."""
    before = torch.get_autocast_dtype("cuda")
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", precision)
    try:
        yield
    finally:
        torch.set_autocast_enabled("cuda", False)
        torch.set_autocast_dtype("cuda", before)
        torch.clear_autocast_cache()


def step(
    encoder: Encoder,
    tasks: list[Task],
    precision: torch.dtype = torch.bfloat16,
    **moco: Any,
) -> Faults:
    """Make a step but for the backward pass, and a prediction."""
    settings = MoCoSettings(dim=5, queue_size=QUEUE, neighbours=3, **moco)
    model = Step(encoder, tasks, held_out="none", moco=settings)
    faults = Faults(precision)
    with FakeTensorMode(), cudnn_in_16_bits():
        _move(model)
        clip = torch.empty(BATCH, 3, 32, 128, 128, dtype=torch.uint8, device="cuda")
        numbers = torch.empty(BATCH, dtype=torch.int64, device="cuda")
        batch = {"clip": clip, "second_clip": clip, "is_fake": numbers, "manipulation": numbers}
        with faults:
            with autocast(precision):
                loss = model.training_step(batch, 0)
            model._update_keys()
            if not model.contrasts:  # a vote leaves empty slots out, whose number is not known
                with autocast(precision), torch.no_grad():
                    outputs = model.eval()(clip)
                assert {each.dtype for each in outputs.values()} == {torch.float32}
    assert loss is not None
    assert loss.dtype == torch.float32
    assert faults.convolutions
    assert bool(faults.similarities) == model.contrasts
    return faults


def made(binary: type[Task], manipulation: type[Task] | None) -> list[Task]:
    return [kind(hidden_features=8) for kind in (binary, manipulation) if kind]


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("binary", "manipulation", "symmetric"), [CHOICES[1], CHOICES[-1]])
def test_a_step_is_made_for_a_gpu(
    binary: type[Task], manipulation: type[Task] | None, symmetric: bool, precision: torch.dtype
) -> None:
    faults = step(FirstLayers(), made(binary, manipulation), precision, symmetric=symmetric)
    assert sorted(set(faults.found)) == []


@pytest.mark.slow
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("binary", "manipulation", "symmetric"), CHOICES)
def test_every_step_of_an_s3d_is_made_for_a_gpu(
    binary: type[Task], manipulation: type[Task] | None, symmetric: bool, precision: torch.dtype
) -> None:
    faults = step(S3D(), made(binary, manipulation), precision, symmetric=symmetric)
    assert sorted(set(faults.found)) == []


def test_several_gpus_wait_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ranks are known to be equal; an exchange of their sizes would be read by the host."""
    monkeypatch.setattr(KeyEncoders, "equal_ranks", True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (8, 0))
    dist.init_process_group("fake", rank=0, world_size=2, store=FakeStore())
    try:
        faults = step(FirstLayers(), made(*CHOICES[-1][:2]), batch_norm_remedy="shuffle")
    finally:
        dist.destroy_process_group()
    # The order of the clips is drawn on the host, and goes to the device.
    assert set(faults.found) == {"randperm: not on the device", "_to_copy: not on the device"}
    assert faults.found.count("_to_copy: not on the device") == 1


class Planted(FirstLayers):
    """Layers with a fault."""

    def __init__(self, fault: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.fault = fault

    def encode(self, clip: Tensor) -> Tensor:
        activations = self.features[0](clip.contiguous(memory_format=self._memory_format))
        activations = self.fault(self.features[1], activations)
        return self.features[2:](activations).mean(dim=(2, 3, 4))


def _read(layer: nn.Module, activations: Tensor) -> Tensor:
    activations.mean().cpu()
    return layer(activations)


def _in_float32(_: nn.Module, activations: Tensor) -> Tensor:
    weight = torch.empty(64, 64, 1, 1, 1, device="cuda")
    torch.set_autocast_enabled("cuda", False)
    outputs = nn.functional.conv3d(activations.float(), weight)
    torch.set_autocast_enabled("cuda", True)
    return outputs.to(activations.dtype)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (_read, "_to_copy: not on the device"),
        (_in_float32, "convolution in float32"),
        (lambda layer, x: layer(x.clone()), "clone: activations are copied"),
        (lambda layer, x: layer(x.contiguous()), "convolution of channels first"),
    ],
)
def test_what_is_not_made_for_a_gpu_is_noticed(
    fault: Callable[[nn.Module, Tensor], Tensor], expected: str
) -> None:
    assert expected in step(Planted(fault), [BinaryCrossEntropy()]).found


def test_similarities_in_16_bits_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contrastive, "_unit", lambda vectors: vectors.half())
    assert "similarities in 16 bits" in step(FirstLayers(), [BinaryContrast()]).found
