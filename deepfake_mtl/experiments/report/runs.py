"""What a benchmark was to run, and what of it is there."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from deepfake_mtl.data.protocol import TestSet
from deepfake_mtl.errors import DeepfakeMTLError
from deepfake_mtl.evaluation.files import FEATURES, PREDICTIONS, RESULTS
from deepfake_mtl.evaluation.predictions import Prediction, read_predictions
from deepfake_mtl.evaluation.results import SCHEMA_VERSION, Results
from deepfake_mtl.evaluation.statistics import MetricName
from deepfake_mtl.evaluation.table import threshold_of
from deepfake_mtl.experiments.files import FAILURE, PLAN, PLAN_VERSION
from deepfake_mtl.experiments.plan import HELD_OUT, LOSSES, SEED

State = Literal["finished", "failed", "missing"]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """What one checkpoint did in one test.

    Attributes:
        results: The content of ``results.json``.
        predictions: The content of ``predictions.csv``.
    """

    results: Results
    predictions: Sequence[Prediction]

    @property
    def threshold(self) -> float | None:
        """The one calibrated on validation videos, or None."""
        return threshold_of(self.results)

    def metric(self, name: MetricName, of: TestSet) -> float | None:
        """Return what the test found, or None where there are not both originals and fakes.

        Args:
            name: The metric.
            of: The set of the test.
        """
        report = self.results["figures"][of]
        return report[name] if report and report["real"] and report["fake"] else None


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One training and its tests.

    Attributes:
        name: Folder of the run within that of the benchmark.
        settings: What it has on each axis, as text.
        state: Whether there is a result.
        reason: Why there is none, or None.
        test: The test that the benchmark is about, or None if the run is not finished.
        elsewhere: Further tests of the same checkpoint, by name.
        unreadable: Files beside the test that could not be read, each with the reason.
        folder: Where its files are.
    """

    name: str
    settings: Mapping[str, str]
    state: State
    reason: str | None
    test: Evaluated | None
    elsewhere: Mapping[str, Evaluated]
    unreadable: Sequence[str]
    folder: Path

    @property
    def fold(self) -> str:
        """What was held out."""
        return self.settings.get(HELD_OUT, "all")

    @property
    def seed(self) -> str:
        """Seed of the training; metrics are averaged over seeds."""
        return self.settings.get(SEED, "0")


@dataclass(frozen=True, slots=True, eq=False)
class Benchmark:
    """A benchmark, perhaps partly finished.

    Attributes:
        folder: Where it is.
        command: What it was started with.
        axes: The values of each axis, as text, in the order of the plan.
        runs: All planned runs.
    """

    folder: Path
    command: str
    axes: Mapping[str, Sequence[str]]
    runs: Sequence[Run]

    @property
    def folds(self) -> list[str]:
        """What was, or is to be, held out."""
        return list(dict.fromkeys(run.fold for run in self.runs))

    @property
    def configurations(self) -> list[str]:
        """The configurations by name: every axis but the fold and the seed."""
        return list(dict.fromkeys(self.configuration(run) for run in self.runs))

    @property
    def other_axes(self) -> list[str]:
        """The axes that make the configuration."""
        return [axis for axis in self.axes if axis not in (SEED, HELD_OUT)]

    @property
    def finished(self) -> list[Run]:
        """The runs that have a test."""
        return [run for run in self.runs if run.test is not None]

    def configuration(self, run: Run) -> str:
        """Name a run's configuration: its losses, and whatever else differs."""
        losses = [run.settings[LOSSES]] if LOSSES in self.axes else []
        return ", ".join([*losses, *self.further(run)]) or "all runs"

    def further(self, run: Run) -> list[str]:
        """Name what a run's configuration has beside its losses, of axes with several values.

        An axis goes by the last part of its name, unless another one ends alike.
        """
        axes = [axis for axis in self.other_axes if axis != LOSSES and len(self.axes[axis]) > 1]
        ends = [axis.rsplit(".", 1)[-1] for axis in axes]
        return [
            f"{end if ends.count(end) == 1 else axis}={run.settings[axis]}"
            for axis, end in zip(axes, ends, strict=True)
        ]

    def of(self, configuration: str, fold: str) -> list[Run]:
        """Return the runs of a cell of the table, one for each seed."""
        return [
            run
            for run in self.runs
            if run.fold == fold and self.configuration(run) == configuration
        ]


