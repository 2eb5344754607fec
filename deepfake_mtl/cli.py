"""The command ``deepfake-mtl``: LightningCLI's subcommands, and tools beside them."""

import argparse
import inspect
import os
import re
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Final

from deepfake_mtl import __version__
from deepfake_mtl.errors import DeepfakeMTLError
from deepfake_mtl.training.words import TRAINER_COMMANDS

if TYPE_CHECKING:
    from deepfake_mtl.arguments import Command

# albumentations would ask the network for a newer release whenever it is imported.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")


_COMMANDS: Final = {
    "demo": "synthesize, fit, test, and a page of results",
    "synthesize": "write a synthetic corpus",
    "prepare": "crop the faces of a corpus into a store",
    **TRAINER_COMMANDS,
    "robustness": "test a checkpoint on degraded videos",
    "benchmark": "fit and test every configuration and fold",
    "report": "tables and a page of a benchmark",
    "detect": "judge videos: real or fake, face by face",
    "export": "turn a checkpoint into a folder to hand out",
}
"""All subcommands, in the order of their use, and what they do."""

_TOOLS: Final = {
    "demo": "deepfake_mtl.experiments.demo",
    "synthesize": "deepfake_mtl.synthetic.command",
    "prepare": "deepfake_mtl.faces.command",
    "robustness": "deepfake_mtl.experiments.robustness",
    "benchmark": "deepfake_mtl.experiments.command",
    "report": "deepfake_mtl.experiments.report.command",
    "detect": "deepfake_mtl.inference.batch.command",
    "export": "deepfake_mtl.inference.export.command",
}
"""Modules of the subcommands that are not Lightning's, each imported when it is named.

The dataclasses that its function ``run`` takes are the options, its docstring is the help. It
imports only what these need, so that ``--help`` answers at once; ``run`` imports the rest.
"""

_ERROR_STATUS: Final = 2

_DASHED: Final = re.compile(r"--[A-Za-z][\w.]*-[\w.-]*")
"""How an option begins that is spelled with dashes, as some were before 0.2."""


def main(args: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        args: Words of the command line, without the name of the program; those of the process by
            default.

    Returns:
        The exit status: 0, or 2 after an error, whose message went to standard error.
    """
    words = _with_underscores(sys.argv[1:] if args is None else args)
    try:
        return _dispatch(words)
    except DeepfakeMTLError as error:
        message = _in_options(words, _own_words(error))
        print(f"deepfake-mtl: error: {message}", file=sys.stderr)
        return _ERROR_STATUS


def run() -> None:
    """Run the command of this process and exit with its status."""
    sys.exit(main())


def _with_underscores(words: Sequence[str]) -> list[str]:
    """Spell options with underscores, and warn of those that are spelled with dashes.

    No option of any command has a dash in its name.
    """
    spelled = list(words)
    for position, word in enumerate(words):
        if match := _DASHED.match(word):
            name = "--" + match[0].removeprefix("--").replace("-", "_")
            spelled[position] = name + word[match.end() :]
            print(
                f"deepfake-mtl: warning: {match[0]} is spelled {name}; the dashes are accepted "
                "until release 0.2",
                file=sys.stderr,
            )
    return spelled


def _dispatch(words: Sequence[str]) -> int:
    if words and words[0] in _TOOLS:
        return _command(words[0])(words[1:])
    if words and words[0] in TRAINER_COMMANDS:
        # Seconds of importing that --help and the tools do without.
        from deepfake_mtl.training.command import run_trainer_command  # noqa: PLC0415

        run_trainer_command(words)
        return 0
    _overview().parse_args(words)
    return 0


def _command(name: str) -> "Command":
    from deepfake_mtl.arguments import Command  # noqa: PLC0415 (a quarter of a second)

    tool = import_module(_TOOLS[name])
    return Command(name, tool.run, tool.__doc__ or "")


def _overview() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="deepfake-mtl",
        description="Deepfake detection that generalises to unseen manipulations.",
        epilog="deepfake-mtl COMMAND --help tells about a command; begin with deepfake-mtl demo.",
        formatter_class=partial(argparse.HelpFormatter, max_help_position=20),
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subcommands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, description in _COMMANDS.items():
        subcommands.add_parser(name, help=description)
    return parser


def _in_options(words: Sequence[str], message: str) -> str:
    """Name the options of the command that is running where a message names parameters.

    The library writes parameters in backquotes, as Python does: ```on_missing="skip"```.
    """
    if "`" not in message:
        return message
    from deepfake_mtl.arguments import in_options  # noqa: PLC0415 (a quarter of a second)

    spelled: dict[str, str] = {}
    passes_on = words[0] in TRAINER_COMMANDS
    if words[0] in _TOOLS:
        command = _command(words[0])
        spelled, passes_on = command.spelled, command.passes_on
    if passes_on:
        spelled = _trainer_options() | spelled
    return in_options(message, spelled)


def _trainer_options() -> dict[str, str]:
    """Return how the options of Lightning's subcommands are spelled, by their parameters."""
    # Slow, but the command that failed has imported them.
    from pytorch_lightning import Trainer  # noqa: PLC0415

    from deepfake_mtl.data.datamodule import DeepfakeDataModule  # noqa: PLC0415
    from deepfake_mtl.detector import Detector  # noqa: PLC0415

    sections = {"trainer": Trainer, "model": Detector, "data": DeepfakeDataModule}
    spelled = {"ckpt_path": "--ckpt_path", "config": "--config"}
    for section, part in sections.items():
        spelled |= {name: f"--{section}.{name}" for name in inspect.signature(part).parameters}
    return spelled


def _own_words(error: DeepfakeMTLError) -> str:
    """Return the message of an error, without the traceback that a DataLoader puts before it."""
    return str(error).rsplit(f"{type(error).__name__}: ", 1)[-1].strip()
