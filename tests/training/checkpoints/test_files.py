"""Checkpoints are written whole, and what is damaged is not taken for one."""

import logging
import random
from pathlib import Path

import pytest
import torch

from deepfake_mtl.errors import CheckpointError, CorpusError
from deepfake_mtl.training.checkpoints.choice import requeued_checkpoint, sound_checkpoint
from deepfake_mtl.training.checkpoints.files import (
    WholeCheckpointIO,
    check_checkpoint,
    keep_previous,
)


def content(step: int) -> dict[str, object]:
    generator = torch.Generator().manual_seed(step)
    weights = {f"layer{i}": torch.randn(40, 50, generator=generator) for i in range(4)}
    return {"global_step": step, "state_dict": weights}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with the checkpoints of steps 1 and 2."""
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    for step in (1, 2):
        if last.is_file():
            keep_previous(last)
        WholeCheckpointIO().save_checkpoint(content(step), last)
    assert sorted(path.name for path in last.parent.iterdir()) == ["last.ckpt", "previous.ckpt"]
    assert step_of(last) == 2
    assert step_of(last.with_name("previous.ckpt")) == 1
    return tmp_path / "run"


def step_of(path: Path) -> int:
    return int(torch.load(path, weights_only=True)["global_step"])


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.99999])
def test_of_a_truncated_checkpoint_the_previous_one_is_taken(
    share: float, run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    last = run / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[: int(share * last.stat().st_size)])
    with caplog.at_level(logging.WARNING):
        assert step_of(sound_checkpoint("last", run)) == 1
    assert "last.ckpt: not a whole checkpoint" in caplog.text
    assert "previous.ckpt" in caplog.text
    assert step_of(sound_checkpoint(str(last), Path())) == 1
    last.with_name("previous.ckpt").unlink()
    with pytest.raises(CheckpointError, match=r"last\.ckpt"):
        sound_checkpoint("last", run)


def test_a_byte_that_changed_is_found_or_of_no_account(run: Path) -> None:
    last = run / "checkpoints" / "last.ckpt"
    whole = last.read_bytes()
    chance = random.Random(0)
    # Anywhere, and in the directory at the end.
    places = [chance.randrange(len(whole)) for _ in range(60)]
    places += [chance.randrange(len(whole) - 1000, len(whole)) for _ in range(60)]
    found = 0
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= 1 << chance.randrange(8)
        last.write_bytes(changed)
        path = sound_checkpoint("last", run)
        if path == last:
            loaded, expected = torch.load(last, weights_only=True), content(2)
            assert loaded["global_step"] == 2
            for name, value in expected["state_dict"].items():
                assert torch.equal(loaded["state_dict"][name], value), place
        found += path != last
    assert found > 60


def test_no_last_and_other_names(run: Path) -> None:
    (run / "checkpoints" / "last.ckpt").unlink()
    assert sound_checkpoint("last", run).name == "previous.ckpt"
    with pytest.raises(CheckpointError, match=r"there are .*previous\.ckpt"):
        sound_checkpoint("best", run)
    (run / "checkpoints" / "best.ckpt").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"best\.ckpt: not a whole checkpoint"):
        sound_checkpoint("best", run)


def test_what_cannot_be_written_leaves_the_old_one(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = run / "checkpoints" / "last.ckpt"
    files = set(last.parent.iterdir())

    class Full:
        def __reduce__(self) -> object:
            raise OSError(28, "No space left on device")

    with pytest.raises(CorpusError, match=r"last\.ckpt: cannot be written \(No space left"):
        WholeCheckpointIO().save_checkpoint({"much": Full()}, last)
    assert set(last.parent.iterdir()) == files
    assert step_of(last) == 2
    # Where there are no hard links, the old name is given up for a moment.
    monkeypatch.setattr("os.link", lambda *_: (_ for _ in ()).throw(OSError("no links")))
    keep_previous(last)
    assert not last.exists()
    assert step_of(last.with_name("previous.ckpt")) == 2


def test_two_names_of_one_checkpoint(run: Path) -> None:
    last = run / "checkpoints" / "last.ckpt"
    for _ in range(2):  # killed between the two steps, and again
        keep_previous(last)
        assert len(list(last.parent.iterdir())) == 2
    check_checkpoint(last.with_name("previous.ckpt"))


def test_a_job_that_slurm_started_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert requeued_checkpoint(run) is None
    for name, value in {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "1", "SLURM_JOB_NAME": "x"}.items():
        monkeypatch.setenv(name, value)
    assert requeued_checkpoint(run) is None  # a new job: nothing says that it means this run
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert requeued_checkpoint(run) == run / "checkpoints" / "last.ckpt"
    monkeypatch.delenv("SLURM_RESTART_COUNT")
    requeued = run / "hpc_ckpt_3.ckpt"
    WholeCheckpointIO().save_checkpoint(content(3), requeued)
    assert requeued_checkpoint(run) == requeued
    requeued.write_bytes(b"torn")
    assert requeued_checkpoint(run) == run / "checkpoints" / "last.ckpt"
