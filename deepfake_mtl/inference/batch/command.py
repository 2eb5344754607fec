"""Judge videos with a trained detector: real or fake, face by face.

For each video a JSON file and a page are written; for all a CSV and an index. What is there
already is not done again. Videos are judged in other processes: one that crashes its decoder, or
never ends, is an answer, too.
"""

# ruff: noqa: PLC0415 (what --help does without takes seconds to import: `run` imports it)

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import Annotated, Final

from deepfake_mtl.arguments import Without
from deepfake_mtl.data.text_files import shown
from deepfake_mtl.inference.batch.inputs import describe_left_out, find_inputs
from deepfake_mtl.inference.batch.jobs import INDEX, TABLE
from deepfake_mtl.inference.batch.workers import WorkerSettings
from deepfake_mtl.inference.options import DetectOptions, Limits

_INTERRUPTED: Final = 130


@dataclass(frozen=True, slots=True)
class Arguments:
    """What is judged, and how it is run.

    Attributes:
        videos: Video files, folders of them, and .txt files with a path in each line.
        ckpt_path: Checkpoint of ``deepfake-mtl fit``, or folder of ``deepfake-mtl export``.
        trust: Package from which classes are imported if the checkpoint names some, such as an
            encoder of your own; may be given several times.
        out: Folder where answers are written.
        annotate: Write annotated videos as well.
        workers: Number of processes, each with a copy of the detector; by default one a core, at
            most 8, or two a GPU; no more than videos.
        patience: Seconds of computing without progress after which a video is given up.
    """

    videos: Sequence[Path]
    _: KW_ONLY
    ckpt_path: Path
    trust: tuple[str, ...] = ()
    out: Path = Path("verdicts")
    annotate: bool = False
    workers: int | None = None
    patience: float = 60.0


def run(
    arguments: Arguments, options: Annotated[DetectOptions, Without(("limits",))], limits: Limits
) -> int:
    """Run the command; returns 0, 1 if a video could not be judged, 130 when interrupted."""
    from deepfake_mtl.inference.batch.run import exit_status, judge_all

    inputs = find_inputs(arguments.videos, arguments.out)
    settings = WorkerSettings(
        arguments.ckpt_path,
        replace(options, limits=limits),
        arguments.workers,
        len(inputs.videos),
        arguments.trust,
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
