"""Contact sheets: frames side by side, with a few words."""

from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.util.files import whole_path

_PAPER: Final = 255
_INK: Final = (40, 40, 40)


def blank(height: int, width: int) -> NDArray[np.uint8]:
    """Return empty paper, of shape (height, width, 3)."""
    return np.full((height, width, 3), _PAPER, np.uint8)


def write_text(canvas: NDArray[np.uint8], text: str, corner: tuple[int, int], tile: int) -> None:
    """Write a line into a picture.

    Args:
        canvas: RGB, shape (H, W, 3); written to.
        text: ASCII.
        corner: Where its left lower corner lies: x and y in pixels.
        tile: Side of the frames that it goes with, which decides its size.
    """
    cv2.putText(canvas, text, corner, cv2.FONT_HERSHEY_SIMPLEX, tile / 256, _INK, 1, cv2.LINE_AA)


def save_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write a picture (RGB, H x W x 3) whole; its suffix says the format."""
    _, content = cv2.imencode(path.suffix, picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    with whole_path(path) as partial:
        partial.write_bytes(content.tobytes())
