import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from deepfake_mtl.cli import main
from tests.test_cli import CONFIG, SMALL


def words(root: Path, out: Path, *more: str) -> list[str]:
    return [
        "benchmark",
        CONFIG,
        "--losses=binary_ce",
        "--held_out=FaceSwap",
        f"--out={out}",
        "--checkpoint=last",
        f"--data.root={root}",
        "--model.encoder=tests.worlds.TinyEncoder",
        *(word for word in SMALL if not word.startswith("--trainer.enable_progress_bar")),
        *more,
    ]


def metrics(out: Path) -> dict[str, bytes]:
    return {
        path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("predictions.csv")
    }


def descendants(process: int) -> list[int]:
    return [each.pid for each in psutil.Process(process).children(recursive=True)]


@pytest.mark.slow
def test_a_benchmark_that_is_killed_ends_as_one_that_is_not(
    tiny_corpus: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # sums of several threads differ in the last bits
    common = ["--trainer.max_epochs=3"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert main(words(tiny_corpus, whole, *common)) == 0
    assert "1 of 1 runs are finished" in capfd.readouterr().out
    expected = metrics(whole)
    assert len(expected) == 1

    command = [sys.executable, "-m", "deepfake_mtl", *words(tiny_corpus, broken, *common)]
    for outlived in (False, True):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            # Into the training; then, where it is finished, into the test.
            while process.poll() is None and not list(broken.rglob("last.ckpt")):
                time.sleep(0.02)
            if outlived:
                time.sleep(3)
            others = [] if process.poll() is not None else descendants(process.pid)
            process.kill()
            if not outlived:  # as where the machine goes down
                for each in others:
                    os.kill(each, signal.SIGKILL)
    assert subprocess.run(command, check=False).returncode == 0
    assert metrics(broken) == expected

    capfd.readouterr()
    changed = {path: path.stat().st_mtime_ns for path in broken.rglob("results.json")}
    assert main(words(tiny_corpus, broken, *common)) == 0
    assert "1 are finished" in capfd.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in broken.rglob("results.json")} == changed


@pytest.mark.slow
def test_a_run_that_fails_is_named_and_the_others_go_on(
    tiny_corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs"
    sweep = ["--sweep", "model.learning_rate", "-1", "0.001"]
    assert main(words(tiny_corpus, out, *sweep)) == 1
    printed = capfd.readouterr()
    assert "1 of 2 runs are finished" in printed.out
    assert "learning_rate is -1.0" in printed.err
    (failure,) = out.rglob("failure.txt")
    assert (
        failure.parent.relative_to(out).as_posix() == "binary_ce/learning_rate--1/FaceSwap/seed-0"
    )
    assert "learning_rate is -1.0" in failure.read_text()
    assert len(metrics(out)) == 1

    # Further tests may be asked for later: what was trained is not trained again.
    (finished,) = out.rglob("results.json")
    checkpoint = finished.parent / "checkpoints" / "last.ckpt"
    before = checkpoint.stat().st_mtime_ns, finished.stat().st_mtime_ns
    sweep = ["--sweep", "model.learning_rate", "0.001"]
    elsewhere = f"--test_on=faceshifter={tiny_corpus}"
    assert main(words(tiny_corpus, out, *sweep, elsewhere)) == 1
    assert "no videos" in capfd.readouterr().err
    assert not list(out.rglob("tests/*/results.json"))
    shutil.copytree(tiny_corpus, tmp_path / "more")
    fakes = tmp_path / "more" / "manipulated_sequences"
    (fakes / "FaceSwap").rename(fakes / "FaceShifter")
    elsewhere = f"--test_on=faceshifter={tmp_path / 'more'}"
    assert main(words(tiny_corpus, out, *sweep, elsewhere)) == 0
    assert "1 of 1 runs are finished" in capfd.readouterr().out
    (other,) = out.rglob("tests/faceshifter-more/results.json")
    assert set(json.loads(other.read_text())["figures"]["recall"]) == {"original", "FaceShifter"}
    assert (checkpoint.stat().st_mtime_ns, finished.stat().st_mtime_ns) == before


def test_what_is_wrong_is_said_before_anything_is_run(
    tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs"
    for more, message in (
        (["--data.sizes=3"], "data.sizes"),
        (["--sweep", "data.batch_size", "4", "many"], "batch_size"),
        (["--held_out", "FaceSwap", "--data.compression=c40"], "compression c40"),
    ):
        assert main(words(tiny_corpus, out, *more)) == 2
        assert message in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.slow
def test_a_dry_run_of_the_official_corpus(
    empty_official_tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--losses=all", "--held_out=all", "--seeds=3", "--dry_run"]
    assert main(words(empty_official_tree, tmp_path / "runs", *more)) == 0
    printed = capsys.readouterr().out
    assert "72 runs (6 losses, 4 held_out, 3 seed)" in printed
    assert printed.count("seed-2  missing") == 24
    counts = "train 720 real, 2160 fake; val 140 real, 420 fake; test 140 real, 420 fake and 140"
    assert printed.count(counts) == 4
    assert not (tmp_path / "runs").exists()
