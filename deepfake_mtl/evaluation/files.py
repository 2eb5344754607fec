"""Files of a test: their names, and how they are written whole or not at all."""

import os
from pathlib import Path
from typing import Final

from deepfake_mtl.util.files import replace

RESULTS: Final = "results.json"
"""What a test found."""

PREDICTIONS: Final = "predictions.csv"
"""The score of each video of a test."""

PAGE: Final = "results.html"
"""What a test found, as a page."""

FEATURES: Final = "features.npz"
"""Features of the test videos."""


def write_whole(path: Path, text: str) -> Path:
    """Write a text file by way of a temporary one beside it.

    Args:
        path: Where to; missing folders are made, a file that is there is replaced.
        text: Written as UTF-8, its line ends as they are.

    Returns:
        The path.

    Raises:
        OSError: If the file cannot be written; what was there before is left as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8", newline="")
        replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
