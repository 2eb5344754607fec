"""Locks of runs: benchmarks that are killed, and commands that outlive them or come too late."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.experiments import locks

BENCHMARK = """
import subprocess, sys
from pathlib import Path
from deepfake_mtl.experiments import locks
with locks.own_run(Path(sys.argv[1])) as name:
    print(name, flush=True)
    input()
"""
COMMAND = """
import runpy, sys
from deepfake_mtl.experiments import locks
def work(*_, **__):
    print("works", *sys.argv[1:], flush=True)
    input()
locks.runpy.run_module = work
locks._main()
"""


def start(program: str, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_command_that_outlives_its_benchmark_is_waited_for(tmp_path: Path) -> None:
    first = start(BENCHMARK, str(tmp_path))
    command = start(COMMAND, str(tmp_path), line(first), "fit", "--option")
    assert line(command) == "works fit --option"
    first.kill()
    first.communicate()
    owned = threading.Event()

    def own() -> None:
        with locks.own_run(tmp_path):
            owned.set()

    waiting = threading.Thread(target=own)
    waiting.start()
    assert not owned.wait(0.5)
    command.communicate("\n")
    waiting.join(60)
    assert owned.is_set()


def test_a_command_that_comes_after_another_took_over_does_nothing(tmp_path: Path) -> None:
    first = start(BENCHMARK, str(tmp_path))
    name = line(first)
    first.kill()
    first.communicate()
    with locks.own_run(tmp_path) as other:
        assert other != name
        late = start(COMMAND, str(tmp_path), name, "fit")
        said, error = late.communicate("\n")
        assert not said
        assert "another has taken over" in error
        assert late.returncode == 1
        own = start(COMMAND, str(tmp_path), other, "fit")
        assert line(own) == "works fit"
        own.communicate("\n")


def test_a_folder_that_cannot_be_locked_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise NotImplementedError("no flock here")

    monkeypatch.setattr(locks.FileLock, "acquire", refuse)
    with (
        pytest.raises(ConfigurationError, match="another disk with `out`"),
        locks.own_run(tmp_path),
    ):
        pass
