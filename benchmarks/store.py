"""Random clips out of a store of face crops beside other ways to the same faces, in one run.

    python benchmarks/store.py CORPUS [--detector_model FILE] [--clips 60] [--work DIR]

Prepares the corpus with both codecs, and writes the same crops as folders of PNG files, as
DeepfakeBench has them. Readers use one thread and take turns clip by clip; opening is part of each
clip. torchcodec and decord read whole frames of the original file, and crop nothing.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from reading import decord, ours, torchcodec
from tqdm import tqdm

from deepfake_mtl.cli import main as deepfake_mtl
from deepfake_mtl.data.records import VideoRecord
from deepfake_mtl.data.store.crop_files import read_crops, read_header
from deepfake_mtl.data.store.index import FaceStore

LENGTH = 32
PNG_LEVELS = {"PNG folder, OpenCV's default": None, "PNG folder, compression 1": 1}


Rates = dict[str, float | None]
"""Clips a second by reader; None of one that cannot run here."""


def main() -> None:
    """Parse the options, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path, metavar="CORPUS")
    parser.add_argument("--detector_model", type=Path)
    parser.add_argument("--clips", type=int, default=60, help="of each height")
    parser.add_argument("--work", type=Path, help="where to (a temporary folder by default)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = options.work or Path(folder)
        print(describe(measure(options.corpus, options.detector_model, work, options.clips)))


def measure(corpus: Path, model: Path | None, work: Path, clips: int) -> dict[int, Rates]:
    """Prepare what is to be read, and return rates by the height of the originals."""
    cv2.setNumThreads(1)
    stores = {codec: prepare(corpus, model, work / codec, codec) for codec in ("jpeg95", "raw")}
    records = stores["raw"].index()
    for name, level in PNG_LEVELS.items():
        for record in tqdm(records, desc=name, unit="video"):
            write_png(record, png_folder(work, name, record), level)
    heights: dict[int, list[VideoRecord]] = {}
    for record in records:
        heights.setdefault(read_header(record.path).source_height, []).append(record)
    return {
        height: compare(corpus, work, stores, members, clips)
        for height, members in sorted(heights.items())
    }


def prepare(corpus: Path, model: Path | None, out: Path, codec: str) -> FaceStore:
    """Make a store, unless it is there."""
    words = ["prepare", str(corpus), f"--out={out}", f"--codec={codec}", "--on_missing=skip"]
    if deepfake_mtl([*words, *([f"--detector_model={model}"] if model else [])]) != 0:
        raise SystemExit("prepare did not succeed")
    return FaceStore(out)


def png_folder(work: Path, name: str, record: VideoRecord) -> Path:
    """Return where the PNG files of a video lie."""
    return work / name.replace(" ", "_").replace(",", "").replace("'", "") / record.key


def write_png(record: VideoRecord, folder: Path, level: int | None) -> None:
    """Write the crops of a video as PNG files."""
    if folder.is_dir():
        return
    folder.mkdir(parents=True)
    parameters = [] if level is None else [cv2.IMWRITE_PNG_COMPRESSION, level]
    count = read_header(record.path).frames
    for number, frame in enumerate(read_crops(record.path, 0, count)):
        cv2.imwrite(str(folder / f"{number:03}.png"), frame[..., ::-1], parameters)


def read_png(folder: Path, frames: range) -> NDArray[np.uint8]:
    """Read a clip from PNG files."""
    files = [folder / f"{number:03}.png" for number in frames]
    return np.stack([cv2.imread(str(file), cv2.IMREAD_COLOR_RGB) for file in files])


def copy_bytes(path: Path, frames: range, size: int) -> NDArray[np.uint8]:
    """Read as many bytes as a clip has from a file, and nothing else."""
    clip = np.empty((len(frames), size, size, 3), np.uint8)
    with path.open("rb", buffering=0) as file:
        file.seek(frames.start * clip[0].nbytes)
        file.readinto(memoryview(clip).cast("B"))
    return clip


def compare(
    corpus: Path, work: Path, stores: dict[str, FaceStore], records: list[VideoRecord], clips: int
) -> Rates:
    """Return clips a second, by reader."""
    jpeg = {record.key: record.path for record in stores["jpeg95"].index()}
    size = stores["raw"].settings.size

    def original(record: VideoRecord) -> Path:
        return corpus / read_header(record.path).source

    def png(name: str) -> Callable[[VideoRecord, range], object]:
        return lambda record, frames: read_png(png_folder(work, name, record), frames)

    readers: dict[str, Callable[[VideoRecord, range], object]] = {
        "store, raw": lambda r, f: read_crops(r.path, f.start, len(f)),
        "store, jpeg95": lambda r, f: read_crops(jpeg[r.key], f.start, len(f)),
        "copy of the raw bytes": lambda r, f: copy_bytes(r.path, f, size),
        **{name: png(name) for name in PNG_LEVELS},
        "original, this library": lambda r, f: ours(original(r), f),
        "original, torchcodec": lambda r, f: torchcodec(original(r), f),
        "original, decord": lambda r, f: decord(original(r), f),
    }
    generator = random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(clips):
        record = generator.choice(records)
        start = generator.randrange(read_header(record.path).frames - LENGTH + 1)
        order = list(readers)
        generator.shuffle(order)
        for name in order:
            began = time.perf_counter()
            try:
                readers[name](record, range(start, start + LENGTH))
            except (ModuleNotFoundError, RuntimeError):  # torchcodec needs FFmpeg's libraries
                continue
            seconds[name].append(time.perf_counter() - began)
    return {name: 1 / statistics.mean(times) if times else None for name, times in seconds.items()}


def describe(result: dict[int, Rates]) -> str:
    """Say what was measured, with the ratios that matter, in Markdown."""
    lines = []
    for height, rates in result.items():
        against = [
            (name, rate)
            for name in ("original, torchcodec", *PNG_LEVELS)
            if (rate := rates[name]) is not None
        ]
        lines += [f"Originals of {height} lines:", ""]
        titles = ["reader", "clips a second", *(f"over {name}" for name, _ in against)]
        lines += [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
        for name, rate in rates.items():
            cells = [name, "cannot run here", *[""] * len(against)]
            if rate is not None:
                cells[1:] = [f"{rate:.1f}", *(f"{rate / other:.1f}" for _, other in against)]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
