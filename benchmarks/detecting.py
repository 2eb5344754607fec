"""`deepfake-mtl detect` beside decoding the file and running its network over the same clips.

    python benchmarks/detecting.py VIDEO --ckpt_path X [--detector_model FILE] [--rounds 3]
    python benchmarks/detecting.py VIDEO --ckpt_path X --minutes 1 20 [--step FRAMES]

The first is on one core, in turns. Its ratio is of processor time, which is wall time where one
core does nothing else; wall times are printed beside it. The second plays the video in a loop for
so many minutes, judges each of the long files in a process of its own, and prints its peak memory.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import psutil
import torch

from deepfake_mtl.inference import DetectOptions, VideoDetector
from deepfake_mtl.inference.video import inspect
from deepfake_mtl.util.machine import peak_memory

_BATCH = 4


def main() -> None:
    """Parse the options, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--ckpt_path", type=Path, required=True)
    parser.add_argument("--detector_model", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--step", type=int)
    parser.add_argument("--minutes", type=float, nargs="+")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    detect = DetectOptions(device="cpu", detector_model=options.detector_model, step=options.step)
    if options.alone:
        print(json.dumps(alone(options.video, options.ckpt_path, detect)))
    elif options.minutes:
        for minutes in options.minutes:
            print(describe_memory(minutes, long_video(options, minutes)), flush=True)
    else:
        print(describe(measure(options.video, options.ckpt_path, detect, options.rounds)))


def measure(video: Path, checkpoint: Path, options: DetectOptions, rounds: int) -> dict[str, Any]:
    """Seconds of processor and of the clock, for each part."""
    with suppress(AttributeError):  # macOS binds no process to a core
        process = psutil.Process()
        process.cpu_affinity([min(process.cpu_affinity())])
    torch.set_num_threads(1)
    detector = VideoDetector.from_checkpoint(checkpoint, options)
    verdict = detector(video)
    clips = sum(len(face.clips) for face in verdict.faces)
    parts: dict[str, Callable[[], object]] = {
        "decoding": lambda: decode(video),
        "network": lambda: run_network(detector, clips),
        "detect": lambda: detector(video),
    }
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in parts}
    for _ in range(rounds):
        for name, part in parts.items():
            processor, clock = time.process_time(), time.perf_counter()
            part()
            spent[name].append((time.process_time() - processor, time.perf_counter() - clock))
    facts = inspect(video, options.limits)
    ratios = [
        whole / (one + other)
        for (one, _), (other, _), (whole, _) in zip(*spent.values(), strict=True)
    ]
    return {
        "video": f"{facts.width}x{facts.height}, {facts.frames} frames",
        "clips": clips,
        "faces": len(verdict.faces),
        "ratios": ratios,
        **{f"{name}_{kind}": statistics.median(each[place] for each in times)
           for name, times in spent.items() for place, kind in enumerate(("cpu", "wall"))},
    }  # fmt: skip


def decode(video: Path) -> int:
    """Decode every frame by one thread, and do nothing with them."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        return sum(1 for _ in container.decode(stream))


def run_network(detector: VideoDetector, clips: int) -> None:
    """Run the network over so many clips, in batches as `detect` has them."""
    description = detector.trained.description
    shape = (3, description.clip_length, description.size, description.size)
    for start in range(0, clips, _BATCH):
        batch = torch.randint(256, (min(_BATCH, clips - start), *shape), dtype=torch.uint8)
        with torch.inference_mode():
            detector.network(batch)


def long_video(options: argparse.Namespace, minutes: float) -> dict[str, Any]:
    """Judge a loop of a video in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.mp4"
        loop(options.video, path, minutes)
        words = [str(path), f"--ckpt_path={options.ckpt_path}", "--alone"]
        if options.detector_model:
            words.append(f"--detector_model={options.detector_model}")
        if options.step:
            words.append(f"--step={options.step}")
        printed = subprocess.run(
            [sys.executable, __file__, *words], check=True, stdout=subprocess.PIPE
        ).stdout
    result: dict[str, Any] = json.loads(printed)
    return result


def loop(video: Path, path: Path, minutes: float) -> None:
    """Copy the packets of a video again and again."""
    with av.open(str(path), "w") as writer:
        stream, offset = None, 0
        while True:
            with av.open(str(video)) as reader:
                source = reader.streams.video[0]
                stream = stream or writer.add_stream_from_template(source)
                end = offset
                for packet in reader.demux(source):
                    if not packet.size:
                        continue
                    packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                    end = max(end, packet.pts + packet.duration)
                    packet.stream = stream
                    writer.mux(packet)
                offset = end
                if float(offset * source.time_base) >= 60 * minutes:
                    return


def alone(video: Path, checkpoint: Path, options: DetectOptions) -> dict[str, Any]:
    """Judge a video; its frames and the peak memory of this process before and after, in MB."""
    torch.set_num_threads(1)
    detector = VideoDetector.from_checkpoint(checkpoint, options)
    before, began = peak_memory() >> 20, time.process_time()
    verdict = detector(video)
    return {
        "frames": verdict.file.frames,
        "clips": sum(len(face.clips) for face in verdict.faces),
        "faces": len(verdict.faces),
        "before": before,
        "peak": peak_memory() >> 20,
        "seconds": time.process_time() - began,
    }


def describe(result: dict[str, Any]) -> str:
    """Say what was measured."""
    parts = ", ".join(
        f"{name} {result[f'{name}_cpu']:.1f} s ({result[f'{name}_wall']:.1f} s by the clock)"
        for name in ("decoding", "network", "detect")
    )
    ratios = ", ".join(f"{ratio:.2f}" for ratio in result["ratios"])
    return (
        f"{result['video']}, {result['faces']} faces, {result['clips']} clips: {parts}; "
        f"detect over the sum of the others, by round: {ratios}"
    )


def describe_memory(minutes: float, result: dict[str, Any]) -> str:
    """Say how much memory it took."""
    return (
        f"{minutes:g} minutes, {result['frames']} frames, {result['clips']} clips, "
        f"{result['faces']} faces: peak {result['peak']} MB, {result['before']} MB of them before "
        f"the video; {result['seconds']:.0f} s of processor"
    )


if __name__ == "__main__":
    main()
