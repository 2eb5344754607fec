"""Random clips out of video files: our reader beside others, on the same clips, in one run.

    python benchmarks/reading.py VIDEO... [--clips 40] [--length 32] [--stride 1] [--seed 0]

All readers use one thread and deliver RGB frames. They take turns clip by clip, so that whatever
else the machine does meets all of them alike. The time of opening the file is part of each clip.
"""

import argparse
import importlib
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.data.video import probe, read_clip
from deepfake_mtl.data.video.colours import to_rgb

Clip = NDArray[np.uint8]
Reader = Callable[[Path, range], Clip]


def ours(path: Path, frames: range) -> Clip:
    """Read a clip as this library does."""
    return read_clip(path, frames.start, len(frames), frames.step)


def pyav_from_start(path: Path, frames: range) -> Clip:
    """Decode everything up to the clip, and convert with PyAV's default."""
    return _from_start(path, frames, _pyav_colours)


def pyav_from_start_our_colours(path: Path, frames: range) -> Clip:
    """Decode everything up to the clip, and convert as this library does: the truth."""
    return _from_start(path, frames, to_rgb)


def _pyav_colours(frame: av.VideoFrame) -> Clip:
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def _from_start(path: Path, frames: range, convert: Callable[[av.VideoFrame], Clip]) -> Clip:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        numbered = zip(range(frames[-1] + 1), container.decode(stream), strict=False)
        return np.stack([convert(frame) for number, frame in numbered if number in frames])


def opencv(path: Path, frames: range) -> Clip:
    """Seek and decode with OpenCV."""
    parameters = [cv2.CAP_PROP_N_THREADS, 1]
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, parameters)
    capture.set(cv2.CAP_PROP_POS_FRAMES, frames[0])
    clip = []
    for number in range(frames[0], frames[-1] + 1):
        capture.grab()
        if number in frames:
            clip.append(cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB))
    capture.release()
    return np.stack(clip)


def torchcodec(path: Path, frames: range) -> Clip:
    """Seek and decode with torchcodec."""
    decoders = importlib.import_module("torchcodec.decoders")
    decoder = decoders.VideoDecoder(str(path), num_ffmpeg_threads=1, dimension_order="NHWC")
    return np.asarray(decoder.get_frames_at(list(frames)).data)


def decord(path: Path, frames: range) -> Clip:
    """Seek and decode with decord."""
    module = importlib.import_module("decord")
    return np.asarray(
        module.VideoReader(str(path), num_threads=1).get_batch(list(frames)).asnumpy()
    )


READERS: dict[str, Reader] = {
    "this library": ours,
    "PyAV from the start": pyav_from_start,
    "PyAV from the start, our colours": pyav_from_start_our_colours,
    "OpenCV": opencv,
    "torchcodec": torchcodec,
    "decord": decord,
}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="+", type=Path, metavar="VIDEO")
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--length", type=int, default=32)
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    cv2.setNumThreads(1)
    generator = random.Random(options.seed)
    seconds: dict[str, list[float]] = {name: [] for name in READERS}
    equal = dict.fromkeys(READERS, 0)
    failures: dict[str, str] = {}
    for _ in range(options.clips):
        path = generator.choice(options.videos)
        span = (options.length - 1) * options.stride + 1
        start = generator.randrange(probe(path).frames - span + 1)
        frames = range(start, start + span, options.stride)
        truth = pyav_from_start_our_colours(path, frames)
        names = [name for name in READERS if name not in failures]
        generator.shuffle(names)
        for name in names:
            began = time.perf_counter()
            try:
                clip = READERS[name](path, frames)
            except ModuleNotFoundError:
                failures[name] = "not installed"
                continue
            except (cv2.error, RuntimeError) as error:
                failures[name] = f"failed: {error}".splitlines()[0]
                continue
            seconds[name].append(time.perf_counter() - began)
            # Readers differ in their colours by a few levels; another frame differs by more.
            equal[name] += float(np.abs(truth.astype(np.int16) - clip).mean()) < 2

    baseline = statistics.mean(seconds["PyAV from the start"])
    print(
        f"{options.clips} clips of {options.length} frames, stride {options.stride}, one thread\n"
    )
    print("| reader | clips a second | median ms | against PyAV from the start | right frames |")
    print("|---|---|---|---|---|")
    for name, times in seconds.items():
        if name in failures:
            print(f"| {name} | {failures[name]} | | | |")
            continue
        mean = statistics.mean(times)
        print(
            f"| {name} | {1 / mean:.1f} | {1e3 * statistics.median(times):.0f} "
            f"| {baseline / mean:.2f} | {equal[name]} of {len(times)} |"
        )


if __name__ == "__main__":
    main()
