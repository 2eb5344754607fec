"""Checkpoints on disk: written whole, checked before a training goes on from one."""

import os
import shutil
import zlib
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile, ZipFile

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from deepfake_mtl.errors import CheckpointError
from deepfake_mtl.models.checkpoint_files import load_checkpoint
from deepfake_mtl.util.files import named_errors, open_whole, replace, whole_path

CHECKPOINTS: Final = "checkpoints"
BEST: Final = "best.ckpt"
LAST: Final = "last.ckpt"
PREVIOUS: Final = "previous.ckpt"


class WholeCheckpointIO(TorchCheckpointIO):
    """Lightning's reading and writing of checkpoints, but whole on any local disk.

    Lightning 2.6 writes into the system's temporary folder and moves the file. Where the two are on
    different file systems, as home and scratch folders of clusters are, that is a copy, which can
    end half-way, and nothing makes sure that the bytes reach the disk before the name does. Here
    the temporary file is beside the checkpoint and is synchronised before it takes its name.
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | Path,
        storage_options: Any = None,  # noqa: ANN401 (Lightning's)
    ) -> None:
        """Write a checkpoint; what was there before stays until all of it is on the disk."""
        if "://" in str(path) or storage_options is not None:
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        with (
            open_whole(Path(path)) as file,
            named_errors(file.path),
            os.fdopen(os.dup(file.stream.fileno()), "wb") as stream,
        ):
            try:
                torch.save(checkpoint, stream)
            except RuntimeError as error:
                # What the system says is behind PyTorch's complaint about positions.
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from error
                raise


def check_checkpoint(path: Path) -> None:
    """Compare every part of a checkpoint with its checksum, which `torch.load` does not do.

    Raises:
        CheckpointError: It was not written whole, or bytes of it have changed since.
    """
    try:
        with ZipFile(path) as archive:
            broken = archive.testzip()
    except (BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise CheckpointError(f"{path}: not a whole checkpoint ({error})") from error
    except zlib.error as error:
        raise CheckpointError(f"{path}: damaged ({error})") from error
    if broken is not None:
        raise CheckpointError(f"{path}: damaged, the checksum of its part {broken} is wrong")
    load_checkpoint(path)


def keep_previous(last: Path) -> None:
    """Give the last checkpoint the name of the previous one, too, before it is replaced."""
    previous = last.with_name(PREVIOUS)
    if not _link(last, previous):
        replace(last, previous)  # for a moment there is no last one


def name_also(path: Path, name: Path) -> None:
    """Give a checkpoint a second name, in the place of what had it."""
    if not _link(path, name):
        with named_errors(name), whole_path(name) as temporary:
            shutil.copyfile(path, temporary)


def _link(path: Path, name: Path) -> bool:
    """Return whether the file system has links, and there is one now."""
    try:
        # Two names of one file are not replaced by each other: then the temporary one goes.
        with whole_path(name) as temporary:
            temporary.unlink(missing_ok=True)
            os.link(path, temporary)
    except OSError:
        return False
    return True
