"""Boxes of faces, as a detector or a file gives them for one frame."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The faces of one frame.

    Pixel (row r, column c) covers the square from (c, r) to (c + 1, r + 1), so that a box around
    the whole picture is (0, 0, width, height). Boxes may reach beyond the picture.

    Attributes:
        boxes: Left, top, right and bottom in pixels, float32 of shape (N, 4).
        scores: Confidence from 0 to 1, float32 of shape (N,).
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]

    @classmethod
    def of(cls, boxes: ArrayLike = (), scores: ArrayLike | None = None) -> "Detections":
        """Make detections of anything that NumPy understands; scores are 1 by default.

        Args:
            boxes: N boxes of four numbers; none by default.
            scores: N numbers, or None.
        """
        array = np.asarray(boxes, np.float32).reshape(-1, 4)
        given = np.ones(len(array)) if scores is None else scores
        return cls(array, np.asarray(given, np.float32).reshape(len(array)))

    def __len__(self) -> int:
        return len(self.boxes)
