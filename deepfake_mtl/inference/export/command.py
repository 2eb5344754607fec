"""Turn a checkpoint into a folder to hand out.

It holds the weights as safetensors, a configuration, a model card, and the network as torch.export
traces it. `deepfake-mtl detect` takes it in the place of a checkpoint; no Lightning is needed.
"""

# ruff: noqa: PLC0415 (what --help does without takes seconds to import: `run` imports it)

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to a parser."""
    parser.add_argument(
        "--ckpt_path", type=Path, required=True, metavar="FILE", help="checkpoint of `fit`"
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
        "--out", type=Path, required=True, metavar="DIR", help="new folder for what is written"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from deepfake_mtl.inference.export.folder import PROGRAM, export_detector
    from deepfake_mtl.inference.loading import load_detector

    exported = export_detector(load_detector(arguments.ckpt_path, arguments.trust), arguments.out)
    if exported.difference is None:
        print(f"{PROGRAM} was left out: the network cannot be traced ({exported.untraced})")
    else:
        print(f"Traced; probabilities differ by {exported.difference:.1e} at most")
    print(f"Weights, configuration and model card are in {exported.folder}")
    return 0
