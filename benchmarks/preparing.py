"""`deepfake-mtl prepare` beside merely decoding every frame of the same videos, in turns.

    python benchmarks/preparing.py CORPUS [--detector_model FILE] [--workers 2] [--copies 3]
        [--methods 4] [--rounds 3]

Both have as many processes, whose start is part of the time. Beside the time that passes stands the
time of the processors, which tells the same where other programs keep these busy. A small corpus is
copied several times under other names, by links; and each of its fakes stands for as many
manipulations as --methods says: four fakes to an original, as FaceForensics++ has them.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import av

from deepfake_mtl.cli import main as deepfake_mtl
from deepfake_mtl.data.corpora import FaceForensics
from deepfake_mtl.data.records import MANIPULATIONS, VideoRecord
from deepfake_mtl.util.machine import usable_cores


def main() -> None:
    """Parse the options, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path, metavar="CORPUS")
    parser.add_argument("--detector_model", type=Path)
    parser.add_argument("--workers", type=int, default=usable_cores())
    parser.add_argument("--copies", type=int, default=3)
    parser.add_argument("--methods", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    result = measure(
        options.corpus,
        options.detector_model,
        options.workers,
        options.copies,
        options.methods,
        options.rounds,
    )
    print(describe(result))


def measure(
    corpus: Path, model: Path | None, workers: int, copies: int, methods: int = 4, rounds: int = 3
) -> dict[str, Any]:
    """Return numbers, seconds in the median, and in the median of each round the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        many = Path(folder) / "corpus"
        for record in FaceForensics(corpus).index():
            for copy in range(copies):
                link(record, corpus, many, copy, methods)
        paths = [record.path for record in FaceForensics(many).index()]
        frames = 0

        def decoding() -> None:
            nonlocal frames
            with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
                frames = sum(pool.map(decode, paths))

        def preparing(out: str) -> None:
            words = ["prepare", str(many), f"--out={out}", f"--workers={workers}"]
            words.append("--on_missing=skip")
            if deepfake_mtl([*words, *([f"--detector_model={model}"] if model else [])]) != 0:
                raise SystemExit("prepare did not succeed")

        spent: dict[str, list[tuple[float, float]]] = {"decoding": [], "preparing": []}
        for _ in range(rounds):
            spent["decoding"].append(timed(decoding))
            with tempfile.TemporaryDirectory(dir=folder) as out:
                spent["preparing"].append(timed(lambda out=out: preparing(f"{out}/store")))
    ratios = [
        (p / d for p, d in zip(*pair, strict=True))
        for pair in zip(spent["preparing"], spent["decoding"], strict=True)
    ]
    wall, processor = (median(each) for each in zip(*ratios, strict=True))
    return {
        "videos": len(paths),
        "frames": frames,
        "workers": workers,
        "methods": methods,
        "rounds": rounds,
        "ratio": wall,
        "processor_ratio": processor,
    } | {name: median(seconds for seconds, _ in each) for name, each in spent.items()}


def timed(act: Callable[[], None]) -> tuple[float, float]:
    """Seconds that pass, and those of processors, of this process and those that it started."""
    began, before = time.perf_counter(), os.times()
    act()
    after = os.times()
    return time.perf_counter() - began, sum(after[:4]) - sum(before[:4])


def link(record: VideoRecord, corpus: Path, many: Path, copy: int, methods: int) -> None:
    """Give a video another name in another corpus."""
    name = "_".join(f"{identity}x{copy}" for identity in record.identities)
    place = record.path.relative_to(corpus).parent
    for i in range(methods if record.is_fake else 1):
        parts = list(place.parts)
        if record.is_fake:
            own = MANIPULATIONS.index(record.method)
            parts[parts.index(record.method)] = MANIPULATIONS[(own + i) % len(MANIPULATIONS)]
        folder = many.joinpath(*parts)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}{record.path.suffix}").symlink_to(record.path.resolve())


def decode(path: Path) -> int:
    """Decode every frame of a video, and do nothing with them."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        return sum(1 for _ in container.decode(stream))


def describe(result: dict[str, Any]) -> str:
    """Say what was measured."""
    return (
        f"{result['videos']} videos, {result['frames']} frames, {result['workers']} processes, "
        f"{result['rounds']} rounds: decoding {result['decoding']:.1f} s, preparing "
        f"{result['preparing']:.1f} s; {result['ratio']:.2f} times as long, and "
        f"{result['processor_ratio']:.2f} times the time of processors"
    )


if __name__ == "__main__":
    main()
