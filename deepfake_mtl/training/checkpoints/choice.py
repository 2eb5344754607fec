"""Which checkpoint a training goes on from."""

import logging
import os
from pathlib import Path
from typing import Final

from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from pytorch_lightning.utilities import rank_zero_only

from deepfake_mtl.errors import CheckpointError
from deepfake_mtl.training.checkpoints.files import CHECKPOINTS, LAST, PREVIOUS, check_checkpoint

RUN_CHECKPOINTS: Final = ("best", "last")
"""Names by which the command line knows the checkpoints of a run folder."""

_log = logging.getLogger(__name__)


def find_checkpoint(name: str, run: Path) -> Path:
    """Return the file of a checkpoint given by its path, or as ``best`` or ``last`` of a run.

    Raises:
        CheckpointError: There is no such file.
    """
    path = run / CHECKPOINTS / f"{name}.ckpt" if name in RUN_CHECKPOINTS else Path(name)
    if not path.is_file():
        there = sorted(path.parent.glob("*.ckpt")) if path.parent.is_dir() else []
        hint = f"; there are {', '.join(map(str, there))}" if there else ""
        raise CheckpointError(f"{path}: no such checkpoint{hint}")
    return path


def sound_checkpoint(name: str, run: Path) -> Path:
    """Return the file that a training goes on from: of a damaged ``last.ckpt`` the one before it.

    Args:
        name: A path, or ``best`` or ``last``.
        run: The run folder.

    Raises:
        CheckpointError: There is no such file, or it is damaged and has no predecessor.
    """
    try:
        path = find_checkpoint(name, run)
        check_checkpoint(path)
    except CheckpointError as error:
        last = run / CHECKPOINTS / LAST if name == "last" else Path(name)
        previous = last.with_name(PREVIOUS)
        if last.name != LAST or not previous.is_file():
            raise
        check_checkpoint(previous)
        _warn(f"{error}: going on from {previous}, the checkpoint before it")
        return previous
    return path


def requeued_checkpoint(run: Path) -> Path | None:
    """Return what a job goes on from that SLURM has started again with the same command.

    That is the newest of Lightning's checkpoints of a job that was put into the queue again
    (``hpc_ckpt_*.ckpt`` in the run folder) and, where SLURM says that the job is not in its first
    start, of ``last.ckpt``. Damaged files are passed over.

    Args:
        run: The run folder.
    """
    if "SLURM_JOB_ID" not in os.environ or not SLURMEnvironment.detect():
        return None
    found = list(run.glob("hpc_ckpt_*.ckpt"))
    if found or int(os.environ.get("SLURM_RESTART_COUNT", "0")) > 0:
        found += [path for name in (LAST, PREVIOUS) if (path := run / CHECKPOINTS / name).is_file()]
    for path in sorted(found, key=lambda each: each.stat().st_mtime, reverse=True):
        try:
            check_checkpoint(path)
        except CheckpointError as error:
            _warn(f"{error}: passed over")
            continue
        _warn(f"the job was started again: going on from {path}")
        return path
    return None


@rank_zero_only
def _warn(message: str) -> None:
    _log.warning(message)
