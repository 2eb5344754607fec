"""What a benchmark keeps in its folder: the plan, and what has become of each run."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.evaluation.files import RESULTS
from deepfake_mtl.experiments.files import FAILURE, PLAN, PLAN_VERSION, ROBUSTNESS
from deepfake_mtl.experiments.plan import Plan, Run, make_plan
from deepfake_mtl.training.configuration import find_config
from deepfake_mtl.training.run_folder import is_tested, results_folder
from deepfake_mtl.util.files import write_whole

State = Literal["finished", "failed", "begun", "missing"]


class _RunContent(TypedDict):
    name: str
    settings: Mapping[str, str]


class PlanContent(TypedDict):
    """The content of ``plan.json``."""

    schema_version: int
    command: str
    base: Mapping[str, str]
    axes: Mapping[str, Sequence[str]]
    runs: list[_RunContent]


@dataclass(frozen=True, slots=True)
class Base:
    """What all runs of a benchmark have in common.

    Attributes:
        configs: Configuration files, the later over the earlier ones.
        options: Options of ``deepfake-mtl fit`` and ``test``.
        checkpoint: The checkpoint that is tested: ``best`` or ``last``.
        test_on: Corpora that it is tested on beside its own, as of ``data.test_on``.
        robustness: Whether it is tested on degraded videos, too.
    """

    configs: tuple[str, ...]
    options: tuple[str, ...]
    checkpoint: Literal["best", "last"]
    test_on: tuple[str, ...] = ()
    robustness: bool = False

    def words(self) -> list[str]:
        """Return the options of ``deepfake-mtl fit`` and ``test``, configuration files first."""
        return [*(f"--config={find_config(name)}" for name in self.configs), *self.options]

    def lacking(self, place: Path) -> list[Path]:
        """List the files that a run still lacks in its folder until it is finished."""
        tests = (None, *self.test_on)
        files = [
            results_folder(place, each, None) / RESULTS
            for each in tests
            if not is_tested(place, each)
        ]
        if self.robustness and not (place / ROBUSTNESS).is_file():
            files.append(place / ROBUSTNESS)
        return files

    def description(self) -> dict[str, str]:
        """Return what must not change while a benchmark grows; files by their contents.

        Further tests may be asked for later.
        """
        digests = [
            hashlib.sha256(Path(find_config(name)).read_bytes()).hexdigest()[:16]
            for name in self.configs
        ]
        return {
            "configs": " ".join(self.configs),
            "configs_sha256": " ".join(digests),
            "options": " ".join(self.options),
            "checkpoint": self.checkpoint,
        }


def save_plan(folder: Path, plan: Plan, base: Base, command: str) -> None:
    """Write ``plan.json``, or add the runs of a plan to one that is there.

    Raises:
        ConfigurationError: The folder's plan is of other configuration files or options, so that
            its figures could not stand in one table with those of this plan.
    """
    description = base.description()
    path = folder / PLAN
    axes = {axis: list(values) for axis, values in plan.axes.items()}
    runs = {run.name: run for run in plan.runs}
    if path.is_file():
        earlier = read_plan(folder)
        differing = [
            f"{key} is {earlier['base'].get(key)!r} there and {value!r} here"
            for key, value in description.items()
            if key != "configs" and earlier["base"].get(key) != value
        ]
        if set(earlier["axes"]) != set(axes):
            differing.append(f"its axes are {', '.join(earlier['axes'])}, not {', '.join(axes)}")
        if differing:
            raise ConfigurationError(
                f"{path}: is the plan of another benchmark: {'; '.join(differing)}. Give the same "
                "configuration and options to go on with it, or choose another folder with `out`"
            )
        for axis, values in earlier["axes"].items():
            axes[axis] = [*values, *(each for each in axes[axis] if each not in values)]
        runs = {
            each["name"]: Run(each["name"], each["settings"]) for each in earlier["runs"]
        } | runs
    # In the order of a plan of all of it, of which some combinations may never have been asked for.
    order = [run.name for run in make_plan(axes).runs if run.name in runs]
    content: PlanContent = {
        "schema_version": PLAN_VERSION,
        "command": command,
        "base": description,
        "axes": axes,
        "runs": [{"name": name, "settings": dict(runs[name].settings)} for name in order],
    }
    write_whole(path, json.dumps(content, indent=2) + "\n")


def read_plan(folder: Path) -> PlanContent:
    """Read ``plan.json``.

    Raises:
        ConfigurationError: There is none, or it cannot be understood.
    """
    path = folder / PLAN
    try:
        content: PlanContent = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"{folder}: is not the folder of a benchmark, since it has no {PLAN}; `deepfake-mtl "
            "benchmark` makes one"
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: cannot be read ({error}); restore it") from error
    if not isinstance(content, dict) or content.get("schema_version") != PLAN_VERSION:
        raise ConfigurationError(f"{path}: is not a plan of version {PLAN_VERSION}; restore it")
    return content


def state_of(folder: Path, run: Run, base: Base) -> State:
    """Tell what has become of a run."""
    place = folder / run.name
    if not base.lacking(place):
        return "finished"
    if (place / FAILURE).is_file():
        return "failed"
    return "begun" if place.is_dir() else "missing"
