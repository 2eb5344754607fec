"""Files that are downloaded once, and checked whenever they are asked for."""

import logging
import os
from http.client import HTTPException
from pathlib import Path
from typing import Final

from deepfake_mtl.errors import CheckpointError
from deepfake_mtl.util.files import sha256_of

CACHE_VARIABLE: Final = "DEEPFAKE_MTL_CACHE"
"""Environment variable that names the cache folder."""

_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Return the folder of what can be had again.

    It is the one that `CACHE_VARIABLE` names, or ``deepfake_mtl`` in the user's cache folder.
    """
    folder = os.environ.get(CACHE_VARIABLE)
    if folder:
        return Path(folder).expanduser()
    if os.name == "nt":
        home = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    else:
        home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "deepfake_mtl"


def obtain(url: str, path: Path, digest: str) -> Path:
    """Have the file of an address at a path, with the right content.

    It is downloaded, whole and with a progress bar, where it is not there yet. Its SHA-256 is
    checked, whether it was downloaded or found.

    Args:
        url: Where it can be downloaded from.
        path: Where it is kept; missing folders are made.
        digest: SHA-256 in hexadecimal digits, or how it begins.

    Returns:
        The path.

    Raises:
        CheckpointError: The download fails, or the file has another SHA-256.
    """
    by_hand = f"On a machine with a network get {url} and put it at {path} on this one"
    if not path.exists():
        # Importing torch takes seconds, and nothing else here needs it.
        from torch import hub  # noqa: PLC0415

        _log.info("downloading %s to %s", url, path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            hub.download_url_to_file(url, str(path), hash_prefix=digest, progress=True)
        except (OSError, HTTPException) as error:
            raise CheckpointError(f"cannot download {url} ({error}). {by_hand}") from error
        except RuntimeError as error:
            raise CheckpointError(
                f"what {url} sent has another SHA-256 than it should have ({error}): it was cut "
                f"off or replaced on its way. Try again, or: {by_hand}"
            ) from error
    _check(path, digest, url)
    return path


def _check(path: Path, digest: str, url: str) -> None:
    """Check also what was already there: somebody may have copied it by hand, or half of it."""
    found = sha256_of(path)
    if not found.startswith(digest):
        raise CheckpointError(
            f"{path} is damaged, or another file: its SHA-256 begins with "
            f"{found[: len(digest)]}, not {digest}. Delete it; it will be downloaded again "
            f"from {url}"
        )
