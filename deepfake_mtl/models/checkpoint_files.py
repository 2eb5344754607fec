"""Checkpoint files: read without running code, and downloaded with a check."""

import pickle
import re
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlparse
from zipfile import is_zipfile

import numpy as np
import torch

from deepfake_mtl.errors import CheckpointError
from deepfake_mtl.util.downloads import obtain

# Training scripts keep their best accuracy as a NumPy number. Making one runs no code of the file.
_MAKE_SCALAR: Final = cast("Callable[..., object]", np.float64(0).__reduce__()[0])
_NUMPY_SCALARS: Final[list[Callable[..., object] | tuple[Callable[..., object], str]]] = [
    (_MAKE_SCALAR, "numpy.core.multiarray.scalar"),  # NumPy 1
    (_MAKE_SCALAR, "numpy._core.multiarray.scalar"),  # NumPy 2
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "?")),
]
# What `torch.load` raises for files that are damaged, or no checkpoints at all.
_UNREADABLE: Final = (
    pickle.UnpicklingError,
    RuntimeError,
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    struct.error,
)


def read_state_dict(path: Path) -> dict[str, object]:
    """Read the weights of a checkpoint, without running any code that the file may hold.

    Args:
        path: What `torch.save` wrote: a state dict, or a dictionary with one under ``state_dict``
            (CoCLR, Lightning) or ``model`` (torchvision's training scripts).

    Returns:
        The state dict, on the CPU, without the ``module.`` that data-parallel training puts before
        every key.

    Raises:
        CheckpointError: There is no such file, it cannot be read, holds Python objects that only
            code can bring back, or no state dict.
    """
    content = _load(path, mmap=False)
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}, not a state dict or a dictionary with one "
            "under 'state_dict' or 'model'"
        )
    state = {str(key): value for key, value in content.items()}
    if state and all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return state


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `deepfake-mtl fit` wrote, as plain values and tensors, without running its code.

    Raises:
        CheckpointError: It cannot be read, or is something else.
    """
    if path.is_file() and not is_zipfile(path):
        raise CheckpointError(
            f"{path}: cannot be read as a checkpoint: it is none, or was cut short; name a .ckpt "
            "file of `deepfake-mtl fit`"
        )
    content = _load(path, mmap=True)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, and is not a checkpoint")
    return content


def _load(path: Path, *, mmap: bool) -> object:
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint file {path}")
    try:
        with torch.serialization.safe_globals(_NUMPY_SCALARS):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except _UNREADABLE as error:
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if refused or "legacy .tar format" in str(error):
            name = refused[1] if refused else "the .tar format of old PyTorch versions"
            raise CheckpointError(
                f"{path} holds Python objects beside tensors and numbers ({name}). Loading them "
                "can run any code that the file's author put there, so the file is refused. On a "
                "machine where you trust the file, keep its weights only:\n"
                f"  state = torch.load({str(path)!r}, map_location='cpu', weights_only=False)\n"
                "  torch.save(state.get('state_dict', state), 'weights.pth')"
            ) from error
        reason = str(error).strip().splitlines()
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint: it is damaged, was not copied whole, or is "
            f"something else ({type(error).__name__}: {reason[-1] if reason else 'no message'})"
        ) from error


def fetch(url: str) -> Path:
    """Return the file at a URL of the form ``name-<SHA-256>.pth`` from torch.hub's cache.

    It is downloaded, with a progress bar, where the cache lacks it. Its SHA-256 is checked against
    the digits in the name, whether it was downloaded or found.

    Args:
        url: Address; its last part is the file's name, with the first digits of the SHA-256.

    Raises:
        CheckpointError: The download fails, or the file has another SHA-256.
    """
    name = Path(urlparse(url).path).name
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    digest = name.rpartition("-")[2].partition(".")[0]
    if not re.fullmatch(r"[0-9a-f]{8,64}", digest):
        raise CheckpointError(f"{url} does not carry the digits of a SHA-256 to check the file by")
    return obtain(url, path, digest)
