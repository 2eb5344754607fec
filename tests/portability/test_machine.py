"""What the machine says, against files made for it and other ways to ask."""

import math
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from deepfake_mtl.data.datamodule import DeepfakeDataModule
from deepfake_mtl.experiments import runner
from deepfake_mtl.util import files, machine


@pytest.mark.parametrize(
    ("groups", "content", "cores"),
    [
        ("0::/", {}, math.inf),
        ("0::/", {"cpu.max": "max 100000"}, math.inf),
        ("0::/", {"cpu.max": "150000 100000"}, 1.5),
        ("0::/a/b", {"a/cpu.max": "200000 100000", "a/b/cpu.max": "max 100000"}, 2),
        ("0::/a/b", {"a/cpu.max": "200000 100000", "a/b/cpu.max": "50000 100000"}, 0.5),
        ("0::/../..", {"cpu.max": "300000 100000"}, 3),  # seen from a container
        (
            "4:memory:/x\n1:cpu,cpuacct:/docker/7f",  # of the host, not to be seen
            {"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"},
            4,
        ),
        ("1:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, math.inf),
    ],
)
def test_control_groups_limit_the_cores(
    groups: str, content: dict[str, str], cores: float, tmp_path: Path
) -> None:
    files_there = {"proc/self/cgroup": groups} | {
        f"sys/fs/cgroup/{name}": text for name, text in content.items()
    }
    for name, text in files_there.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n", encoding="utf-8")
    assert machine.container_cores(tmp_path) == cores


def test_cores_are_those_that_a_process_is_bound_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "container_cores", lambda: math.inf)
    if hasattr(os, "sched_getaffinity"):
        assert machine.usable_cores() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(psutil.Process, "cpu_affinity", raising=False)  # as on macOS
    assert machine.usable_cores() == psutil.cpu_count()
    monkeypatch.setattr(machine, "container_cores", lambda: 0.3)
    assert machine.usable_cores() == 1


def test_jobs_side_by_side_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "container_cores", lambda: 12.0)
    monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda _: list(range(16)), raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for gpus in (False, True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda gpus=gpus: gpus)
        assert runner._environments(1) == [{}]
        environments = runner._environments(4)
        devices = [each.get("CUDA_VISIBLE_DEVICES") for each in environments]
        assert devices == (["0", "1", "0", "1"] if gpus else [None] * 4)
        for environment in environments:
            with monkeypatch.context() as inner:
                inner.setenv(machine.CORES, environment[machine.CORES])
                assert machine.usable_cores() == 3
                assert DeepfakeDataModule("none", "FaceSwap").num_workers == 3


def test_time_and_memory_of_a_process() -> None:
    program = "data = bytearray(b'1') * 50_000_000; print(sum(range(10**6)), flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    assert 50_000_000 < machine.private_memory(process.pid) < 250_000_000
    assert 0 < machine.processor_time(process.pid) < 60
    process.communicate()
    assert machine.private_memory(process.pid) == 0
    assert machine.processor_time(process.pid) == math.inf
    assert machine.processor_time(None) == pytest.approx(time.process_time(), abs=1)
    assert machine.peak_memory() >= machine.private_memory(None) > 0


@pytest.mark.parametrize(("refusals", "code", "replaced"), [(3, 32, True), (99, 5, False)])
def test_a_file_that_is_open_elsewhere_is_waited_for(
    refusals: int, code: int, replaced: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Windows refuses to replace a file that a reader has open."""
    new, old = tmp_path / "new", tmp_path / "old"
    new.write_bytes(b"new")
    old.write_bytes(b"old")
    real, asked = Path.replace, []

    def refusing(source: Path, target: Path) -> Path:
        asked.append(source)
        if len(asked) <= refusals:
            error = PermissionError(13, "in use")
            error.winerror = code
            raise error
        return real(source, target)

    monkeypatch.setattr(Path, "replace", refusing)
    monkeypatch.setattr(files, "_PAUSE", 0)
    if replaced:
        files.replace(new, old)
        assert len(asked) == refusals + 1
    else:
        with pytest.raises(PermissionError):
            files.replace(new, old)
    assert old.read_bytes() == (b"new" if replaced else b"old")


def test_other_refusals_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.replace(tmp_path / "none", tmp_path / "old")
