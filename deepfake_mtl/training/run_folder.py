"""Where a run keeps what, such that no test writes over what another one has found."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from deepfake_mtl.data.treatments import parse_degradation
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.evaluation.files import FEATURES, PAGE, PREDICTIONS, RESULTS

PARTIAL: Final = "partial"
"""Folder of what was found by a part of a test, such as a trial of a few batches."""

EARLIER: Final = "earlier"
"""Folder of what other tests had found, which another test took the place of."""

_OF_SPEED: Final = ("batch_size", "num_workers")
"""Options of the data that do not decide what is tested."""


def results_folder(run: Path, test_on: str | None, degradation: str | None) -> Path:
    """Return where a test writes to: a folder of its own for each corpus and degradation.

    Args:
        run: The run folder.
        test_on: Corpus of the test; see `DeepfakeDataModule`.
        degradation: Treatment of the clips of the test, likewise.
    """
    if test_on is not None:
        run = run / "tests" / _label(test_on)
    if degradation is not None:
        name, strength = parse_degradation(degradation)
        run = run / "robustness" / f"{name}-{strength:g}"
    return run


def check_labels(test_on: Sequence[str]) -> None:
    """See that the tests on several corpora have folders of their own.

    Raises:
        ConfigurationError: Two corpora have folders of the same name.
    """
    twice = [label for label, count in Counter(map(_label, test_on)).items() if count > 1]
    if twice:
        raise ConfigurationError(
            f"two corpora to test on would have the same folder, {twice[0]}: give their folders "
            "different names, for example by links"
        )


def is_tested(run: Path, test_on: str | None, degradation: str | None = None) -> bool:
    """Return whether the results of a test are there, and are of the corpus in that folder.

    Args:
        run: The run folder.
        test_on: The corpus; None where any is meant, such as that of the training.
        degradation: Treatment of the clips of the test; see `DeepfakeDataModule`.
    """
    results = read_results(results_folder(run, test_on, degradation))
    if results is None:
        return False
    return test_on is None or _resolved(_root(test_on)) == _corpus_root(results)


def read_results(folder: Path) -> dict[str, Any] | None:
    """Return the content of ``results.json``; None where there is none that can be understood."""
    try:
        results: dict[str, Any] = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
        results["corpus"]["name"], results["checkpoint"], results["config"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return results


def set_aside(folder: Path, about: Mapping[str, Any]) -> Path | None:
    """Move the results of another test out of the way.

    Args:
        folder: Where a test is about to write to.
        about: What it is of: ``corpus``, ``checkpoint`` and ``config``, as ``results.json`` has
            them.

    Returns:
        Where to; None where there is nothing, or what is there is of the same test.
    """
    results = read_results(folder)
    if results is None or _identity(results) == _identity(about):
        return None
    numbers = [int(path.name) for path in (folder / EARLIER).glob("*") if path.name.isdecimal()]
    target = folder / EARLIER / str(max(numbers, default=0) + 1)
    target.mkdir(parents=True)
    for name in (PREDICTIONS, PAGE, FEATURES, RESULTS):
        if (folder / name).is_file():
            (folder / name).replace(target / name)
    return target


def _label(test_on: str) -> str:
    """Return the name of the corpus, where it has one, and that of its folder."""
    name, separator, _ = test_on.partition("=")
    folder = Path(_root(test_on)).resolve().name
    return f"{name}-{folder}" if separator and folder.casefold() != name.casefold() else folder


def _root(test_on: str) -> str:
    name, separator, root = test_on.partition("=")
    return root if separator else name


def _identity(results: Mapping[str, Any]) -> str:
    """Return what decides what a test finds, as text."""
    corpus = {**results["corpus"], "root": _corpus_root(results)}
    data = {
        name: value
        for name, value in (results["config"].get("data") or {}).items()
        if name not in _OF_SPEED
    }
    checkpoint = results["checkpoint"] and _resolved(results["checkpoint"])
    return json.dumps([corpus, checkpoint, data], sort_keys=True, default=str)


def _corpus_root(results: Mapping[str, Any]) -> str:
    return _resolved(results["corpus"].get("root", ""))


def _resolved(path: str) -> str:
    return str(Path(path).resolve())