def read_benchmark(folder: Path) -> Benchmark:
    """Read the folder of a benchmark.

    Whatever a run lacks makes the run missing or failed, with a reason; only the plan must exist.

    Args:
        folder: Folder that holds ``plan.json``.

    Raises:
        DeepfakeMTLError: If there is no plan, or it cannot be read.
    """
    path = folder / PLAN
    try:
        plan = _object(json.loads(path.read_text(encoding="utf-8")))
        if plan.get("schema_version") != PLAN_VERSION:
            raise DeepfakeMTLError(
                f"{path}: has schema version {plan.get('schema_version')!r}, and {PLAN_VERSION} is "
                "read here: report it with the release that ran the benchmark"
            )
        axes = {
            str(axis): [label(value) for value in _list(values)]
            for axis, values in _object(plan["axes"]).items()
        }
        runs = [_read_run(folder, _object(entry), axes) for entry in _list(plan["runs"])]
        return Benchmark(folder, str(plan.get("command", "")), axes, runs)
    except FileNotFoundError:
        raise DeepfakeMTLError(
            f"{path}: no such file; name a folder that `deepfake-mtl benchmark` wrote"
        ) from None
    except (ValueError, KeyError, TypeError, NotADirectoryError) as error:
        raise DeepfakeMTLError(
            f"{path}: cannot be read as the plan of a benchmark ({type(error).__name__}: {error}); "
            "let `deepfake-mtl benchmark` write it again"
        ) from error


def label(value: object) -> str:
    """Return a value of an axis as text: ``FaceSwap``, ``0``, ``true``, ``Deepfakes+FaceSwap``."""
    if isinstance(value, list | tuple):
        return "+".join(map(label, value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else str(value)


def read_features(run: Run) -> tuple[np.ndarray, list[str]] | None:
    """Read the features of a run's test videos.

    Returns:
        Float array [N, D] and the method of each video; None if there is no ``features.npz``.

    Raises:
        DeepfakeMTLError: If the file cannot be read.
    """
    path = run.folder / FEATURES
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            features, methods = np.asarray(arrays["features"], np.float64), arrays["methods"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise DeepfakeMTLError(f"{path}: cannot be read ({error})") from error
    if features.ndim != 2 or methods.shape != features.shape[:1] or not np.isfinite(features).all():
        raise DeepfakeMTLError(f"{path}: needs finite features [N, D] and methods [N]")
    return features, [str(method) for method in methods]


def _read_run(folder: Path, entry: Mapping[str, object], axes: Mapping[str, list[str]]) -> Run:
    name = str(entry["name"])
    settings = {axis: label(value) for axis, value in _object(entry["settings"]).items()}
    lacking = axes.keys() - settings.keys()
    if lacking:
        raise ValueError(f"the run {name} has no {min(lacking)}")
    place = folder / name
    if not place.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"the run {name} is outside of the folder")
    state, reason, test = _read_state(place, settings)
    elsewhere: dict[str, Evaluated] = {}
    unreadable: list[str] = []
    for path in sorted((place / "tests").glob(f"*/{RESULTS}")):
        try:
            elsewhere[path.parent.name] = _read_test(path.parent)
        except DeepfakeMTLError as error:
            unreadable.append(str(error))
    return Run(name, settings, state, reason, test, elsewhere, unreadable, place)


def _read_state(
    place: Path, settings: Mapping[str, str]
) -> tuple[State, str | None, Evaluated | None]:
    failure = place / FAILURE
    if (place / RESULTS).is_file() and (place / PREDICTIONS).is_file():
        try:
            test = _read_test(place)
            _require_held_out(test, settings)
        except DeepfakeMTLError as error:
            return "failed", str(error), None
        return "finished", None, test
    if failure.is_file():
        lines = failure.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return "failed", lines[0] if lines else f"{FAILURE} is empty", None
    return "missing", "not started" if not place.is_dir() else "not finished", None


def _read_test(place: Path) -> Evaluated:
    path = place / RESULTS
    try:
        results: Results = json.loads(path.read_text(encoding="utf-8"))
        version = results["schema_version"]
        results["corpus"]["synthetic"], results["figures"]["recall"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DeepfakeMTLError(f"{path}: cannot be read ({error}); test again") from error
    if version != SCHEMA_VERSION:
        raise DeepfakeMTLError(
            f"{path}: has schema version {version}, and {SCHEMA_VERSION} is read here; test again"
        )
    return Evaluated(results, read_predictions(place))


def _require_held_out(test: Evaluated, settings: Mapping[str, str]) -> None:
    """Refuse a test of another fold: a metric in the wrong column would be worse than none."""
    if HELD_OUT not in settings:
        return
    planned = settings[HELD_OUT].strip("[]").replace(",", "+").split("+")
    names = {name.strip(" \"'") for name in planned} - {"none", ""}
    if names != set(test.results["held_out"]):
        raise DeepfakeMTLError(
            f"results.json is of {label(test.results['held_out'])} held out, not of "
            f"{settings[HELD_OUT]}; remove the folder and run the benchmark again"
        )


def _object(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is not an object")
    return value


def _list(value: object) -> Sequence[object]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is not a list")
    return value
