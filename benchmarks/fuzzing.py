"""`deepfake-mtl detect` on broken files: each must have an answer.

    python benchmarks/fuzzing.py --ckpt_path X VIDEO ... [--files 200] [--seed 0] [--step FRAMES]

Files are whole ones of the given videos, in turns, broken by a seed. Printed are the answers by
kind, processes that died or were given up, the slowest answer, and the memory of the process.
"""

import argparse
import math
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from deepfake_mtl.inference.batch.inputs import folder_name
from deepfake_mtl.inference.batch.jobs import Job
from deepfake_mtl.inference.batch.workers import Workers, WorkerSettings
from deepfake_mtl.inference.options import DetectOptions
from deepfake_mtl.util.machine import private_memory, processor_time
from tests.inference.mutations import mutate


def main() -> int:
    """Parse the options, break files, judge them, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", type=Path, nargs="+", metavar="VIDEO")
    parser.add_argument("--ckpt_path", type=Path, required=True)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--step", type=int)
    parser.add_argument("--detector_model", type=Path)
    options = parser.parse_args()
    detect = DetectOptions(step=options.step, device="cpu", detector_model=options.detector_model)
    with tempfile.TemporaryDirectory() as folder:
        broken = break_files(options.videos, Path(folder), options.files, options.seed)
        result = judge(broken, Path(folder), options.ckpt_path, detect)
    print(describe(result))
    return int(result["answers"] != options.files)


def break_files(videos: list[Path], folder: Path, count: int, seed: int) -> dict[Path, str]:
    """Write broken files; what was done to each."""
    broken = {}
    for number in range(count):
        video = videos[number % len(videos)]
        content, what = mutate(video.read_bytes(), seed + number // len(videos) + 1000 * number)
        path = folder / f"{number:04}{video.suffix}"
        path.write_bytes(content)
        broken[path] = what
    return broken


def judge(
    broken: dict[Path, str], folder: Path, checkpoint: Path, options: DetectOptions
) -> dict[str, Any]:
    """Judge every file by one process; how that went."""
    jobs = [Job(path, folder / "out" / folder_name(path), annotate=False) for path in broken]
    workers = Workers(WorkerSettings(checkpoint, options, count=1))
    statuses: Counter[str] = Counter()
    died, slowest, memory = [], (0.0, 0.0, ""), []
    worked = {}  # seconds of computing, by process
    began = time.perf_counter()
    try:
        for answer in workers.run(jobs, lambda *_: None):
            passed, began = time.perf_counter() - began, time.perf_counter()
            for worker in workers._idle:
                process = worker.process.pid
                before, worked[process] = worked.get(process, math.nan), processor_time(process)
                what = f"{answer.job.video.name} {broken[answer.job.video]}"
                slowest = max(slowest, (passed, worked[process] - before, what))
            statuses["died" if answer.content is None else kind(answer.content)] += 1
            if answer.content is None:
                died.append(f"{answer.job.video.name} {broken[answer.job.video]}: {answer.reason}")
            else:
                memory += [private_memory(worker.process.pid) >> 20 for worker in workers._idle]
    finally:
        workers.close()
    quarter = max(len(memory) // 4, 1)
    return {
        "answers": sum(statuses.values()),
        "statuses": dict(statuses),
        "died": died,
        "slowest": slowest,
        "memory": [max(memory[i : i + quarter]) for i in range(0, len(memory), quarter)][:4],
    }


def kind(content: dict[str, Any]) -> str:
    """Return the status; of a failure, the reason without what is particular to the file."""
    if content["status"] != "failed":
        return str(content["status"])
    reason = content["error"].partition(": ")[2].partition(";")[0]
    return re.sub(r"\d+", "N", reason)


def describe(result: dict[str, Any]) -> str:
    """Say how it went."""
    statuses = sorted(result["statuses"].items(), key=lambda each: -each[1])
    lines = [
        f"{result['answers']} answers:",
        *(f"{count:5} {name}" for name, count in statuses),
        "slowest: {:.1f} s by the clock, {:.1f} s of processor ({})".format(*result["slowest"]),
        f"most memory in each quarter of the files: {result['memory']} MB",
        *result["died"],
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
