"""A folder of checkpoints is of one training at a time, whoever starts it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from filelock import FileLock, Timeout

from deepfake_mtl.detector import Detector
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.training.checkpoints.best import BestCheckpoint
from deepfake_mtl.training.checkpoints.last import LastCheckpoint
from deepfake_mtl.training.checkpoints.lock import lock_training
from tests.worlds import TinyEncoder, loader, trainer

WRITERS: dict[str, Callable[[Path], list[pl.Callback]]] = {
    "best": lambda folder: [BestCheckpoint(str(folder))],
    "last": lambda folder: [LastCheckpoint(dirpath=str(folder))],
    "both": lambda folder: [BestCheckpoint(str(folder)), LastCheckpoint(dirpath=str(folder))],
}


def is_locked(folder: Path) -> bool:
    lock = FileLock(folder / ".training")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


class Looks(pl.Callback):
    """Whether the folder is locked at each step; may end the training by an error."""

    def __init__(self, folder: Path, error: BaseException | None = None) -> None:
        self.folder, self.error = folder, error
        self.found: list[bool] = []

    def on_train_batch_end(self, *_: Any) -> None:
        self.found.append(is_locked(self.folder))
        if self.error is not None:
            raise self.error


def fit(folder: Path, *callbacks: pl.Callback, **options: Any) -> None:
    run = trainer(folder, enable_checkpointing=True, callbacks=list(callbacks), **options)
    run.fit(Detector(TinyEncoder()), loader([0, 1, 0, 2]), loader([0, 1, 0, 2]))


@pytest.mark.parametrize("writers", WRITERS)
def test_trainings_from_python_do_not_share_a_folder(writers: str, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    with (
        FileLock(folder / ".training"),
        pytest.raises(ConfigurationError, match="another training is writing to this folder"),
    ):
        fit(tmp_path, *WRITERS[writers](folder))
    assert not list(tmp_path.rglob("*.ckpt"))
    looks = Looks(folder)
    fit(tmp_path, looks, *WRITERS[writers](folder))
    assert looks.found == [True] * 2
    assert list(folder.glob("*.ckpt"))
    assert not is_locked(folder)


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
def test_a_training_that_fails_lets_go(error: BaseException, tmp_path: Path) -> None:
    looks = Looks(tmp_path, error)
    with pytest.raises((ValueError, SystemExit)):
        fit(tmp_path, looks, *WRITERS["both"](tmp_path))
    assert looks.found == [True]
    assert not is_locked(tmp_path)


def test_what_writes_nothing_locks_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    fit(tmp_path, BestCheckpoint(str(folder), save_top_k=0))
    assert not folder.exists()
    fit(tmp_path, *WRITERS["both"](folder), fast_dev_run=True)
    assert not list(tmp_path.rglob(".training"))


def test_a_folder_stays_locked_until_the_first_that_locked_it_lets_go(tmp_path: Path) -> None:
    with lock_training(tmp_path), lock_training(tmp_path / "other"):
        with lock_training(tmp_path):
            pass
        assert is_locked(tmp_path)
        assert is_locked(tmp_path / "other")
    assert not is_locked(tmp_path)
    with lock_training(tmp_path):
        assert is_locked(tmp_path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("is_rank", [True, False])
def test_ranks_share_the_lock_of_what_started_them(is_rank: bool, tmp_path: Path) -> None:
    with lock_training(tmp_path):
        process = os.fork()
        if process == 0:
            refused = 0
            try:
                if not is_rank:
                    os.environ.clear()
                with lock_training(tmp_path):
                    pass
            except ConfigurationError:
                refused = 1
            os._exit(refused)
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == (0 if is_rank else 1)
