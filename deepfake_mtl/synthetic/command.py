"""The command ``deepfake-mtl synthesize``."""

# ruff: noqa: PLC0415 (what --help does without takes seconds to import: `run` imports it)

import argparse
from pathlib import Path

from deepfake_mtl.synthetic.config import RATE_FACTORS, SyntheticConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to a parser."""
    parser.description = (
        "Write a synthetic world in the layout of FaceForensics++: originals, four manipulations,"
        " masks and splits. It is made of rendered faces and holds no real person."
    )
    parser.add_argument(
        "root",
        type=Path,
        metavar="ROOT",
        help="folder to write; new or empty, or"
        " an unfinished world of the same options, which is then finished",
    )
    parser.add_argument(
        "--identities",
        type=int,
        default=60,
        metavar="N",
        help="number of people, even, 6 to 1000; each gives one original and four fakes"
        " (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=SyntheticConfig.seed,
        metavar="S",
        help="the same seed gives the same bytes (default: %(default)s)",
    )
    parser.add_argument(
        "--compression",
        choices=list(RATE_FACTORS),
        default=SyntheticConfig.compression,
        help="rate factor of H.264: 0, 23 or 40 (default: %(default)s)",
    )
    parser.add_argument(
        "--size",
        type=int,
        default=SyntheticConfig.size,
        metavar="PX",
        help="side of the square frames in pixels, even, at least 32 (default: %(default)s)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=SyntheticConfig.seconds,
        metavar="T",
        help="length of each video in seconds, at 25 frames a second (default: %(default)s)",
    )
    parser.add_argument(
        "--test_share",
        type=float,
        default=SyntheticConfig.test_share,
        metavar="SHARE",
        help="share of the people who are tested on (default: %(default)s)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=0,
        metavar="W",
        help="number of processes, 0 for one for each core; makes no difference to the files"
        " (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns its exit status.

    Raises:
        ConfigurationError: If an option is out of range, or ROOT holds something else.
    """
    from deepfake_mtl.synthetic.world import synthesize

    config = SyntheticConfig(
        identities=arguments.identities,
        seed=arguments.seed,
        compression=arguments.compression,
        size=arguments.size,
        seconds=arguments.seconds,
        test_share=arguments.test_share,
    )
    synthesize(arguments.root, config, workers=arguments.workers)
    return 0
