"""With what the runs of a benchmark were made, and what differs between them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from deepfake_mtl.experiments.report.runs import Benchmark


@dataclass(frozen=True, slots=True)
class Setting:
    """A key of the configuration.

    Attributes:
        key: Path of the value in the configuration, joined by dots.
        values: Each value as JSON, with the number of runs that have it.
    """

    key: str
    values: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Setup:
    """What the finished runs were made with.

    Attributes:
        same: Configuration that all have, as JSON by key.
        differing: Keys that differ, or that some do not have.
        versions: Every version of each package, with the number of runs that had it.
        counts: For each fold its numbers of videos by split, real and fake, of every run that has
            others.
        missing: Videos that were not found, by method: the most of any run.
        corrupt: Videos that some run could not read.
    """

    same: Mapping[str, str]
    differing: Sequence[Setting]
    versions: Mapping[str, Mapping[str, int]]
    counts: Mapping[str, Sequence[Mapping[str, tuple[int, int]]]]
    missing: Mapping[str, int]
    corrupt: Sequence[str]


def read_setup(benchmark: Benchmark) -> Setup:
    """Gather configurations, versions and numbers of videos of all finished runs."""
    tests = [(run.fold, run.test.results) for run in benchmark.finished if run.test]
    configs = [dict(_flat(results["config"], "")) for _, results in tests]
    keys = list(dict.fromkeys(key for config in configs for key in config))
    found = [Setting(key, _tally(config.get(key, "absent") for config in configs)) for key in keys]
    packages = list(dict.fromkeys(name for _, results in tests for name in results["versions"]))
    counts: dict[str, list[Mapping[str, tuple[int, int]]]] = {fold: [] for fold, _ in tests}
    missing: dict[str, int] = {}
    corrupt: set[str] = set()
    for fold, results in tests:
        own = results["counts"]
        splits = {"train": own.get("train"), "val": own.get("val"), "test": own.get("test")}
        numbers = {name: (of["real"], of["fake"]) for name, of in splits.items() if of}
        if numbers not in counts[fold]:
            counts[fold].append(numbers)
        for method, number in own.get("missing", {}).items():
            missing[method] = max(number, missing.get(method, 0))
        corrupt.update(own.get("corrupt", []))
    return Setup(
        same={each.key: next(iter(each.values)) for each in found if len(each.values) == 1},
        differing=[each for each in found if len(each.values) > 1],
        versions={
            name: _tally(results["versions"].get(name, "absent") for _, results in tests)
            for name in packages
        },
        counts=counts,
        missing=missing,
        corrupt=sorted(corrupt),
    )


def _flat(value: object, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from _flat(item, f"{key}.{name}" if key else str(name))
    else:
        yield key, json.dumps(value, ensure_ascii=False, default=str)


def _tally(values: Iterator[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return counts
