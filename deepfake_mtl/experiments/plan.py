"""Which runs a benchmark is made of, and what each is told. Starts nothing."""

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from deepfake_mtl.data.protocol import parse_held_out
from deepfake_mtl.data.records import MANIPULATIONS
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.training.configuration import configs_folder, find_config

LOSSES: Final = "losses"
HELD_OUT: Final = "held_out"
SEED: Final = "seed"
ALL: Final = "all"

_OPTION: Final = re.compile(r"[A-Za-z_]\w*(\.\w+)+")
_UNSAFE: Final = re.compile(r"[^\w.+-]+")

Axes = Mapping[str, Sequence[str]]
"""Names of what varies, with the values that it takes; see `make_plan`."""


@dataclass(frozen=True, slots=True)
class Run:
    """One training and its test.

    Attributes:
        name: Folder of the run below that of the benchmark, with slashes; unique.
        settings: The value of each axis.
    """

    name: str
    settings: Mapping[str, str]

    def words(self) -> list[str]:
        """Return the options of ``deepfake-mtl fit`` and ``test`` that make the run what it is.

        Configuration files come first, as the command line wants them.
        """
        files, options = [], []
        for axis, value in self.settings.items():
            if axis == LOSSES:
                files.append(f"--config={_losses_file(value)}")
            elif axis == HELD_OUT:
                several = value.split("+")
                options.append(
                    f"--data.held_out={value if len(several) == 1 else json.dumps(several)}"
                )
            elif axis == SEED:
                options.append(f"--seed_everything={value}")
            else:
                options.append(f"--{axis}={value}")
        return [*files, *options]


@dataclass(frozen=True, slots=True)
class Plan:
    """All runs of a benchmark.

    Attributes:
        axes: What varies.
        runs: Every combination of the axes' values. Seeds come last, so that there is a whole
            table of one before the next begins.
    """

    axes: Axes
    runs: tuple[Run, ...]


def make_plan(axes: Axes) -> Plan:
    """Combine the values of all axes.

    Args:
        axes: ``losses``: names of files in ``configs/losses``, or paths of such files;
            ``held_out``: names of manipulations, several joined by ``+``; ``seed``: whole numbers;
            and any option of the command line, for example ``model.separate_encoders``. ``all``
            stands for every file of the library or every manipulation.

    Raises:
        ConfigurationError: An axis is unknown or empty, a value stands twice, or is unknown.
    """
    full = {axis: _values(axis, list(values)) for axis, values in axes.items()}
    order = sorted(full, key=lambda axis: axis == SEED, reverse=True)  # seeds outermost
    combinations = itertools.product(*(full[axis] for axis in order))
    runs = []
    for combination in combinations:
        chosen = dict(zip(order, combination, strict=True))
        settings = {axis: chosen[axis] for axis in full}
        runs.append(Run(_name(settings), settings))
    names = [run.name.lower() for run in runs]  # one folder on macOS and on Windows
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(
                f"two runs would have the folder {name}: make the values of the axes differ in "
                "letters, not by case alone, or in digits"
            )
    return Plan(full, tuple(runs))


def read_axes(path: Path) -> dict[str, list[str]]:
    """Read the axes of a benchmark from a YAML file such as those in ``configs/benchmarks``.

    Args:
        path: A file with a mapping ``axes`` from names to a value or a list of values; a whole
            number as ``seed`` means so many seeds.

    Raises:
        ConfigurationError: The file is missing or not of this form.
    """
    path = Path(find_config(str(path)))
    remedy = "expected a mapping `axes`, as in configs/benchmarks/table.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path}: cannot be read ({error}); {remedy}") from error
    axes = content.get("axes") if isinstance(content, dict) else None
    if not isinstance(axes, dict) or set(content) != {"axes"}:
        raise ConfigurationError(f"{path}: holds something else; {remedy}")
    read = {}
    for axis, values in axes.items():
        if axis == SEED and isinstance(values, int):
            read[SEED] = seeds(values)
        else:
            items = values if isinstance(values, list) else [values]
            read[str(axis)] = [
                each if isinstance(each, str) else json.dumps(each) for each in items
            ]
    return read


def seeds(count: int) -> list[str]:
    """Return the seeds 0, 1, 2, ...

    Raises:
        ConfigurationError: The count is below 1.
    """
    if count < 1:
        raise ConfigurationError(f"{count} seeds: at least 1")
    return [str(seed) for seed in range(count)]


def take_shard(runs: Sequence[Run], shard: str) -> tuple[Run, ...]:
    """Return every N-th run from the I-th on, for ``I/N``, I from 1 to N.

    Raises:
        ConfigurationError: The shard is not of this form.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", shard)
    index, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= index <= count:
        raise ConfigurationError(f"`shard` is {shard}: expected I/N, with I from 1 to N")
    return tuple(runs[index - 1 :: count])


def _values(axis: str, values: list[str]) -> list[str]:
    if axis not in (LOSSES, HELD_OUT, SEED) and not _OPTION.fullmatch(axis):
        raise ConfigurationError(
            f"{axis}: neither {LOSSES}, {HELD_OUT} nor {SEED}, nor an option of the command line "
            "such as model.separate_encoders"
        )
    if values == [ALL] and axis == LOSSES:
        return sorted(path.stem for path in (configs_folder() / "losses").glob("*.yaml"))
    if values == [ALL] and axis == HELD_OUT:
        return list(MANIPULATIONS)
    if not values:
        raise ConfigurationError(f"{axis}: has no value")
    if len(set(values)) < len(values):
        raise ConfigurationError(f"{axis}: a value stands twice in {', '.join(values)}")
    for value in values:
        if axis == LOSSES:
            _losses_file(value)
        elif axis == SEED and not value.isdecimal():
            raise ConfigurationError(f"seed {value}: a whole number is wanted")
        elif axis == HELD_OUT and value != "none":
            parse_held_out(value.split("+"))
    return values


def _losses_file(name: str) -> str:
    return find_config(name if name.endswith(".yaml") else f"configs/losses/{name}.yaml")


def _name(settings: Mapping[str, str]) -> str:
    parts = []
    for axis, value in settings.items():
        if axis == LOSSES:
            part = value.removesuffix(".yaml")
        elif axis == HELD_OUT:
            part = value
        elif axis == SEED:
            part = f"seed-{value}"
        else:
            part = f"{axis.rpartition('.')[2]}={value}"
        parts.append(_UNSAFE.sub("_", part.replace("=", "-")).strip("._") or "_")
    return "/".join(parts)
