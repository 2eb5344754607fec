"""The parts of `gpu.py`: each takes the setting and returns figures that JSON can hold."""

import math
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torchvision
from step import TorchvisionS3D, timed
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from deepfake_mtl.models import S3D, MomentumEncoder
from deepfake_mtl.models.flat import Operators, use_flat_operators
from deepfake_mtl.network import MultiTaskNetwork
from deepfake_mtl.tasks import (
    BinaryContrast,
    BinaryCrossEntropy,
    Features,
    ManipulationContrast,
    ManipulationCrossEntropy,
    MoCoSettings,
    Task,
)

Figures = dict[str, Any]
FLOAT32, BFLOAT16 = torch.float32, torch.bfloat16
LAST = torch.channels_last_3d
CONFIGURATIONS: tuple[tuple[type[Task], ...], ...] = tuple(
    tuple(each for each in pair if each is not None)
    for pair in product(
        (BinaryCrossEntropy, BinaryContrast),
        (None, ManipulationCrossEntropy, ManipulationContrast),
    )
)


@dataclass
class Clock:
    """When the time is over, by `time.monotonic`."""

    end: float

    @property
    def over(self) -> bool:
        """Whether it is."""
        return time.monotonic() >= self.end


@dataclass
class Shape:
    """Frames and pixels of clips, sizes of batches, steps of a training, rounds of a timing."""

    frames: int
    size: int
    batches: tuple[int, ...]
    steps: int
    rounds: int


@dataclass
class Setting:
    """What all parts have in common."""

    device: torch.device
    shape: Shape
    clock: Clock
    saved: Path

    def clips(self, count: int) -> Tensor:
        """Return random clips on the device."""
        size = (count, 3, self.shape.frames, self.shape.size, self.shape.size)
        return torch.randint(256, size, dtype=torch.uint8).to(self.device)

    def autocast(self, precision: torch.dtype) -> AbstractContextManager[object]:
        """Compute in this precision."""
        if precision == FLOAT32:
            return nullcontext()
        return torch.autocast(self.device.type, precision)

    def seconds(self, work: Callable[[], object]) -> float:
        """Return the median time of some work, after it was done twice."""
        work()
        work()
        return median(timed(work, self.device) for _ in range(self.shape.rounds))


def environment(setting: Setting) -> Figures:
    """Versions, and the device."""
    cuda = setting.device.type == "cuda"
    return {
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name() if cuda else platform.processor() or "CPU",
        "gib": torch.cuda.get_device_properties(0).total_memory / 2**30 if cuda else None,
        "tf32": torch.backends.cudnn.allow_tf32,
    }


def rates(setting: Setting) -> Figures:
    """Bytes a second of a copy, and operations a second of a large product."""
    side = 8192 if setting.device.type == "cuda" else 512
    found = {}
    for dtype in (FLOAT32, BFLOAT16):
        left, right = (torch.randn(side, side, device=setting.device, dtype=dtype) for _ in "ab")
        taken = setting.seconds(lambda left=left, right=right: torch.mm(left, right))
        found[f"{str(dtype).removeprefix('torch.')} TFLOP/s"] = 2 * side**3 / taken / 1e12
    source = torch.zeros(side * side * 4, device=setting.device)
    target = torch.empty_like(source)
    taken = setting.seconds(lambda: target.copy_(source))
    return {**found, "copy GB/s": 2 * source.nbytes / taken / 1e9}


def our_step(
    setting: Setting,
    batch: int,
    *,
    operators: Operators = "volume",
    fused: bool = False,
    contrast: bool = False,
    mode: str | None = None,
) -> Callable[[], None]:
    """Return a training step in bfloat16."""
    encoder = S3D(operators=operators).to(setting.device)
    keys = MomentumEncoder(encoder) if contrast else None
    task: Task = BinaryContrast() if contrast else BinaryCrossEntropy()
    moco = MoCoSettings()
    task.build(encoder.feature_dim, moco)
    task.to(setting.device)
    trained = [*encoder.parameters(), *(p for p in task.parameters() if p.requires_grad)]
    optimizer = torch.optim.Adam(trained, fused=fused or None)
    if mode is not None:
        encoder.compile(mode=mode)
    clip, second, labels = setting.clips(batch), setting.clips(batch), _labels(setting, batch)

    def step() -> None:
        optimizer.zero_grad()
        with setting.autocast(BFLOAT16):
            key = None if keys is None else keys(second)
            learnt = task.learn(Features(encoder(clip), second_key=key), labels)
        loss = learnt.loss if learnt.probe_loss is None else learnt.loss + learnt.probe_loss
        loss.backward()
        optimizer.step()
        if keys is not None and isinstance(task, BinaryContrast):
            keys.update(encoder, moco.momentum)
            task.update_keys()

    return step


