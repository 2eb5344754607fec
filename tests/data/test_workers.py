"""Workers of a loader, however they are started, and the signals that schedulers send to all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import multiprocessing, os, signal, subprocess, sys, time
{shim}
from deepfake_mtl.data.datamodule import DeepfakeDataModule

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[2], force=True)
    data = DeepfakeDataModule(
        sys.argv[1], "FaceSwap", size=32, clip_length=8, batch_size=4, num_workers=1
    )
    data.setup("fit")
    loader = data.train_dataloader()
    batches = iter(loader)
    next(batches)
    (worker,) = loader._iterator._workers
    # Another process sends it, as a scheduler does: to the worker, or to the training's group.
    number = worker.pid if sys.argv[3] == "worker" else -os.getpgrp()
    sent = ["SIGUSR1", "SIGUSR2"] if sys.argv[3] == "worker" else []
    if number < 0:
        signal.signal(signal.SIGTERM, lambda *_: None)
    for name in [*sent, "SIGTERM"]:
        kill = ["kill", "-s", name, "--", str(number)]
        subprocess.run(kill, check=True, start_new_session=True)
    time.sleep(0.5)
    assert worker.is_alive()
    print(1 + sum(1 for _ in batches))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch's would raise of the death of one
    worker.terminate()
    worker.join(20)
    assert not worker.is_alive(), "its own training cannot end it"
    print("ended", worker.exitcode)
    del batches, loader
"""
SHIM = "from tests.portability.other_system import install; install('darwin')"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize(
    ("method", "shim", "to"),
    [
        ("fork", "", "worker"),
        ("spawn", "", "worker"),
        ("forkserver", "", "worker"),
        ("spawn", SHIM, "group"),
    ],
)
def test_workers_leave_signals_to_their_training(
    method: str, shim: str, to: str, tiny_corpus: Path, tmp_path: Path
) -> None:
    if sys.platform == "darwin" and to == "worker":
        pytest.skip("macOS does not tell who sent a signal")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(shim=shim), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        environment.pop(name, None)  # threads of libraries are what it is about
    done = subprocess.run(
        [sys.executable, str(program), str(tiny_corpus), method, to],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        start_new_session=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-3:-1] == ["4", "ended"], done.stdout
    assert "Alarm clock" not in done.stderr
