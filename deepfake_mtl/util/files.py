"""Giving a finished file its name."""

import time
from pathlib import Path
from typing import Final

_IN_USE: Final = (5, 32)  # ERROR_ACCESS_DENIED and ERROR_SHARING_VIOLATION
_TRIES: Final = 40
_PAUSE: Final = 0.05


def replace(temporary: Path, path: Path) -> None:
    """Give a finished file or folder its name; a file that has it is replaced.

    Windows refuses to while somebody has the file open, as readers and virus scanners do for
    moments: there it is tried again for two seconds.

    Args:
        temporary: The finished one, on the same disk.
        path: Name of the file.

    Raises:
        OSError: The system refuses; both are as they were.
    """
    for remaining in reversed(range(_TRIES)):
        try:
            temporary.replace(path)
        except PermissionError as error:
            if getattr(error, "winerror", None) not in _IN_USE or not remaining:
                raise
            time.sleep(_PAUSE)
        else:
            return
