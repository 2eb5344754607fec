"""The colours of skin, hair and eyes."""

from typing import Final

import cv2
import numpy as np

from deepfake_mtl.synthetic.painting import Plane

SKIN_TONES: Final = np.array(
    [
        (247, 214, 190),
        (234, 190, 158),
        (219, 168, 130),
        (196, 140, 102),
        (158, 106, 74),
        (116, 76, 54),
        (84, 56, 42),
    ],
    np.float32,
)


HAIR_COLOURS: Final = np.array(
    [
        (30, 24, 22),
        (58, 40, 28),
        (96, 64, 40),
        (140, 96, 56),
        (196, 158, 100),
        (150, 66, 34),
        (150, 148, 146),
    ],
    np.float32,
)


IRIS_COLOURS: Final = np.array(
    [(70, 44, 26), (96, 66, 36), (92, 120, 84), (88, 122, 150), (60, 54, 50)], np.float32
)


def between(table: Plane, position: float) -> Plane:
    """Return the colour at a position of a table, mixed from its neighbours."""
    index = min(int(position), len(table) - 2)
    return np.asarray(
        cv2.addWeighted(
            table[index], 1 - (position - index), table[index + 1], position - index, 0
        ).reshape(3),
        np.float32,
    )