def their_step(
    setting: Setting, batch: int, precision: torch.dtype, *, compiles: bool = False
) -> Callable[[], None]:
    """Return a training step of torchvision's network; contiguous in float32 alone."""
    model = TorchvisionS3D(LAST if precision == BFLOAT16 else torch.contiguous_format)
    model.to(setting.device)
    optimizer = torch.optim.Adam(model.parameters())
    clip, labels = setting.clips(batch), _labels(setting, batch)
    network = torch.compile(model) if compiles else model

    def step() -> None:
        optimizer.zero_grad()
        with setting.autocast(precision):
            loss = functional.cross_entropy(network(clip), labels)
        loss.backward()
        optimizer.step()

    return step


def steps(setting: Setting) -> Figures:
    """Time steps with each switch, beside torchvision's."""
    makers: dict[str, Callable[[int], Callable[[], None]]] = {
        "plain": lambda n: our_step(setting, n),
        "operators flat_norms": lambda n: our_step(setting, n, operators="flat_norms"),
        "operators flat": lambda n: our_step(setting, n, operators="flat"),
        "operators flat_padded": lambda n: our_step(setting, n, operators="flat_padded"),
        "fused Adam": lambda n: our_step(setting, n, fused=True),
        "cuDNN autotuning": lambda n: our_step(setting, n),
        "MoCo": lambda n: our_step(setting, n, contrast=True),
        "torchvision, float32": lambda n: their_step(setting, n, FLOAT32),
        "torchvision, bfloat16, channels last": lambda n: their_step(setting, n, BFLOAT16),
    }
    return _timed_steps(setting, makers, setting.shape.batches)


def steps_compiled(setting: Setting) -> Figures:
    """Compiled steps, at the first size of batches."""
    makers: dict[str, Callable[[int], Callable[[], None]]] = {
        "compile": lambda n: our_step(setting, n, mode="default"),
        "compile, operators flat": lambda n: our_step(setting, n, mode="default", operators="flat"),
        "torchvision, compiled": lambda n: their_step(setting, n, BFLOAT16, compiles=True),
        "compile with CUDA graphs": lambda n: our_step(setting, n, mode="reduce-overhead"),
    }
    return _timed_steps(setting, makers, setting.shape.batches[:1])


def _timed_steps(
    setting: Setting,
    makers: Mapping[str, Callable[[int], Callable[[], None]]],
    batches: tuple[int, ...],
) -> Figures:
    found: Figures = {}
    for batch, (name, make) in product(batches, makers.items()):
        if setting.clock.over:
            break
        torch.backends.cudnn.benchmark = name == "cuDNN autotuning"
        try:
            step = make(batch)
            figures: Figures = {"seconds": setting.seconds(step)}
            if setting.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
                before = torch.cuda.memory_allocated()
                step()
                figures["gib"] = (torch.cuda.max_memory_allocated() - before) / 2**30
        except Exception as error:  # noqa: BLE001 (such as too little memory: the others go on)
            figures = {"error": f"{type(error).__name__}: {error}"}
        finally:
            torch.backends.cudnn.benchmark = False
        found.setdefault(str(batch), {})[name] = figures
    return found


def profile(setting: Setting) -> Figures:
    """Operations of a step, and the kernels that take most of its time."""
    batch = setting.shape.batches[0]
    step = our_step(setting, batch)
    taken = setting.seconds(step)
    with FlopCounterMode(display=False) as counter:
        step()
    with torch.profiler.profile() as seen:
        step()
    kind = "device" if setting.device.type == "cuda" else "cpu"
    events = seen.key_averages()
    slowest = sorted(events, key=lambda e: -getattr(e, f"self_{kind}_time_total"))[:15]
    return {
        "GFLOP a clip": counter.get_total_flops() / batch / 1e9,
        "TFLOP/s": counter.get_total_flops() / taken / 1e12,
        "GB/s on paper": [batch * gigabytes / taken for gigabytes in (1.2, 1.4)],
        "microseconds": {e.key: getattr(e, f"self_{kind}_time_total") for e in slowest},
    }


