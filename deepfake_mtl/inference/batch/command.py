"""Judge videos with a trained detector: real or fake, face by face.

For each video a JSON file and a page are written; for all a CSV and an index. What is there
already is not done again. Videos are judged in other processes: one that crashes its decoder, or
never ends, is an answer, too.
"""

# ruff: noqa: PLC0415 (what --help does without takes seconds to import: `run` imports it)

import argparse
from pathlib import Path
from typing import Final, Literal

from deepfake_mtl.data.text_files import shown
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.inference.batch.inputs import describe_left_out, find_inputs
from deepfake_mtl.inference.batch.jobs import INDEX, TABLE
from deepfake_mtl.inference.batch.workers import WorkerSettings
from deepfake_mtl.inference.options import CALIBRATED, DetectOptions, Limits

_LIMITS: Final = Limits()
_INTERRUPTED: Final = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to a parser."""
    parser.add_argument(
        "videos",
        type=Path,
        nargs="+",
        metavar="VIDEO|FOLDER|LIST",
        help="video files, folders of them, and .txt files with a path in each line",
    )
    parser.add_argument(
        "--ckpt_path",
        type=Path,
        required=True,
        metavar="X",
        help="checkpoint of `deepfake-mtl fit`, or folder of `deepfake-mtl export`",
    )
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="have classes imported of this package, if the checkpoint names some, such as an "
        "encoder of your own; may be given several times",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("verdicts"),
        metavar="DIR",
        help="where answers go (default: %(default)s)",
    )
    parser.add_argument(
        "--device",
        default="auto",
        help="auto, cpu, cuda or cuda:1; several GPUs take turns (default: %(default)s)",
    )
    parser.add_argument(
        "--threshold",
        default=CALIBRATED,
        metavar="P",
        help="from which probability on a face is called fake: calibrated on validation videos, or "
        "a number such as 0.5 (default: %(default)s)",
    )
    parser.add_argument(
        "--step",
        type=int,
        metavar="FRAMES",
        help="distance of the starts of overlapping clips (default: half a clip)",
    )
    parser.add_argument(
        "--clips",
        type=int,
        metavar="N",
        help="instead of those, N clips evenly spread over the video, as `deepfake-mtl test` takes",
    )
    parser.add_argument("--annotate", action="store_true", help="write annotated videos, too")
    parser.add_argument(
        "--workers",
        type=int,
        metavar="W",
        help="number of processes, each with a copy of the detector (default: one a core, at most "
        "8, or two a GPU; no more than videos)",
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=60.0,
        metavar="S",
        help="seconds of computing without progress after which a video is given up "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--max_megapixels",
        type=float,
        default=_LIMITS.megapixels,
        metavar="MP",
        help="videos with larger frames are refused (default: %(default)s)",
    )
    parser.add_argument(
        "--max_hours",
        type=float,
        default=_LIMITS.hours,
        metavar="H",
        help="longer videos are refused (default: %(default)s)",
    )
    parser.add_argument(
        "--detector_model",
        type=Path,
        metavar="FILE",
        help="YuNet's ONNX file; by default from the cache, or downloaded",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns 0, 1 if a video could not be judged, 130 when interrupted."""
    from deepfake_mtl.inference.batch.run import exit_status, judge_all

    options = DetectOptions(
        threshold=_threshold(arguments.threshold),
        step=arguments.step,
        clips=arguments.clips,
        device=arguments.device,
        detector_model=arguments.detector_model,
        limits=Limits(arguments.max_megapixels, arguments.max_hours),
    )
    inputs = find_inputs(arguments.videos, arguments.out)
    settings = WorkerSettings(
        arguments.ckpt_path,
        options,
        arguments.workers,
        len(inputs.videos),
        tuple(arguments.trust),
        arguments.patience,
    )
    try:
        verdicts = judge_all(inputs, arguments.out, settings, annotate=arguments.annotate)
    except KeyboardInterrupt:
        print("Interrupted: the same command goes on where it was")
        return _INTERRUPTED
    for line in describe_left_out(inputs):
        print(line)
    print(
        f"{len(verdicts)} answers are in {shown(arguments.out)}: see {TABLE}, and open "
        f"{shown(arguments.out / INDEX)}"
    )
    return exit_status(verdicts)


def _threshold(text: str) -> float | Literal["calibrated"]:
    if text == CALIBRATED:
        return CALIBRATED
    try:
        return float(text)
    except ValueError as error:
        raise ConfigurationError(
            f"--threshold is {text!r}: {CALIBRATED}, or a number from 0 to 1"
        ) from error
