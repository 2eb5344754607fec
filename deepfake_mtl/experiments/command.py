"""Train and test every configuration with every manipulation held out, several seeds each.

Runs what is not finished, each run in a process and a folder of its own; goes on past a run that
fails; goes on after an interruption with the same command. `deepfake-mtl report` then makes a table
and a page of it. Options of `fit` and `test`, such as --data.root, hold for all runs.
"""

# ruff: noqa: PLC0415 (what --help does without takes seconds to import: `run` imports it)

import shlex
import sys
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from deepfake_mtl.arguments import OtherOptions
from deepfake_mtl.data.protocol import seen_manipulations
from deepfake_mtl.data.records import ORIGINAL
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.experiments.folder import Base, save_plan, state_of
from deepfake_mtl.experiments.plan import (
    ALL,
    HELD_OUT,
    LOSSES,
    SEED,
    Plan,
    Run,
    make_plan,
    read_axes,
    seeds,
    take_shard,
)
from deepfake_mtl.experiments.runner import Outcome, run_all
from deepfake_mtl.training.run_folder import check_labels

_FAILED_STATUS: Final = 1


@dataclass(frozen=True, slots=True)
class Arguments:
    """What is run.

    Attributes:
        config: Configuration file of all runs; may be given several times.
        axes: File of what varies, as in configs/benchmarks.
        losses: Files in configs/losses, or ``all``.
        held_out: Manipulations to leave out, or ``all``.
        seeds: Number of seeds N: 0 to N - 1.
        sweep: Any option of ``fit``, and the values that it takes; may be given several times.
        out: Folder of the runs.
        jobs: Number of runs at a time.
        shard: I/N to run every N-th run only, from the I-th on (I from 1).
        checkpoint: Which checkpoint is tested: the best, by validation AUC, or the last.
        test_on: Another corpus to test on as well, as of ``data.test_on``; may be given several
            times.
        robustness: Test on degraded videos as well.
        dry_run: Show the plan, and run nothing.
    """

    _: KW_ONLY
    config: tuple[str, ...] = ()
    axes: Path | None = None
    losses: Sequence[str] = ()
    held_out: Sequence[str] = ()
    seeds: int | None = None
    sweep: tuple[Sequence[str], ...] = ()
    out: Path
    jobs: int = 1
    shard: str | None = None
    checkpoint: Literal["best", "last"] = "best"
    test_on: tuple[str, ...] = ()
    robustness: bool = False
    dry_run: bool = False


def run(arguments: Arguments, options: OtherOptions) -> int:
    """Run the command; returns 0, or 1 if a run failed."""
    if arguments.jobs < 1:
        raise ConfigurationError(f"`jobs` is {arguments.jobs}: at least 1")
    check_labels(arguments.test_on)
    plan = make_plan(_axes(arguments))
    base = Base(
        arguments.config,
        options,
        arguments.checkpoint,
        arguments.test_on,
        arguments.robustness,
    )
    runs = take_shard(plan.runs, arguments.shard) if arguments.shard else plan.runs
    _show(plan, runs, base, arguments)
    if arguments.dry_run:
        return 0
    save_plan(arguments.out, plan, base, shlex.join(["deepfake-mtl", *sys.argv[1:]]))
    try:
        outcomes = run_all(arguments.out, runs, base, arguments.jobs)
    except KeyboardInterrupt:
        print("Interrupted. The same command goes on.", file=sys.stderr)
        return 130
    return _conclude(outcomes, arguments.out)


def _axes(arguments: Arguments) -> dict[str, list[str]]:
    """Return what varies: the file's axes, and over them those of the command line."""
    axes: dict[str, list[str]] = {LOSSES: [ALL], HELD_OUT: [ALL]}
    read = read_axes(arguments.axes) if arguments.axes else {}
    axes |= {axis: values for axis, values in read.items() if axis != SEED}
    if arguments.losses:
        axes[LOSSES] = list(arguments.losses)
    for option, *values in arguments.sweep:
        axes[option.removeprefix("--")] = values
    if arguments.held_out:
        axes[HELD_OUT] = list(arguments.held_out)
    axes[SEED] = seeds(arguments.seeds) if arguments.seeds is not None else read.get(SEED, seeds(1))
    # So folders read from the general to the particular: configuration, fold, seed.
    axes[HELD_OUT] = axes.pop(HELD_OUT)
    axes[SEED] = axes.pop(SEED)
    return axes


def _show(plan: Plan, runs: Sequence[Run], base: Base, arguments: Arguments) -> None:
    """Print the plan, after all of its configurations were tried."""
    axes = ", ".join(f"{len(values)} {axis}" for axis, values in plan.axes.items())
    states = [state_of(arguments.out, each, base) for each in runs]
    shard = f"; shard {arguments.shard}: {len(runs)}" if arguments.shard else ""
    print(f"{len(plan.runs)} runs ({axes}){shard}; {states.count('finished')} are finished.")
    for fold, counts in _check(runs, base).items():
        print(f"  {fold}: {counts}")
    if arguments.dry_run:
        for each, state in zip(runs, states, strict=True):
            print(f"  {each.name}  {state}")


def _check(runs: Sequence[Run], base: Base) -> dict[str, str]:
    """Resolve the configuration of every run, and count the videos of every fold.

    Raises:
        DeepfakeMTLError: A configuration is wrong, or videos are missing.
    """
    from deepfake_mtl.data.datamodule import DeepfakeDataModule
    from deepfake_mtl.training.command import resolve_config

    checked: dict[tuple[str, ...], None] = {}
    folds: dict[str, str] = {}
    data: dict[str, Any]
    for each in runs:
        words = tuple(word for word in each.words() if not word.startswith("--seed_everything="))
        if words in checked:
            continue
        checked[words] = None
        both = sorted([*base.words(), *words], key=lambda word: not word.startswith("--config="))
        data = resolve_config(both)["data"]
        used = ("root", "held_out", "compression", "splits", "split_seed", "on_missing")
        datamodule = DeepfakeDataModule(**{name: data[name] for name in used})
        name = " and ".join(datamodule.held_out) or "nothing"
        name += f" held out of {datamodule.root}, {datamodule.compression}"
        if name not in folds:
            counts = datamodule.find_fold().counts()
            parts = []
            for split, methods in counts.items():
                seen = sum(methods[each] for each in seen_manipulations(datamodule.held_out))
                part = f"{split} {methods[ORIGINAL]} real, {seen} fake"
                if split == "test":
                    part += f" and {sum(methods[m] for m in datamodule.held_out)} held out"
                parts.append(part)
            folds[name] = "; ".join(parts)
    return folds


def _conclude(outcomes: Sequence[Outcome], folder: Path) -> int:
    failed = [each for each in outcomes if each.state == "failed"]
    print(f"{len(outcomes) - len(failed)} of {len(outcomes)} runs are finished in {folder}.")
    for each in failed:
        print(f"  {each.run.name} failed: {each.reason}", file=sys.stderr)
    print(f"A table and a page of what is there: deepfake-mtl report {folder}")
    return _FAILED_STATUS if failed else 0
