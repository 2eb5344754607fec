"""Trainings that are killed, told to stop, requeued, or lose one of their processes."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import video_path
from tests.data.videos import spoil
from tests.processes import Command
from tests.test_cli import fit_words
from tests.test_resume import same

TINY = ["--model.encoder=tests.worlds.TinyEncoder", "--model.encoder.norm=true"]
CONTRAST = "binary_con_manipulation_con"  # queues and momentum encoder too
TWO_RANKS = ["--trainer.devices=2", "--trainer.strategy=ddp", "--data.batch_size=2"]
PATIENCE = 900
"""Seconds for a training on a busy machine; none is part of what is tested."""


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", **more}


def words(root: Path, run: Path, *more: str, losses: str = CONTRAST) -> list[str]:
    options = ["--data.num_workers=2", "--trainer.deterministic=true", "--trainer.max_epochs=2"]
    return fit_words(root, run, *TINY, *options, *more, losses=losses)


def start(command: list[str], folder: Path, **more: str) -> Command:
    """Start a command in a fork of an interpreter that has imported everything."""
    logs = len(list(folder.glob("log-*")))
    return Command(command, folder / f"log-{logs}.txt", environment(**more))


def start_ranks(command: list[str]) -> "subprocess.Popen[str]":
    """Start a command as a program, which Lightning starts again for further ranks."""
    return subprocess.Popen(
        [sys.executable, "-m", "deepfake_mtl", *command],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def output_of(process: "Command | subprocess.Popen[str]", patience: float = PATIENCE) -> str:
    """Wait for a process, and leave nothing of its group behind."""
    try:
        if isinstance(process, Command):
            return process.output(patience)
        return process.communicate(timeout=patience)[0]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def wait_for(path: Path, process: "Command | subprocess.Popen[str]") -> None:
    end = time.monotonic() + PATIENCE
    while not path.is_file():
        assert _runs(process), output_of(process)
        assert time.monotonic() < end
        time.sleep(0.01)


def _runs(process: "Command | subprocess.Popen[str]") -> bool:
    status = process.returncode if isinstance(process, Command) else process.poll()
    return status is None


def last_of(run: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    for key in [key for key in state["callbacks"] if "ModelCheckpoint" in key]:
        del state["callbacks"][key]  # holds the path of its run
    return state


@pytest.mark.slow
def test_a_training_that_is_killed_again_and_again(tiny_corpus: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    more = ["--data.train_clips_per_video=3", "--conflict.every_n_steps=1"]
    done = start(words(tiny_corpus, whole, *more), tmp_path)
    said = output_of(done)
    assert done.returncode == 0, said
    expected = last_of(whole)
    total = expected["global_step"]
    chance, step, resume = random.Random(0), 0, []
    for _ in range(2):
        # One more checkpoint than there was, and then some.
        every = ["--last_checkpoint.every_n_train_steps=1"]
        process = start(words(tiny_corpus, killed, *more, *every, *resume), tmp_path)
        last = killed / "checkpoints" / "last.ckpt"
        wait_for(last, process)
        begin, written = step, last.stat().st_mtime_ns
        while last.stat().st_mtime_ns == written and step > 0:
            assert process.returncode is None, output_of(process)
            time.sleep(0.005)
        time.sleep(chance.random() * 0.2)
        os.killpg(process.pid, signal.SIGKILL)
        output_of(process)
        step = last_of(killed)["global_step"]
        assert begin < step < total
        resume = ["--ckpt_path=last"]
    done = start(words(tiny_corpus, killed, *more, *resume), tmp_path)
    said = output_of(done)
    assert done.returncode == 0, said
    ended = last_of(killed)
    for state in (ended, expected):  # they are in folders of their own
        del state["deepfake_mtl_config"]["trainer"]["default_root_dir"]
    same(ended, expected)


@pytest.mark.slow
def test_sigterm_to_all_processes_saves_and_says_how_to_go_on(
    tiny_corpus: Path, tmp_path: Path
) -> None:
    """As a scheduler does it: workers get the signal as well."""
    run = tmp_path / "run"
    process = start(words(tiny_corpus, run, "--trainer.max_epochs=2000"), tmp_path)
    wait_for(run / "checkpoints" / "last.ckpt", process)
    os.killpg(process.pid, signal.SIGTERM)
    said = output_of(process)
    assert process.returncode == 128 + signal.SIGTERM, said
    step = last_of(run)["global_step"]
    assert f"SIGTERM: stopped after step {step}; go on from there with ckpt_path {run}" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_slurm_puts_the_job_into_the_queue_again(tiny_corpus: Path, tmp_path: Path) -> None:
    """With SLURM's variables and a program in the place of its scontrol."""
    run, calls = tmp_path / "run", tmp_path / "calls"
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> {calls}\n')
    (tools / "scontrol").chmod(0o755)
    slurm = {
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NAME": "detector",
        "SLURM_NTASKS": "1",
        "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_NNODES": "1",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
        "SLURM_NODEID": "0",
        "SLURM_NODELIST": "localhost",
        "PATH": f"{tools}:{os.environ['PATH']}",
    }
    command = words(tiny_corpus, run)
    process = start([*command, "--trainer.max_epochs=2000"], tmp_path, **slurm)
    wait_for(run / "checkpoints" / "last.ckpt", process)
    os.killpg(process.pid, signal.SIGUSR1)
    said = output_of(process)
    assert process.returncode == 128 + signal.SIGUSR1, said
    assert calls.read_text() == "requeue 4711\n"
    step = torch.load(run / "hpc_ckpt_1.ckpt", weights_only=True)["global_step"]
    # The same command again, as SLURM starts it.
    epochs = f"--trainer.max_epochs={step // 4 + 2}"
    process = start([*command, epochs], tmp_path, **slurm, SLURM_RESTART_COUNT="1")
    said = output_of(process)
    assert process.returncode == 0, said
    assert f"the job was started again: going on from {run}" in said
    assert last_of(run)["global_step"] > step


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_dies_ends_the_job(rank: int, tiny_corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    dies = "--trainer.callbacks+=tests.dying.DyingRank"
    more = [dies, f"--trainer.callbacks.rank={rank}"]
    process = start_ranks(words(tiny_corpus, run, *TWO_RANKS, *more))
    wait_for(run / "dies", process)
    said = output_of(process, 60)
    assert process.returncode != 0, said


@pytest.mark.slow
def test_a_video_that_one_rank_cannot_decode_ends_the_job(corpus: Path, tmp_path: Path) -> None:
    path = video_path(corpus, "original", "002")
    spoil(path)
    run = tmp_path / "run"
    process = start_ranks(words(corpus, run, *TWO_RANKS))
    wait_for(run / "checkpoints" / ".training", process)
    said = output_of(process, 60)
    assert process.returncode != 0
    assert f"deepfake-mtl: error: {path}" in said
