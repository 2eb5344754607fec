"""Test a checkpoint again and again on degraded videos, from weak to strong.

Each treatment and strength is a test of its own, in a folder of its own below `robustness` in the
run folder; what is finished is not done again. The metrics of all are in robustness.json, from
which `deepfake-mtl report` draws curves. Options of `test`, such as --data.root or
--data.test_on, may be given.
"""

# ruff: noqa: PLC0415 (what --help does without takes seconds to import: `run` imports it)

import json
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from deepfake_mtl.arguments import OtherOptions
from deepfake_mtl.data.protocol import TEST_SETS
from deepfake_mtl.data.treatments import TREATMENTS
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.evaluation.files import RESULTS
from deepfake_mtl.experiments.files import ROBUSTNESS, ROBUSTNESS_VERSION
from deepfake_mtl.training.run_folder import is_tested, read_results, results_folder
from deepfake_mtl.training.words import option
from deepfake_mtl.util.files import write_whole

_UNTREATED: Final = "none"


@dataclass(frozen=True, slots=True)
class Arguments:
    """What is tested.

    Attributes:
        ckpt_path: Checkpoint of ``deepfake-mtl fit``.
        treatments: Degradations to try; all by default.
        out: Folder of the results; by default the run folder of the checkpoint.
    """

    _: KW_ONLY
    ckpt_path: Path
    treatments: Sequence[Annotated[str, tuple(TREATMENTS)]] = ()
    out: Path | None = None


def run(arguments: Arguments, options: OtherOptions) -> int:
    """Run the command."""
    test_on = option(options, "--data.test_on")
    folder = arguments.out or arguments.ckpt_path.parent.parent
    words = [
        *options,
        f"--ckpt_path={arguments.ckpt_path}",
        f"--trainer.default_root_dir={folder}",
    ]

    def test(degradation: str | None) -> dict[str, Any]:
        more = [] if degradation is None else [f"--data.degradation={degradation}"]
        if not is_tested(folder, test_on, degradation):
            from deepfake_mtl.training.command import run_trainer_command

            run_trainer_command(["test", *words, *more])
        place = results_folder(folder, test_on, degradation)
        return _read(place, arguments.ckpt_path)

    untreated = test(None)
    size = untreated["config"]["data"]["size"]
    points = [_point(_UNTREATED, 0.0, "", untreated)]
    for name in arguments.treatments or TREATMENTS:
        treatment = TREATMENTS[name]
        for strength in treatment.strengths:
            if name == "downscale" and strength >= size:
                continue  # does nothing
            results = test(f"{name}:{strength:g}")
            points.append(_point(name, strength, treatment.unit, results))
    content = {"schema_version": ROBUSTNESS_VERSION, "points": points}
    place = results_folder(folder, test_on, None)
    path = write_whole(place / ROBUSTNESS, json.dumps(content, indent=2) + "\n")
    _show(points)
    print(f"All figures are in {path}")
    return 0


def _read(place: Path, checkpoint: Path) -> dict[str, Any]:
    """Return the results of a test of a checkpoint."""
    results = read_results(place)
    if results is None:
        raise ConfigurationError(
            f"{place / RESULTS}: was not written, since a part of the test was asked for only: "
            "leave out limit_test_batches and fast_dev_run"
        )
    if Path(results["checkpoint"] or "").resolve() != checkpoint.resolve():
        raise ConfigurationError(
            f"{place / RESULTS}: is of the checkpoint {results['checkpoint']}, not of "
            f"{checkpoint}: choose another folder with `out`, or delete this one"
        )
    return results


def _point(name: str, strength: float, unit: str, results: dict[str, Any]) -> dict[str, Any]:
    sets: dict[str, Any] = {each: results["figures"][each] for each in TEST_SETS}
    return {"treatment": name, "strength": strength, "unit": unit, **sets}


def _show(points: Sequence[dict[str, Any]]) -> None:
    print(f"\n{'treatment':<12}{'strength':>9}   AUC seen   held out")
    for point in points:
        cells = []
        for each in reversed(TEST_SETS):
            auc = (point[each] or {}).get("auc")
            cells.append("" if auc is None else f"{100 * auc:.1f} %")
        print(f"{point['treatment']:<12}{point['strength']:>9g}{cells[0]:>11}{cells[1]:>11}")
