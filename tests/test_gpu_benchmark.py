"""The script that is to be run on a GPU, tried on a CPU."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return import_module("gpu")


@pytest.mark.parametrize(
    ("switch", "seconds", "gib", "answer"),
    [
        ("fused", 1 / 1.06, 1.0, "1.06 times as fast: make it the default"),
        ("fused", 1 / 1.04, 1.0, "1.04 times as fast: leave it off"),
        ("fused", 1 / 1.06, 1.1, "1.06 times as fast: leave it off: it takes more memory"),
        ("compile", 1 / 1.19, 1.0, "1.19 times as fast: leave it off"),
        ("compile", 1 / 1.21, 1.0, "1.21 times as fast: recommend"),
    ],
)
def test_verdicts(gpu: ModuleType, switch: str, seconds: float, gib: float, answer: str) -> None:
    found = gpu.verdict(switch, {"seconds": 1.0, "gib": 1.0}, {"seconds": seconds, "gib": gib})
    assert found == f"{switch}: {answer}"


@pytest.mark.slow
def test_parts_are_run_and_written(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    (tmp_path / "gpu.pt").mkdir()  # so that one part fails
    parts = ["environment", "saved", "pixels", "infinite gradient"]
    words = ["--device", "cpu", "--small", "--out", str(out), "--parts", *parts]
    command = [sys.executable, str(FOLDER / "gpu.py"), *words]
    subprocess.run(command, check=True, capture_output=True, cwd=FOLDER.parent)
    found = json.loads(out.read_text())["parts"]
    assert list(found) == parts
    assert "error" in found["saved"]
    assert found["pixels"]["result"]["same bits"]
    assert found["infinite gradient"]["result"] == {"plain": True, "fused": True}
    subprocess.run([*command, "--minutes", "0"], check=True, capture_output=True)
    found = json.loads(out.read_text())["parts"]
    assert all(part == {"skipped": "out of time"} for part in found.values())
