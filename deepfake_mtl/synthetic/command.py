"""Write a synthetic corpus in the layout of FaceForensics++.

It has originals, four manipulations, masks and splits, and is made of rendered faces: it holds no
real person.
"""

# ruff: noqa: PLC0415 (what --help does without takes seconds to import: `run` imports it)

from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from deepfake_mtl.synthetic.config import SyntheticConfig


@dataclass(frozen=True, slots=True)
class Arguments:
    """Where the corpus is written.

    Attributes:
        root: Folder to write: new, empty, or an unfinished corpus of the same options, which is
            then finished.
        workers: Number of processes, 0 for one for each core; makes no difference to the files.
    """

    root: Path
    _: KW_ONLY
    workers: int = 0


def run(arguments: Arguments, config: SyntheticConfig) -> int:
    """Run the command; returns its exit status.

    Raises:
        ConfigurationError: If an option is out of range, or the folder holds something else.
    """
    from deepfake_mtl.synthetic.world import synthesize

    synthesize(arguments.root, config, workers=arguments.workers)
    return 0
