"""A training step and the inference of this library's S3D beside torchvision's.

    python benchmarks/step.py [--device cpu] [--batch 2] [--rounds 5] [--compile] [--profile]

All start from uint8 clips that lie on the device, and end with the optimizer's step or with the
scores. They take turns round by round, so that whatever else the machine does meets all of them
alike; a figure is the median over the rounds. On a GPU the memory is the peak of a step beyond what
lay there before it.
"""

import argparse
import platform
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from statistics import median

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.video import s3d

from deepfake_mtl.models import S3D, MLPHead, MomentumEncoder, fold_batch_norm
from deepfake_mtl.models.weights import IMAGENET_MEAN, IMAGENET_STD
from deepfake_mtl.tasks import BinaryContrast, BinaryCrossEntropy, Features, MoCoSettings

FLOAT32, BFLOAT16 = torch.float32, torch.bfloat16


class TorchvisionS3D(nn.Module):
    """torchvision's layers and a head, as its documentation has them: contiguous, or not."""

    def __init__(self, memory_format: torch.memory_format) -> None:
        super().__init__()
        self.features = s3d(weights=None).features.to(memory_format=memory_format)
        self.head = MLPHead(1024, 2)
        self.memory_format = memory_format
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1, 1))

    def forward(self, clip: Tensor) -> Tensor:
        """Turn uint8 clips into two logits."""
        clip = (clip.float() / 255 - self.mean) / self.std
        features = self.features(clip.contiguous(memory_format=self.memory_format))
        return self.head(features.mean(dim=(2, 3, 4)))


@dataclass
class Setting:
    """What all contestants have in common."""

    device: torch.device
    clip: Tensor
    second: Tensor
    labels: Tensor
    queue_size: int

    def autocast(self, precision: torch.dtype) -> AbstractContextManager[object]:
        """Compute in this precision."""
        if precision == FLOAT32:
            return nullcontext()
        return torch.autocast(self.device.type, precision)


Work = Callable[[], object]


def torchvision_step(setting: Setting, precision: torch.dtype, layout: torch.memory_format) -> Work:
    """Return a step of torchvision's network."""
    model = TorchvisionS3D(layout).to(setting.device)
    optimizer = torch.optim.Adam(model.parameters())

    def step() -> None:
        optimizer.zero_grad()
        with setting.autocast(precision):
            loss = functional.cross_entropy(model(setting.clip), setting.labels)
        loss.backward()
        optimizer.step()

    return step


def our_step(
    setting: Setting,
    precision: torch.dtype,
    *,
    contrast: bool = False,
    recompute: bool = False,
    compiles: bool = False,
) -> Work:
    """Return a step of this library: real or fake by cross-entropy, or by label-informed MoCo."""
    encoder = S3D(recompute_activations=recompute).to(setting.device)
    keys = MomentumEncoder(encoder) if contrast else None
    task = BinaryContrast() if contrast else BinaryCrossEntropy()
    moco = MoCoSettings(queue_size=setting.queue_size)
    task.build(encoder.feature_dim, moco)
    task.to(setting.device)
    trained = [*encoder.parameters(), *(p for p in task.parameters() if p.requires_grad)]
    optimizer = torch.optim.Adam(trained)
    if compiles:
        encoder.compile()

    def step() -> None:
        optimizer.zero_grad()
        with setting.autocast(precision):
            second = None if keys is None else keys(setting.second)
            features = Features(encoder(setting.clip), second_key=second)
            learnt = task.learn(features, setting.labels)
        loss = learnt.loss if learnt.probe_loss is None else learnt.loss + learnt.probe_loss
        loss.backward()
        optimizer.step()
        if keys is not None:
            keys.update(encoder, moco.momentum)
            task.update_keys()

    return step


def inference(setting: Setting, precision: torch.dtype, model: nn.Module) -> Work:
    """Features or scores of a batch."""
    model.to(setting.device).eval()

    @torch.inference_mode()
    def score() -> None:
        with setting.autocast(precision):
            model(setting.clip)

    return score


