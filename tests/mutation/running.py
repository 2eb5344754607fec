"""Runs tests in forks of a process that has imported what is slow to import."""

import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType

import coverage
import hypothesis
import pytest

from tests.mutation.mutants import Mutant

FAILED = 70
"""What a fork ends with that did not do its work."""


class Changed(importlib.abc.MetaPathFinder, importlib.machinery.SourceFileLoader):
    """Imports the file of a mutant from its changed tree."""

    def __init__(self, mutant: Mutant) -> None:
        name = ".".join(mutant.path.with_suffix("").parts).removesuffix(".__init__")
        super().__init__(name, str(mutant.path.resolve()))
        self.mutant = mutant

    def find_spec(self, name: str, path: object, target: object = None) -> object:
        del path, target
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=self)

    def get_code(self, fullname: str) -> CodeType:
        del fullname
        return self.mutant.compile()


class Chosen:
    """Runs some of the tests that are collected, in a given order, and the same in every run."""

    def __init__(self, order: Sequence[str] | None) -> None:
        self.order = order

    def pytest_sessionstart(self) -> None:
        from tests import processes  # noqa: PLC0415 (what it imports is mutated)

        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile(
            "mutation", deadline=None, database=None, derandomize=True, phases=phases
        )
        hypothesis.settings.load_profile("mutation")
        processes.METHOD = "fork"  # type: ignore[misc]  # of a changed process

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.order is not None:
            rank = {nodeid: place for place, nodeid in enumerate(self.order)}
            items[:] = sorted(
                (item for item in items if item.nodeid in rank),
                key=lambda item: rank[item.nodeid],
            )


class Watched(Chosen):
    """Notes how long each test takes, whether it passes, and which lines it comes by."""

    def __init__(self, cover: coverage.Coverage) -> None:
        super().__init__(None)
        self.cover = cover
        self.seconds: dict[str, float] = {}
        self.passed: dict[str, bool] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.cover.switch_context(item.nodeid)
        before = sum(os.times()[:4])
        try:
            return (yield)
        finally:
            self.cover.switch_context("")
            self.seconds[item.nodeid] = sum(os.times()[:4]) - before

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.passed[report.nodeid] = self.passed.get(report.nodeid, True) and report.passed


@dataclass(slots=True)
class Plan:
    """Which tests come by which line, and how long each takes."""

    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, dict[int, list[str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, files: Sequence[Path], tests: Sequence[str], out: Path) -> "Plan":
        """Run the tests.

        Args:
            files: Code whose lines are of interest.
            tests: Arguments of pytest: which tests.
            out: Folder for what is noted.
        """
        place = out / "coverage.json"

        def watch() -> int:
            cover = coverage.Coverage(
                data_file=None, include=[str(each.resolve()) for each in files], config_file=False
            )
            watched = Watched(cover)
            cover.start()
            run_pytest(tests, watched)
            cover.stop()
            data = cover.get_data()
            passed = {name for name, right in watched.passed.items() if right}
            lines = {
                str(path): {
                    line: sorted(passed.intersection(contexts))
                    for line, contexts in data.contexts_by_lineno(str(path.resolve())).items()
                }
                for path in files
            }
            seconds = {name: watched.seconds[name] for name in passed}
            place.write_text(json.dumps({"seconds": seconds, "lines": lines}))
            return 0

        code = in_fork(watch, 3600, out / "coverage.log")
        if code:
            sys.exit(f"the tests could not be run: see {out / 'coverage.log'}")
        content = json.loads(place.read_text())
        lines = {
            path: {int(line): names for line, names in found.items()}
            for path, found in content["lines"].items()
        }
        return cls(content["seconds"], lines)

    def tests_of(self, mutant: Mutant, budget: float) -> list[str]:
        """The tests that come by a mutant, fast ones first, of so many seconds together."""
        lines = self.lines.get(str(mutant.path), {})
        names = {name for line in mutant.lines for name in lines.get(line, [])}
        if mutant.on_import:  # by whichever test came first, for all that come after
            names = set(self.seconds)
        chosen: list[str] = []
        for name in sorted(names, key=lambda each: self.seconds[each]):
            budget -= self.seconds[name]
            if budget < 0 and chosen:
                break
            chosen.append(name)
        return chosen


def run_pytest(arguments: Sequence[str], plugin: object) -> int:
    base = tempfile.mkdtemp(prefix="mutant")
    try:
        return int(
            pytest.main(
                [
                    "-q",
                    "-p",
                    "no:cacheprovider",
                    "-p",
                    "no:unraisableexception",
                    f"--basetemp={base}/t",
                    *arguments,
                ],
                plugins=[plugin],
            )
        )
    finally:
        shutil.rmtree(base, ignore_errors=True)


def in_fork(work: Callable[[], int], limit: float, log: Path) -> int:
    """What `work` returns in a process of its own, which has so many seconds of a processor.

    Ended after thrice as long by the clock, for what waits and does not compute.
    """
    child = os.fork()
    if not child:
        code = FAILED
        try:
            os.setpgid(0, 0)
            resource.setrlimit(resource.RLIMIT_CPU, (int(limit), int(limit) + 5))
            out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(out, 1)
            os.dup2(out, 2)
            code = work()
        except Exception:  # noqa: BLE001 (the process ends here)
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    end = time.monotonic() + 3 * limit
    done = status = 0
    while not done and time.monotonic() < end:
        time.sleep(0.02)
        done, status = os.waitpid(child, os.WNOHANG)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)  # with what it has started
    if not done:
        _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)
