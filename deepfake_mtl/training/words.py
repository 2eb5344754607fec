"""The words of a command line, before a parser sees them."""

from collections.abc import Sequence
from typing import Final

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.training.configuration import find_config

TRAINER_COMMANDS: Final = {
    "fit": "train a detector with a manipulation held out",
    "validate": "score the validation videos with a checkpoint",
    "test": "test a checkpoint on the held-out and the seen manipulations",
    "predict": "score every video of a corpus with a checkpoint",
}
"""Lightning's subcommands, and what they do."""


def check_order(words: Sequence[str]) -> None:
    """See that configuration files stand before all other options, which they would override.

    Raises:
        ConfigurationError: One stands after an option.
    """
    earlier = ""
    for word in words[1:]:
        if word in ("--config", "-c") or word.startswith("--config="):
            if earlier:
                raise ConfigurationError(
                    f"--config stands after {earlier}, which it would override in silence: write "
                    f"deepfake-mtl {words[0]} --config FILE ... first, other options after it"
                )
        elif word.startswith("--"):
            earlier = word.split("=", 1)[0]


def with_configs_found(words: Sequence[str]) -> list[str]:
    """Return the words with the path of each configuration file; see `find_config`."""
    found = list(words)
    for position, word in enumerate(words):
        if word in ("--config", "-c") and position + 1 < len(words):
            found[position + 1] = find_config(words[position + 1])
        elif word.startswith("--config="):
            found[position] = "--config=" + find_config(word.removeprefix("--config="))
    return found


def option(words: Sequence[str], name: str) -> str | None:
    """Return the value of an option, the last one where it stands several times."""
    value = None
    for position, word in enumerate(words):
        if word == name and position + 1 < len(words):
            value = words[position + 1]
        elif word.startswith(f"{name}="):
            value = word.split("=", 1)[1]
    return value


def replace_option(words: Sequence[str], name: str, value: str) -> list[str]:
    """Return the words with another value of an option, or with the option added."""
    replaced = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word == name:
            skip = True
        elif not word.startswith(f"{name}="):
            replaced.append(word)
    return [*replaced, f"{name}={value}"]
