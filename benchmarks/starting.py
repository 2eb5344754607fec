"""How the start of a training or a test grows with the corpus: time and memory, first and again.

    python benchmarks/starting.py [--videos 1000 10000 100000] [--folder DIR]

Each corpus holds copies of one tiny H.264 file, which takes as long to open as a large one, or
nearly so. A start finds all videos and what their headers say, as `DeepfakeDataModule` does; the
second finds the headers in the cache. Each start is a process of its own.
"""

import argparse
import multiprocessing
import os
import shutil
import tempfile
import time
from pathlib import Path

import av
import numpy as np
import psutil

from deepfake_mtl.data.clips import probe_videos
from deepfake_mtl.data.corpora import open_corpus
from deepfake_mtl.util.downloads import CACHE_VARIABLE

A_FOLDER = 1000


def main() -> None:
    """Parse the options, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--folder", type=Path, help="where corpora are made (default: temporary)")
    options = parser.parse_args()
    print("| videos | first start, s | second start, s | of which listing, s | memory, MB |")
    print("|---|---|---|---|---|")
    for count in options.videos:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            root = Path(folder) / "corpus"
            make(root, count)
            os.environ[CACHE_VARIABLE] = str(Path(folder) / "cache")
            (first, _, _), (second, listing, memory) = (start(root) for _ in range(2))
        print(
            f"| {count} | {first:.2f} | {second:.2f} | {listing:.2f} | {memory:.0f} |", flush=True
        )


def make(root: Path, count: int) -> None:
    """Make a corpus of real and fake videos, half of each."""
    source = root / "real" / "0" / "0.mp4"
    source.parent.mkdir(parents=True)
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "8"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for number in range(40):
            picture = np.full((64, 64, 3), 6 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
    for number in range(1, count):
        kind = "fake" if number % 2 else "real"
        path = root / kind / str(number // A_FOLDER) / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, path)


def start(root: Path) -> tuple[float, float, float]:
    """Return the seconds of a start, and of listing in it, and the memory of its process in MB."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_start, (root,))


def _start(root: Path) -> tuple[float, float, float]:
    began = time.perf_counter()
    records = open_corpus("folder", root).index()
    listed = time.perf_counter()
    videos = probe_videos(records, root=root)
    ended = time.perf_counter()
    assert len(videos.infos) == len(records)
    memory = psutil.Process().memory_info().rss / 1e6
    return ended - began, listed - began, memory


if __name__ == "__main__":
    main()
