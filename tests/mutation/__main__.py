"""A mutation tester: which single changes of the code does no test notice?

``python -m tests.mutation deepfake_mtl/metrics --tests tests/metrics`` changes the code of files or
folders in one place at a time, and runs the tests that come by there until one fails. What no test
notices is printed. docs/mutation.md says how to read it, and what was found.

One process imports what is slow to import; each mutant is a fork of it that imports the library,
one of whose modules is changed on its way, and runs pytest. Needs a system that forks.
"""

import argparse
import contextlib
import gc
import importlib
import json
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.mutation.mutants import Mutant, Mutations
from tests.mutation.running import FAILED, Changed, Chosen, Plan, in_fork, run_pytest

SLOW_TO_IMPORT = (
    "torch",
    "torchvision",
    "torchmetrics.functional.classification",
    "pytorch_lightning",
    "jsonargparse",
    "albumentations",
    "cv2",
    "av",
    "sklearn.metrics",
    "scipy.stats",
    "torchjd.aggregation",
    "torchjd.autojac",
    "qpsolvers",
)
BAD = ("survived", "untested")


def judge(mutant: Mutant, plan: Plan, options: argparse.Namespace) -> str:
    """``caught``, ``time`` (caught by never ending), ``survived`` or ``untested``."""
    order = plan.tests_of(mutant, options.budget)
    result = "untested"
    if order:
        tests = list(dict.fromkeys(name.split("::")[0] for name in order))
        limit = 30 + 4 * sum(plan.seconds[name] for name in order)
        result = run(mutant, tests, order, limit, options.out)
    if result in BAD and options.elsewhere:
        result = run(mutant, ["-m", options.marks, *options.elsewhere], None, 60, options.out)
    return result


def run(
    mutant: Mutant, tests: Sequence[str], order: Sequence[str] | None, limit: float, out: Path
) -> str:
    """Run tests on a mutant."""

    def work() -> int:
        sys.meta_path.insert(0, Changed(mutant))
        return run_pytest(["-x", "--tb=line", *tests], Chosen(order))

    code = in_fork(work, limit, out / "mutant.log")
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return "time"
    if code in (pytest.ExitCode.NO_TESTS_COLLECTED, FAILED):
        sys.exit(f"{mutant.name} could not be tried: see {out / 'mutant.log'}")
    return "survived" if code == 0 else "caught"


def unique(names: Sequence[str]) -> list[str]:
    """Number those that stand more than once."""
    seen: Counter[str] = Counter()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return numbered


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("code", nargs="+", type=Path, help="files or folders to be changed")
    parser.add_argument("--tests", nargs="+", required=True, help="files or folders of tests")
    parser.add_argument(
        "--elsewhere", nargs="+", help="tests whose processes come by, run where no other fails"
    )
    parser.add_argument(
        "--unchanged", nargs="+", default=[], help="modules of the library to be imported once"
    )
    parser.add_argument("--sample", type=int, default=0, help="so many at random; 0 takes all")
    parser.add_argument("--seed", type=int, default=0, help="of the random sample")
    parser.add_argument("--marks", default="not slow", help="pytest's -m")
    parser.add_argument("--budget", type=float, default=60, help="seconds of tests a mutant")
    parser.add_argument("--again", type=Path, help="only the survivors in this file of results")
    parser.add_argument("--out", type=Path, help="folder of results")
    options = parser.parse_args()
    options.out = options.out or Path(tempfile.mkdtemp(prefix="mutation"))
    options.out.mkdir(parents=True, exist_ok=True)
    for name in (*SLOW_TO_IMPORT, *options.unchanged):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()  # what is imported is not gone through by each fork
    files = [
        path
        for code in options.code
        for path in (sorted(code.rglob("*.py")) if code.is_dir() else [code])
        if path.name != "__init__.py"
    ]
    early = {Changed(each).name for path in files for each in Mutations(path).found[:1]}
    if early & sys.modules.keys():
        sys.exit(f"--unchanged imports what is to be changed: {early & sys.modules.keys()}")
    mutants = [mutant for path in files for mutant in Mutations(path).found]
    total, names = len(mutants), unique([mutant.name for mutant in mutants])
    chosen = range(total)
    if options.again:
        before = json.loads(options.again.read_text())
        wanted = {each["name"] for each in before if each["result"] in BAD}
        chosen = [place for place in chosen if names[place] in wanted]
    elif options.sample and options.sample < total:
        chosen = sorted(random.Random(options.seed).sample(chosen, options.sample))
    print(f"{len(chosen)} of {total} mutants in {len(files)} files; {options.out}", flush=True)
    plan = Plan.of(files, ["-m", options.marks, *options.tests], options.out)
    print(f"{len(plan.seconds)} tests, {sum(plan.seconds.values()):.0f} s", flush=True)
    results = []
    for place in chosen:
        mutant = mutants[place]
        result = judge(mutant, plan, options)
        results.append({"name": names[place], "line": mutant.lines.start, "result": result})
        if result in BAD:
            source = mutant.path.read_text().splitlines()[mutant.lines.start - 1].strip()
            print(f"{result}, line {mutant.lines.start}: {names[place]}  | {source}", flush=True)
        (options.out / "results.json").write_text(json.dumps(results, indent=1))
    caught = sum(each["result"] not in BAD for each in results)
    print(f"{caught} of {len(results)} caught")


if __name__ == "__main__":
    main()
