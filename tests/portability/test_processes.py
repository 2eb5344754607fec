"""Processes that start others."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

PARENT = """
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from os import getpid

from deepfake_mtl.util.processes import end_with_parent

if __name__ == "__main__":
    with ProcessPoolExecutor(1, get_context(sys.argv[1]), end_with_parent) as pool:
        print(pool.submit(getpid).result(), flush=True)
        input()
"""


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_a_pool_ends_with_a_parent_that_is_killed(method: str, tmp_path: Path) -> None:
    if method == "fork" and sys.platform == "win32":
        pytest.skip("there are no forks")
    program = tmp_path / "parent.py"
    program.write_text(PARENT, encoding="utf-8")
    parent = subprocess.Popen(
        [sys.executable, str(program), method], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    worker = psutil.Process(int(parent.stdout.readline()))
    assert worker.is_running()
    parent.kill()
    parent.communicate()
    assert not psutil.wait_procs([worker], timeout=60)[1]