def layers(setting: Setting) -> Figures:
    """Layers of an early stage on five dimensions and on four, forward and backward in bfloat16."""
    kinds: dict[str, Callable[[], nn.Module]] = {
        "over space": lambda: nn.Conv3d(64, 64, (1, 3, 3), padding=(0, 1, 1), bias=False),
        "over time": lambda: nn.Conv3d(64, 64, (3, 1, 1), padding=(1, 0, 0), bias=False),
        "BatchNorm": lambda: nn.BatchNorm3d(64),
        "pool over space": lambda: nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        "pool": lambda: nn.MaxPool3d(3, 1, 1),
    }
    size = (setting.shape.batches[0], 64, setting.shape.frames // 2, *[setting.shape.size // 4] * 2)
    found: Figures = {}
    for (name, make), operators in product(kinds.items(), ("volume", "flat")):
        layer = nn.Sequential(make()).to(setting.device, memory_format=LAST)
        use_flat_operators(layer, operators)
        inputs = torch.randn(size, device=setting.device, dtype=BFLOAT16)
        inputs = inputs.contiguous(memory_format=LAST).requires_grad_()

        def both(layer: nn.Module = layer, inputs: Tensor = inputs) -> None:
            with setting.autocast(BFLOAT16):
                outputs = layer(inputs)
            outputs.backward(torch.ones_like(outputs))

        found.setdefault(name, {})[operators] = setting.seconds(both)
    return found


def configurations(setting: Setting) -> Figures:
    """Whether losses and weights stay finite, by configuration and precision."""
    precisions = ["32-true", "bf16-mixed"]
    precisions += ["16-mixed"] if setting.device.type == "cuda" else []
    found: Figures = {}
    for tasks, precision in product(CONFIGURATIONS, precisions):
        if setting.clock.over:
            break
        name = f"{' + '.join(each.__name__ for each in tasks)}, {precision}"
        model = _detector(tasks)
        run = _trainer(setting, precision=precision, max_steps=setting.shape.steps)
        run.fit(model, _loader(setting, setting.shape.steps))
        loss = float(run.callback_metrics["train/loss"])
        finite = math.isfinite(loss) and all(p.isfinite().all() for p in model.parameters())
        found[name] = {"finite": bool(finite), "loss": loss}
    return found


def float64(setting: Setting) -> Figures:
    """Greatest difference from the CPU in float64, of features and of gradients by their norm."""
    encoder = S3D().double()
    clip = setting.clips(2)[:, :, :8, :64, :64].cpu().double() / 255
    ends = []
    for device in ("cpu", setting.device):
        copy = deepcopy(encoder).to(device)
        features = copy(clip.to(device))
        gradients = torch.autograd.grad(features.square().sum(), list(copy.parameters()))
        ends.append((features.cpu(), [each.cpu() for each in gradients]))
    (features, gradients), (others, theirs) = ends
    pairs = zip(gradients, theirs, strict=True)
    worst = max(float((a - b).norm() / a.norm().clamp_min(1e-12)) for a, b in pairs)
    return {"features": float((features - others).abs().max()), "gradients": worst}


def infinite_gradient(setting: Setting) -> Figures:
    """Whether an infinite gradient under a gradient scaler leaves weights alone, fused and not."""
    found = {}
    for fused in (False, True):
        layer = nn.Linear(4, 4).to(setting.device)
        before = layer.weight.detach().clone()
        optimizer = torch.optim.Adam(layer.parameters(), fused=fused)
        scaler = torch.amp.GradScaler(setting.device.type, init_scale=2.0**12)
        loss = layer(torch.ones(2, 4, device=setting.device)).sum() * float("inf")
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        found["fused" if fused else "plain"] = torch.equal(layer.weight, before)
    return found


def resume(setting: Setting) -> Figures:
    """Compare the bits of two trainings, and of one that was interrupted after an epoch."""
    ends: list[dict[str, Tensor]] = []
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "kept.ckpt"
        batches = _loader(setting, 2)
        for epochs, start in ((2, None), (2, None), (1, None), (2, kept)):
            run = _trainer(setting, deterministic=True, max_epochs=epochs)
            model = _detector((BinaryContrast,), schedule="constant")
            run.fit(model, batches, ckpt_path=start)
            if epochs == 1:
                run.save_checkpoint(kept)
            ends.append({k: v.cpu() for k, v in model.state_dict().items()})
    torch.use_deterministic_algorithms(mode=False)

    def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
        return all(torch.equal(one[name], other[name]) for name in one)

    return {"same twice": same(ends[0], ends[1]), "same resumed": same(ends[0], ends[3])}


def tf32(setting: Setting) -> Figures:
    """Compare scores with TF32 and without it, and their time."""
    network = MultiTaskNetwork(S3D(), [BinaryCrossEntropy()]).to(setting.device).eval()
    clip, found, scores = setting.clips(setting.shape.batches[0]), {}, []
    before = torch.backends.cudnn.allow_tf32
    try:
        for allowed in (False, True):
            torch.backends.cudnn.allow_tf32 = allowed
            with torch.inference_mode():
                found[f"seconds, {allowed}"] = setting.seconds(lambda: network(clip))
                scores.append(network(clip)["binary"])
    finally:
        torch.backends.cudnn.allow_tf32 = before
    return {**found, "greatest difference": float((scores[0] - scores[1]).abs().max())}


def saved(setting: Setting) -> Figures:
    """Save weights and scores, and compare with the scores of the same weights on the CPU."""
    network = MultiTaskNetwork(S3D(), [BinaryCrossEntropy()]).to(setting.device).eval()
    clip = setting.clips(2)
    with torch.inference_mode():
        scores = network(clip)["binary"].cpu()
    content = {"weights": network.weights(), "clip": clip.cpu(), "scores": scores}
    torch.save(content, setting.saved)
    there = torch.load(setting.saved, map_location="cpu", weights_only=True)
    other = MultiTaskNetwork(S3D(), [BinaryCrossEntropy()]).eval()
    other.load(there["weights"])
    with torch.inference_mode():
        difference = other(there["clip"])["binary"] - there["scores"]
    return {"greatest difference": float(difference.abs().max()), "file": str(setting.saved)}


def one_rank(setting: Setting) -> Figures:
    """Two steps under DDP of one rank, by NCCL on a GPU."""
    from pytorch_lightning.strategies import DDPStrategy  # noqa: PLC0415

    backend = "nccl" if setting.device.type == "cuda" else "gloo"
    model = _detector((BinaryContrast, ManipulationContrast))
    run = _trainer(setting, strategy=DDPStrategy(process_group_backend=backend), max_steps=2)
    run.fit(model, _loader(setting, 2))
    torch.distributed.destroy_process_group()
    return {"backend": backend, "loss": float(run.callback_metrics["train/loss"])}


def pixels(setting: Setting) -> Figures:
    """Normalise and rearrange pixels, in either order."""
    encoder, clip = S3D().to(setting.device), setting.clips(setting.shape.batches[0])

    def after() -> Tensor:
        return encoder.normalize(clip).contiguous(memory_format=LAST)

    def before() -> Tensor:
        return encoder.normalize(clip.contiguous(memory_format=LAST))

    return {
        "same bits": torch.equal(after(), before()),
        "rearranged after": setting.seconds(after),
        "rearranged before": setting.seconds(before),
    }


def _labels(setting: Setting, count: int) -> Tensor:
    return torch.arange(count, device=setting.device) % 2


def _detector(tasks: tuple[type[Task], ...], **options: Any) -> Any:  # noqa: ANN401
    from deepfake_mtl.detector import Detector  # noqa: PLC0415 (needs Lightning)

    torch.manual_seed(0)
    return Detector(
        S3D(),
        [each() for each in tasks],
        held_out="none",
        moco=MoCoSettings(queue_size=64),
        **options,
    )


def _trainer(setting: Setting, **options: Any) -> Any:  # noqa: ANN401
    import pytorch_lightning as pl  # noqa: PLC0415

    return pl.Trainer(
        accelerator="gpu" if setting.device.type == "cuda" else "cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


def _loader(setting: Setting, count: int) -> DataLoader[dict[str, Tensor]]:
    batch = min(8, setting.shape.batches[0])
    shape = Shape(setting.shape.frames, setting.shape.size, (batch,), count, 1)
    clips = Setting(torch.device("cpu"), shape, setting.clock, setting.saved).clips(2 * batch)

    def samples() -> Iterator[dict[str, Tensor | int]]:
        for index in range(batch * count):
            label = index % 5
            yield {
                "clip": clips[index % len(clips)],
                "second_clip": clips[(index + 1) % len(clips)],
                "is_fake": int(label > 0),
                "manipulation": label,
                "video": index,
                "clip_index": 0,
            }

    data: Any = list(samples())
    return DataLoader(data, batch_size=batch)


PARTS: dict[str, Callable[[Setting], Figures]] = {
    "environment": environment,
    "rates": rates,
    "configurations": configurations,
    "steps": steps,
    "profile": profile,
    "layers": layers,
    "float64": float64,
    "infinite gradient": infinite_gradient,
    "resume": resume,
    "tf32": tf32,
    "saved": saved,
    "one rank": one_rank,
    "pixels": pixels,
    "steps compiled": steps_compiled,
}