def contestants(setting: Setting, *, compiles: bool) -> tuple[dict[str, Work], dict[str, Work]]:
    """Return what is compared: training steps, and inferences. The first is the yardstick."""
    contiguous, last = torch.contiguous_format, torch.channels_last_3d
    training = {
        "torchvision, float32, contiguous": torchvision_step(setting, FLOAT32, contiguous),
        "torchvision, bfloat16, contiguous": torchvision_step(setting, BFLOAT16, contiguous),
        "torchvision, bfloat16, channels last": torchvision_step(setting, BFLOAT16, last),
        "this library, float32": our_step(setting, FLOAT32),
        "this library, bfloat16": our_step(setting, BFLOAT16),
        "this library, bfloat16, recomputed": our_step(setting, BFLOAT16, recompute=True),
        "this library, bfloat16, MoCo": our_step(setting, BFLOAT16, contrast=True),
        "this library, float32, MoCo": our_step(setting, FLOAT32, contrast=True),
    }
    infers = {
        "torchvision, float32, contiguous": inference(setting, FLOAT32, TorchvisionS3D(contiguous)),
        "torchvision, bfloat16, channels last": inference(setting, BFLOAT16, TorchvisionS3D(last)),
        "this library, float32": inference(setting, FLOAT32, S3D()),
        "this library, bfloat16": inference(setting, BFLOAT16, S3D()),
        "this library, bfloat16, folded": inference(setting, BFLOAT16, fold_batch_norm(S3D())),
    }
    if compiles:
        training["this library, bfloat16, compiled"] = our_step(setting, BFLOAT16, compiles=True)
        compiled = torch.compile(fold_batch_norm(S3D()))
        infers["this library, bfloat16, folded, compiled"] = inference(setting, BFLOAT16, compiled)
    return training, infers


def timed(work: Work, device: torch.device) -> float:
    """Seconds of one run."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def compare(title: str, works: dict[str, Work], setting: Setting, rounds: int) -> dict[str, float]:
    """Run all in turns and print a table; returns the seconds of each."""
    memory = {}
    for name, work in works.items():
        for _ in range(2):  # warm-up, compiling
            work()
        if setting.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            work()
            memory[name] = (torch.cuda.max_memory_allocated() - before) / 2**30
    spent: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            spent[name].append(timed(work, setting.device))
    seconds = {name: median(times) for name, times in spent.items()}
    yardstick, clips = next(iter(seconds.values())), len(setting.clip)
    head = f"| {title} | clips a second | times the first |"
    print(head + (" GiB |" if memory else ""))
    print("|---" * (head.count("|") - 1) + ("|---|" if memory else "|"))
    for name, time_ in seconds.items():
        line = f"| {name} | {clips / time_:.2f} | {yardstick / time_:.2f} |"
        print(line + (f" {memory[name]:.1f} |" if memory else ""))
    print()
    return seconds


def operations(work: Work) -> float:
    """Floating-point operations of one run."""
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def matrix_rate(device: torch.device) -> float:
    """Operations a second of a large product of matrices in bfloat16."""
    size = 8192 if device.type == "cuda" else 2048
    left, right = (torch.randn(size, size, device=device, dtype=BFLOAT16) for _ in range(2))

    def product() -> None:
        torch.mm(left, right)

    product()
    return 2 * size**3 / median(timed(product, device) for _ in range(10))


def main() -> None:
    """Parse the options, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--queue", type=int, default=2048, help="keys of MoCo's queue")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="and compiled; takes minutes")
    parser.add_argument("--profile", action="store_true", help="show where the time of a step goes")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.manual_seed(0)
    shape = (options.batch, 3, options.frames, options.size, options.size)
    clip, second = (torch.randint(256, shape, dtype=torch.uint8).to(device) for _ in range(2))
    labels = torch.arange(options.batch, device=device) % 2
    setting = Setting(device, clip, second, labels, options.queue)
    training, infers = contestants(setting, compiles=options.compile)

    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or "CPU"
    print(f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}, ", end="")
    print(f"torchvision {torchvision.__version__}; clips {shape}\n")
    seconds = compare("training step", training, setting, options.rounds)
    compare("inference", infers, setting, options.rounds)
    for precision in ("bfloat16", "float32"):
        ours = f"this library, {precision}"
        ratio = seconds[f"{ours}, MoCo"] / seconds[ours]
        print(f"MoCo's step over the plain one, {precision}: {ratio:.2f}")
    step = training["this library, bfloat16"]
    count, rate = operations(step), matrix_rate(device)
    share = count / seconds["this library, bfloat16"] / rate
    print(f"Operations of a plain step: {count / options.batch / 1e9:.1f} GFLOP a clip")
    print(f"bfloat16 matrix product: {rate / 1e12:.2f} TFLOP/s; share of it in a step: {share:.0%}")
    if options.profile:
        with torch.profiler.profile() as profile:
            step()
        key = "self_cuda_time_total" if device.type == "cuda" else "self_cpu_time_total"
        print(profile.key_averages().table(sort_by=key, row_limit=15))


if __name__ == "__main__":
    main()
