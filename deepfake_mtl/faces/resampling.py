"""Planes of samples to a square of pixels, at exact places.

Rows and columns are weighted apart, as products of matrices: a few rows of the result need a few
rows of the plane. That takes a third of the time of OpenCV's bicubic `warpAffine`, and does not
round places to 1 / 32 of a sample.

All sums are of numbers that float32 holds exactly, so that they are the same in whatever order a
processor adds: weights are multiples of 1 / 2048, and between rows and columns stand multiples of
1 / 16 of a level.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from deepfake_mtl.data.colours import Plane

_A: Final = -0.75
_CUBIC: Final = np.array(
    [
        # Of the samples at -1, 0, 1 and 2, by powers of the place between 0 and 1.
        [0, 1, 0, 0],
        [_A, 0, -_A, 0],
        [-2 * _A, -(_A + 3), 2 * _A + 3, _A],
        [_A, _A + 2, -(_A + 2), -_A],
    ]
)
"""Cubic convolution (Keys, 1981) with the slope that OpenCV has."""

_ROWS: Final = 16
"""Of the result in a block. More would be multiplied with more zeros, fewer take more products."""

_WHOLE: Final = 2048
"""A weight of 1."""

_BETWEEN: Final = 16
"""A level between rows and columns."""

SCALE: Final = 1 / (_WHOLE * _BETWEEN)
"""A unit of the result, in levels."""


class Resampler:
    """Squares of the planes of some pictures, one of each, scaled to the same size.

    A sample of the result is the bicubic interpolation of the samples of the plane, which are
    averaged over boxes first where those of the result are farther apart: each box has the side of
    one of these. Beyond the borders of the whole plane its outermost samples go on.

    The weights of all are made at once, which takes a fraction of the time.

    Args:
        corners: Left edge, upper edge and side of each square, in pixels of the picture; float64 of
            shape (pictures, 3).
        size: Samples of the result to a side.
        planes: Of one of the pictures, for their shapes.
    """

    def __init__(self, corners: NDArray[np.float64], size: int, planes: Sequence[Plane]) -> None:
        left, top, side = corners.T
        self._kinds = {
            kind: _Kind(
                _Weights(top / kind[2], side / kind[2], size, kind[0]),
                _Weights(left / kind[3], side / kind[3], size, kind[1]),
                len(list(alike)),
            )
            for kind, alike in groupby(planes, _kind)
        }

    def sample(self, number: int, planes: Sequence[Plane]) -> list[NDArray[np.float32]]:
        """The square of each plane of a picture.

        Args:
            number: Of the picture and its square, counted from 0.
            planes: Of the picture.

        Returns:
            For each plane, whole numbers of `SCALE`, float32 of shape (size, size); valid until the
            next call.

        Raises:
            ValueError: A plane is a part that lacks what the square needs.
        """
        results: list[NDArray[np.float32]] = []
        for kind, alike in groupby(planes, _kind):
            results += list(self._kinds[kind].sample(number, list(alike)))
        return results


def box_reach(step: float) -> int:
    """How many samples on each side of its middle a box of a width touches."""
    return max(int(np.ceil((step - 1) / 2)), 0)


def _kind(plane: Plane) -> tuple[int, int, int, int]:
    return plane.height, plane.width, plane.down, plane.across


class _Weights:
    """The weights of some pictures along one axis, in blocks of rows of the result.

    Args:
        starts: Where each result begins, in samples of the line.
        lengths: Of each result, likewise.
        size: Samples of a result.
        limit: Samples of the line.

    Attributes:
        size: As given.
        blocks: Shape (pictures, blocks, `_ROWS`, samples), in parts of a whole.
        strides: For each picture, by how many samples a block begins after the one before.
        extent: Number of samples that a picture needs at most, those included that get no weight.
        idle: For each picture, how many of the first samples get no weight.
    """

    def __init__(
        self, starts: NDArray[np.float64], lengths: NDArray[np.float64], size: int, limit: int
    ) -> None:
        steps = (lengths / size)[:, None]
        # From the middle of a sample of the result, counted from that of the first of the line.
        places = (np.arange(size) + 0.5) * steps + (starts[:, None] - 0.5)
        before = np.floor(places)
        shares = _shares(places - before, steps)
        reach = shares.shape[2] // 2 - 1
        first = before[:, :1].astype(np.int64) - reach
        lowest = before.astype(np.int64) - reach - first
        count = -(-size // _ROWS)
        strides = np.floor(_ROWS * steps).astype(np.int64)
        block = np.arange(size) // _ROWS
        within = lowest - block * strides
        width = int(within.max()) + shares.shape[2]
        self.blocks = np.zeros((len(starts), count, _ROWS, width), np.float32)
        rows = self.blocks.reshape(len(starts), count * _ROWS, width)[:, :size]
        np.put_along_axis(rows, within[..., None] + np.arange(shares.shape[2]), shares, axis=2)
        self.size = size
        self.strides = strides[:, 0].tolist()
        self.extent = (count - 1) * max(self.strides) + width
        # Of a picture with narrower boxes than others the outermost shares are zeros.
        idle = (reach - 1 - np.maximum(np.ceil((steps - 1) / 2), 0)).astype(np.int64)
        self.idle = idle[:, 0].tolist()
        self._first = (first + idle)[:, 0].tolist()
        self._end = (first + lowest[:, -1:] + shares.shape[2] - idle)[:, 0].tolist()
        self._limit = limit

    def needed(self, number: int, first: int, there: int) -> slice | NDArray[np.int64]:
        """Which samples a picture needs of those of a part of the line.

        Args:
            number: Of the picture.
            first: Number of the first sample of the part.
            there: How many it has.

        Raises:
            ValueError: The part lacks some.
        """
        start, stop = self._first[number], self._end[number]
        if start >= 0 and stop <= self._limit:
            inside = start >= first and stop <= first + there
            numbers: slice | NDArray[np.int64] = slice(start - first, stop - first)
        else:
            numbers = np.arange(start, stop).clip(0, self._limit - 1) - first
            inside = numbers[0] >= 0 and numbers[-1] < there
        if not inside:
            raise ValueError("the crop needs more than this part of a frame holds")
        return numbers


class _Kind:
    """Planes of one shape.

    Args:
        rows: Weights along the vertical axis.
        columns: Along the horizontal one.
        count: Number of planes in a picture.
    """

    def __init__(self, rows: _Weights, columns: _Weights, count: int) -> None:
        self._rows, self._columns = rows, columns
        rows.blocks *= _BETWEEN / _WHOLE
        padded = columns.blocks.shape[1] * _ROWS
        # What no weight falls on is multiplied, too: it has to be finite.
        self._window = np.zeros((count, rows.extent, columns.extent), np.float32)
        self._low = np.zeros((count, padded, columns.extent), np.float32)
        self._result = np.empty((count, padded, padded), np.float32)

    def sample(self, number: int, planes: Sequence[Plane]) -> NDArray[np.float32]:
        """The square of each plane, shape (planes, size, size)."""
        height, width = planes[0].samples.shape
        down = self._rows.needed(number, planes[0].top, height)
        across = self._columns.needed(number, planes[0].left, width)
        top, left = self._rows.idle[number], self._columns.idle[number]
        for window, plane in zip(self._window, planes, strict=True):
            part = plane.samples[down][:, across]
            window[top : top + part.shape[0], left : left + part.shape[1]] = part
        rows, columns = self._rows.blocks[number], self._columns.blocks[number]
        row, column = self._rows.strides[number], self._columns.strides[number]
        plane_bytes, row_bytes, item = self._window.strides
        windows = as_strided(
            self._window,
            (len(planes), len(rows), rows.shape[2], self._window.shape[2]),
            (plane_bytes, row * row_bytes, row_bytes, item),
        )
        low = self._low
        np.matmul(rows, windows, out=low.reshape(len(planes), len(rows), _ROWS, -1))
        np.rint(low, out=low)
        plane_bytes, row_bytes, item = low.strides
        lows = as_strided(
            low,
            (len(planes), len(columns), low.shape[1], columns.shape[2]),
            (plane_bytes, column * item, row_bytes, item),
        )
        result = self._result.reshape(len(planes), low.shape[1], len(columns), _ROWS)
        np.matmul(lows, columns.transpose(0, 2, 1), out=result.transpose(0, 2, 1, 3))
        size = self._rows.size
        return self._result[:, :size, :size]


def _shares(places: NDArray[np.float64], steps: NDArray[np.float64]) -> NDArray[np.float32]:
    """Bicubic interpolation between averages over boxes.

    Args:
        places: Of the samples of the result, from 0 to 1 after a sample of the line; shape
            (pictures, size).
        steps: Width of the boxes, where it is more than 1, shape (pictures, 1).

    Returns:
        The shares of the samples around, in parts of a whole, shape (pictures, size, samples).
    """
    widths = np.maximum(steps, 1)
    half = box_reach(float(widths.max()))
    # How much of a sample at a distance from the middle of a box is in the box.
    boxes = (widths / 2 + 0.5 - np.abs(np.arange(-half, half + 1))).clip(0, 1) / widths
    powers = np.zeros((4, len(steps), 1, 4 + 2 * half))
    for neighbour, share in enumerate(_CUBIC.T):
        there = slice(neighbour, neighbour + 2 * half + 1)
        powers[:, :, 0, there] += share[:, None, None] * boxes
    one, first, second, third = powers
    place = places[..., None]
    shares = np.rint((((third * place + second) * place + first) * place + one) * _WHOLE)
    # One of those near takes what rounding left, so that grey stays grey.
    shares[..., half + 1] += _WHOLE - shares.sum(axis=2)
    return shares.astype(np.float32)
