"""The whole loader of training clips beside the sum of its parts, its workers, and its memory.

    python benchmarks/loader.py STORE [--workers 1 2] [--epochs 20] [--clips 256]

Reads, augments and collates clips of 32 frames of 128 px as a training does. The parts are timed in
one process; the loader then does the same work in its workers, as fast as it can be emptied.
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import psutil
import torch
from torch.utils.data import default_collate

from deepfake_mtl.data.clips import TrainingClips
from deepfake_mtl.data.datamodule import DeepfakeDataModule
from deepfake_mtl.util.machine import processor_time

BATCH = 16


def main() -> None:
    """Parse the options, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path, metavar="STORE")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--clips", type=int, default=256, help="of an epoch, about")
    options = parser.parse_args()
    print(describe(measure(options.store, options.workers, options.epochs, options.clips)))


def measure(store: Path, workers: list[int], epochs: int, clips: int) -> dict[str, Any]:
    """Return milliseconds of a clip in each part, and what each number of workers reaches."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    parts = time_parts(_datamodule(store, 0, clips), clips)
    whole = {count: time_loader(_datamodule(store, count, clips), epochs) for count in workers}
    return {"parts": parts, "whole": whole}


def time_parts(datamodule: DeepfakeDataModule, clips: int) -> dict[str, float]:
    """Return the milliseconds of a clip in each part of the loader."""
    loader = datamodule.train_dataloader()
    dataset = loader.dataset
    assert isinstance(dataset, TrainingClips)
    spent = dict.fromkeys(("read", "augment", "collate"), 0.0)

    def timed(part: str, work: Callable[[], Any]) -> Any:  # noqa: ANN401
        began = time.perf_counter()
        result = work()
        spent[part] += time.perf_counter() - began
        return result

    batches = 0
    for draws in loader.batch_sampler or ():
        samples = []
        for video, number in draws:
            start = number % (dataset._last_start(video) + 1)
            frames = timed("read", lambda v=video, s=start: dataset._read(v, s))
            clip = timed("augment", lambda f=frames, n=number: dataset._view(f, (0, n)))
            samples.append(dataset._labelled(video, clip, number, valid=True, failure=""))
        timed("collate", lambda s=samples: default_collate(s))
        batches += 1
        if batches * BATCH >= clips:
            break
    return {part: 1e3 * seconds / (batches * BATCH) for part, seconds in spent.items()}


def time_loader(datamodule: DeepfakeDataModule, epochs: int) -> dict[str, Any]:
    """Return clips a second of each epoch, how busy the least busy worker was, and megabytes."""
    loader = datamodule.train_dataloader()
    rates, memory, busy = [], [], []
    workers: list[int] = []
    for epoch in range(epochs + 1):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        began, before = time.perf_counter(), [processor_time(worker) for worker in workers]
        clips = sum(len(batch["clip"]) for batch in loader)
        wall = time.perf_counter() - began
        if epoch > 0:  # the first one starts the workers
            rates.append(clips / wall)
            after = [processor_time(worker) for worker in workers]
            busy.append(min(b - a for a, b in zip(before, after, strict=True)) / wall)
        workers = [child.pid or 0 for child in multiprocessing.active_children()]
        memory.append(sum(map(_memory, [os.getpid(), *workers])) / 1e6)
    return {"rates": rates, "busy": busy, "memory": memory[1:]}


def describe(result: dict[str, Any]) -> str:
    """Say what was measured, in Markdown."""
    parts = result["parts"]
    total = sum(parts.values())
    lines = [", ".join(f"{part} {spent:.1f} ms" for part, spent in parts.items())]
    lines += [f"sum of the parts: {total:.1f} ms a clip, {1e3 / total:.0f} clips a second", ""]
    lines += ["| workers | clips a second and worker | time over the sum of the parts |"]
    lines[-1] += " least busy worker | memory after epochs 1, 2, middle, last (MB) |"
    lines += ["|---" * 5 + "|"]
    for count, whole in result["whole"].items():
        rate = median(whole["rates"]) / count
        memory = whole["memory"]
        some = [memory[0], memory[min(1, len(memory) - 1)], memory[len(memory) // 2], memory[-1]]
        cells = [f"{rate:.0f}", f"{1e3 / rate / total:.2f}", f"{median(whole['busy']):.0%}"]
        cells.append(", ".join(f"{each:.0f}" for each in some))
        lines.append(f"| {count} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _datamodule(store: Path, workers: int, clips: int) -> DeepfakeDataModule:
    datamodule = DeepfakeDataModule(
        root=str(store), held_out=None, batch_size=BATCH, num_workers=workers, on_missing="skip"
    )
    datamodule.setup("fit")
    datamodule.train_clips_per_video = -(-clips // len(datamodule.records("train")))
    return datamodule


def _memory(process: int) -> int:
    """Bytes of a process; on Linux its part of what it shares with others is included."""
    memory = psutil.Process(process).memory_full_info()
    return int(getattr(memory, "pss", memory.uss))


if __name__ == "__main__":
    main()
