"""Random clips out of a store of face crops beside other ways to the same faces, in one run.

    python benchmarks/store.py CORPUS [--detector-model FILE] [--clips 60] [--work DIR]

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

from deepfake_mtl.cli import main as deepfake_mtl
from deepfake_mtl.data.crop_files import read_crops, read_header
from deepfake_mtl.data.records import VideoRecord
from deepfake_mtl.data.store import FaceStore

LENGTH = 32
PNG_LEVELS = {"PNG folder, OpenCV's default": None, "PNG folder, compression 1": 1}


def main() -> None:
    """Prepare what is to be read, measure, and print a table for each height of the originals."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path, metavar="CORPUS")
    parser.add_argument("--detector-model", type=Path)
    parser.add_argument("--clips", type=int, default=60, help="of each height")
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--work", type=Path, help="where to (a temporary folder by default)")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.work is not None:
        measure(options, options.work)
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(options, Path(folder))


def measure(options: argparse.Namespace, work: Path) -> None:
    """Compare all readers on clips of originals and fakes."""
    stores = {codec: prepare(options, work / codec, codec) for codec in ("jpeg95", "raw")}
    records = stores["raw"].index()
    for name, level in PNG_LEVELS.items():
        for record in records:
            write_png(record, png_folder(work, name, record), level)
    heights: dict[int, list[VideoRecord]] = {}
    for record in records:
        heights.setdefault(read_header(record.path).source_height, []).append(record)
    for height, members in sorted(heights.items()):
        print(f"\n{len(members)} videos of {height} lines, {options.clips} clips of {LENGTH}\n")
        report(compare(options, work, stores, members))


def prepare(options: argparse.Namespace, out: Path, codec: str) -> FaceStore:
    """Make a store, unless it is there."""
    model = [f"--detector-model={options.detector_model}"] if options.detector_model else []
    words = ["prepare", str(options.corpus), f"--out={out}", f"--codec={codec}"]
    if deepfake_mtl([*words, f"--size={options.size}", *model]) != 0:
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
    options: argparse.Namespace,
    work: Path,
    stores: dict[str, FaceStore],
    records: list[VideoRecord],
) -> dict[str, list[float]]:
    """Return the seconds of each clip, by reader."""
    jpeg = {record.key: record.path for record in stores["jpeg95"].index()}

    def original(record: VideoRecord) -> Path:
        return Path(options.corpus) / read_header(record.path).source

    def png(name: str) -> Callable[[VideoRecord, range], object]:
        return lambda record, frames: read_png(png_folder(work, name, record), frames)

    readers: dict[str, Callable[[VideoRecord, range], object]] = {
        "store, raw": lambda r, f: read_crops(r.path, f.start, len(f)),
        "store, jpeg95": lambda r, f: read_crops(jpeg[r.key], f.start, len(f)),
        "copy of the raw bytes": lambda r, f: copy_bytes(r.path, f, options.size),
        **{name: png(name) for name in PNG_LEVELS},
        "original, this library": lambda r, f: ours(original(r), f),
        "original, torchcodec": lambda r, f: torchcodec(original(r), f),
        "original, decord": lambda r, f: decord(original(r), f),
    }
    generator = random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(options.clips):
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
    return seconds


def report(seconds: dict[str, list[float]]) -> None:
    """Print a table of clips a second, and of the ratios that matter."""
    rate = {name: 1 / statistics.mean(times) for name, times in seconds.items() if times}
    against = ["original, torchcodec", *PNG_LEVELS]
    present = [name for name in against if name in rate]
    print("| reader | clips a second | " + " | ".join(f"over {name}" for name in present) + " |")
    print("|---" * (2 + len(present)) + "|")
    for name in seconds:
        if name in rate:
            ratios = " | ".join(f"{rate[name] / rate[other]:.1f}" for other in present)
            print(f"| {name} | {rate[name]:.1f} | {ratios} |")
        else:
            print(f"| {name} | cannot run here |" + " |" * len(present))


if __name__ == "__main__":
    main()
