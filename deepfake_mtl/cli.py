"""The command ``deepfake-mtl``: LightningCLI's subcommands, and tools beside them."""

import argparse
import inspect
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from deepfake_mtl import __version__
from deepfake_mtl.errors import DeepfakeMTLError

# albumentations would ask the network for a newer release whenever it is imported.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

_TRAINER_COMMANDS: Final = {
    "fit": "train a detector with a manipulation held out",
    "validate": "score the validation videos with a checkpoint",
    "test": "test a checkpoint on the held-out and the seen manipulations",
    "predict": "score every video of a corpus with a checkpoint",
}


@dataclass(frozen=True, slots=True)
class _Tool:
    """A subcommand with a parser of its own.

    Its module is imported when the command is named. It may import only what its options need, so
    that ``--help`` answers at once; its function ``run`` imports the rest.
    """

    module: str
    help: str


_TOOLS: Final = {
    "synthesize": _Tool("deepfake_mtl.synthetic.command", "write a synthetic corpus"),
    "prepare": _Tool("deepfake_mtl.faces.command", "crop the faces of a corpus into a store"),
    "benchmark": _Tool(
        "deepfake_mtl.experiments.command", "fit and test every configuration and fold"
    ),
    "robustness": _Tool(
        "deepfake_mtl.experiments.robustness", "test a checkpoint on degraded videos"
    ),
    "report": _Tool("deepfake_mtl.experiments.report.command", "tables and a page of a benchmark"),
    "detect": _Tool(
        "deepfake_mtl.inference.batch.command", "judge videos: real or fake, face by face"
    ),
    "export": _Tool(
        "deepfake_mtl.inference.export.command", "turn a checkpoint into a folder to hand out"
    ),
    "demo": _Tool("deepfake_mtl.experiments.demo", "synthesize, fit, test, and a page of results"),
}

_ERROR_STATUS: Final = 2

_DASHED: Final = re.compile(r"--[A-Za-z][\w.]*-[\w.-]*")
"""How an option begins that is spelled with dashes, as some were before 0.2."""

_PARAMETER: Final = re.compile(r"`(\w+)(?:=\"?([^`\"]*)\"?)?`")
"""A parameter in a message, with its value if there is one."""


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
        tool, parser = _tool(words[0])
        if getattr(tool, "PASSES_ON", False):
            status: int = tool.run(*parser.parse_known_args(words[1:]))
        else:
            status = tool.run(parser.parse_args(words[1:]))
        return status
    if words and words[0] in _TRAINER_COMMANDS:
        # Seconds of importing that --help and the tools do without.
        from deepfake_mtl.training.command import run_trainer_command  # noqa: PLC0415

        run_trainer_command(words)
        return 0
    _overview().parse_args(words)
    return 0


class _ToolParser(argparse.ArgumentParser):
    """A parser that remembers how its arguments are spelled, by the names of their values."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 (argparse's)
        self.spelled: dict[str, str] = {}
        super().__init__(**options)

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:  # noqa: ANN401
        action = super().add_argument(*names, **options)
        spellings = [*action.option_strings, action.metavar]
        self.spelled[action.dest] = str(spellings[0] or action.dest)
        return action


def _tool(name: str) -> tuple[ModuleType, _ToolParser]:
    tool = import_module(_TOOLS[name].module)
    parser = _ToolParser(
        prog=f"deepfake-mtl {name}",
        description=tool.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_arguments: Callable[[argparse.ArgumentParser], None] = tool.add_arguments
    add_arguments(parser)
    return tool, parser


def _overview() -> argparse.ArgumentParser:
    commands = {**{name: tool.help for name, tool in _TOOLS.items()}, **_TRAINER_COMMANDS}
    parser = argparse.ArgumentParser(
        prog="deepfake-mtl",
        description="Deepfake detection that generalises to unseen manipulations.",
        epilog="deepfake-mtl COMMAND --help tells about a command.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subcommands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, description in commands.items():
        subcommands.add_parser(name, help=description)
    return parser


def _in_options(words: Sequence[str], message: str) -> str:
    """Name the options of the command that is running where a message names parameters.

    The library writes parameters in backquotes, as Python does: ```on_missing="skip"```.
    """
    if not _PARAMETER.search(message):
        return message
    spelled: dict[str, str] = {}
    passes_on = words[0] in _TRAINER_COMMANDS
    if words[0] in _TOOLS:
        tool, parser = _tool(words[0])
        spelled = parser.spelled
        passes_on = getattr(tool, "PASSES_ON", False)
    if passes_on:
        from deepfake_mtl.data.datamodule import DeepfakeDataModule  # noqa: PLC0415 (slow)

        parameters = inspect.signature(DeepfakeDataModule).parameters
        spelled = {name: f"--data.{name}" for name in parameters} | spelled

    def option(match: re.Match[str]) -> str:
        name, value = match[1], match[2]
        if name not in spelled:
            return match[0]
        return spelled[name] if value is None else f"{spelled[name]} {value}"

    return _PARAMETER.sub(option, message)


def _own_words(error: DeepfakeMTLError) -> str:
    """Return the message of an error, without the traceback that a DataLoader puts before it."""
    return str(error).rsplit(f"{type(error).__name__}: ", 1)[-1].strip()
