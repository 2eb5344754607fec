"""`deepfake-mtl prepare` beside merely decoding every frame of the same videos.

    python benchmarks/preparing.py CORPUS [--detector-model FILE] [--workers 2] [--copies 8]

Both have as many processes, whose start is part of the time. A small corpus is copied several times
under other names, by links.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import av

from deepfake_mtl.cli import main as deepfake_mtl
from deepfake_mtl.data.corpora import FaceForensics
from deepfake_mtl.data.records import VideoRecord


def main() -> None:
    """Parse the options, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path, metavar="CORPUS")
    parser.add_argument("--detector-model", type=Path)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--copies", type=int, default=8)
    options = parser.parse_args()
    print(
        describe(measure(options.corpus, options.detector_model, options.workers, options.copies))
    )


def measure(corpus: Path, model: Path | None, workers: int, copies: int) -> dict[str, Any]:
    """Return numbers and seconds."""
    with tempfile.TemporaryDirectory() as folder:
        many = Path(folder) / "corpus"
        for record in FaceForensics(corpus).index():
            for copy in range(copies):
                link(record, corpus, many, copy)
        paths = [record.path for record in FaceForensics(many).index()]
        began = time.perf_counter()
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
            frames = sum(pool.map(decode, paths))
        decoding = time.perf_counter() - began
        words = ["prepare", str(many), f"--out={folder}/store", f"--workers={workers}"]
        began = time.perf_counter()
        if deepfake_mtl([*words, *([f"--detector-model={model}"] if model else [])]) != 0:
            raise SystemExit("prepare did not succeed")
        preparing = time.perf_counter() - began
    return {
        "videos": len(paths),
        "frames": frames,
        "workers": workers,
        "decoding": decoding,
        "preparing": preparing,
    }


def link(record: VideoRecord, corpus: Path, many: Path, copy: int) -> None:
    """Give a video another name in another corpus."""
    folder = many / record.path.relative_to(corpus).parent
    folder.mkdir(parents=True, exist_ok=True)
    name = "_".join(f"{identity}x{copy}" for identity in record.identities)
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
        f"{result['videos']} videos, {result['frames']} frames, {result['workers']} processes: "
        f"decoding {result['decoding']:.1f} s, preparing {result['preparing']:.1f} s, "
        f"{result['preparing'] / result['decoding']:.2f} times as long"
    )


if __name__ == "__main__":
    main()
