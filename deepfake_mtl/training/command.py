"""fit, validate, test and predict, run from words or only resolved."""

import io
import logging
import warnings
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from typing import Any

import yaml

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.training.lightning_cli import DetectorCLI


def run_trainer_command(words: Sequence[str]) -> None:
    """Run one of Lightning's subcommands.

    Args:
        words: The subcommand and its options.

    Raises:
        DeepfakeMTLError: Something about the options or the data is wrong.
    """
    _quieten()
    # The words are parsed here alone: LightningCLI need not compare them with sys.argv.
    with ExitStack() as held:
        DetectorCLI(list(words), held)


def resolve_config(words: Sequence[str]) -> dict[str, Any]:
    """Return the whole configuration of a training, defaults included, without starting anything.

    Args:
        words: Options of ``deepfake-mtl fit``.

    Raises:
        ConfigurationError: An option is unknown or has no such value.
    """
    printed, complaints = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(printed), redirect_stderr(complaints):
            DetectorCLI(["fit", *words, "--print_config"], ExitStack())
    except SystemExit as stop:
        if stop.code:
            text = complaints.getvalue().strip()
            raise ConfigurationError(text.rpartition("error: ")[2] or text) from None
    config: dict[str, Any] = yaml.safe_load(printed.getvalue())
    return config


def _quieten() -> None:
    """Silence advice that does not apply, so that what is printed is worth reading."""
    for message in (
        ".*does not have many workers.*",
        ".*The number of training batches.*smaller than the logging interval.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",
    ):
        warnings.filterwarnings("ignore", message=message)
    logging.getLogger("pytorch_lightning.utilities.rank_zero").addFilter(
        lambda record: (
            "litlogger" not in record.getMessage() and "lightning.ai" not in record.getMessage()
        )
    )
