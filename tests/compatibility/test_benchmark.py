"""What a benchmark left behind at commit bcb66c3 gives the report that it gave there.

`tests/fixtures/benchmark` holds a plan, two configurations of two seeds with made-up scores, the
robustness of one run, and in ``expected.json`` what the report said.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from deepfake_mtl.cli import main

OLDER = Path(__file__).parents[1] / "fixtures" / "benchmark"


def close(value: Any, expected: Any) -> bool:
    """Whether two contents of JSON are the same, but for the last digits of numbers."""
    if isinstance(expected, dict):
        return value.keys() == expected.keys() and all(close(value[k], expected[k]) for k in value)
    if isinstance(expected, list):
        return len(value) == len(expected) and all(map(close, value, expected))
    if isinstance(expected, float):
        return value == pytest.approx(expected, abs=1e-9)
    return value == expected


def test_the_report_is_the_same(tmp_path: Path) -> None:
    assert main(["report", str(OLDER), f"--out={tmp_path}"]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert [run["state"] for run in report["runs"]] == ["finished"] * 4
    for part, expected in json.loads((OLDER / "expected.json").read_text()).items():
        assert close(report[part], expected), part
