"""Brushes: the canonical plane of a head and the fields that are painted on it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
"""A field of float32, shape (height, width) or (height, width, channels)."""

Field = NDArray[np.floating[Any]]
"""As `Plane`, of any precision."""

Image = NDArray[np.uint8]
"""An RGB picture, shape (height, width, 3)."""

HALF_WIDTH: Final = 1.3
HALF_HEIGHT: Final = 1.4
"""Half extents of the head plane, in head units: a head reaches from -1 (skull) to 1 (chin)."""


FINE: Final = 8
"""Grains of up to so many pixels are blurred from white noise; of coarser ones, the cheaper
interpolation from a lattice shows no lattice."""


@dataclass(frozen=True)
class HeadPlane:
    """The raster on which a head is painted; u goes right, v goes down, in head units.

    Attributes:
        density: Pixels of the raster per head unit.
    """

    density: float

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the raster in pixels."""
        return round(2 * HALF_HEIGHT * self.density), round(2 * HALF_WIDTH * self.density)

    @cached_property
    def u(self) -> Plane:
        """Horizontal coordinate of every pixel, shape (1, width)."""
        _, width = self.shape
        return ((np.arange(width, dtype=np.float32) + 0.5) / self.density - HALF_WIDTH)[None, :]

    @cached_property
    def v(self) -> Plane:
        """Vertical coordinate of every pixel, shape (height, 1)."""
        height, _ = self.shape
        return ((np.arange(height, dtype=np.float32) + 0.5) / self.density - HALF_HEIGHT)[:, None]

    def columns(self, u: Field) -> Plane:
        """Return the pixel columns of horizontal coordinates, as `cv2.remap` counts them."""
        return np.asarray((u + HALF_WIDTH) * self.density - 0.5, np.float32)

    def rows(self, v: Field) -> Plane:
        """Return the pixel rows of vertical coordinates, as `cv2.remap` counts them."""
        return np.asarray((v + HALF_HEIGHT) * self.density - 0.5, np.float32)

    def window(self, u0: float, u1: float, v0: float, v1: float) -> tuple[slice, slice]:
        """Return the rows and columns of the raster that cover a rectangle."""
        height, width = self.shape
        top, bottom = (int((v + HALF_HEIGHT) * self.density) for v in (v0, v1))
        left, right = (int((u + HALF_WIDTH) * self.density) for u in (u0, u1))
        rows = slice(max(top, 0), min(bottom + 1, height))
        return rows, slice(max(left, 0), min(right + 1, width))

    def noise(self, rng: np.random.Generator, cell_u: float, cell_v: float | None = None) -> Plane:
        """Return smooth noise of mean 0 and deviation 1, with grains sized in head units."""
        cells = (cell * self.density for cell in (cell_u, cell_v or cell_u))
        return smooth_noise(rng, self.shape, *cells)


def smoothstep(start: float, end: float, x: Field) -> Plane:
    """Rise from 0 at `start` to 1 at `end` without corners; fall where `end` < `start`."""
    t = np.clip((x - start) / (end - start), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), np.float32)


def bump(u: Field, v: Field, at: tuple[float, float], spread: tuple[float, float]) -> Plane:
    """Return a Gaussian hill of height 1."""
    squares = ((u - at[0]) / spread[0]) ** 2 + ((v - at[1]) / spread[1]) ** 2
    return np.asarray(np.exp(-0.5 * squares), np.float32)


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], cell_x: float, cell_y: float
) -> Plane:
    """Return the noise of mean 0 and deviation 1 with grains of the given size in pixels."""
    height, width = shape
    if max(cell_x, cell_y) < FINE:
        grains = rng.standard_normal(shape, dtype=np.float32)
        across, down = (max(0.35 * cell, 0.3) for cell in (cell_x, cell_y))
        field = np.asarray(cv2.GaussianBlur(grains, (0, 0), across, sigmaY=down), np.float32)
    else:
        rows = int(np.ceil(height / max(cell_y, 1.0))) + 2
        columns = int(np.ceil(width / max(cell_x, 1.0))) + 2
        grains = rng.standard_normal((rows, columns), dtype=np.float32)
        field = resize(grains, (width, height), cv2.INTER_CUBIC)
    return np.asarray((field - field.mean()) / (field.std() + 1e-6), np.float32)


def resize(field: Plane, size: tuple[int, int], interpolation: int = cv2.INTER_LINEAR) -> Plane:
    """Resample a field to (width, height)."""
    return np.asarray(cv2.resize(field, size, interpolation=interpolation), np.float32)


def blur(field: Plane, sigma: float) -> Plane:
    """Blur by a Gaussian with a deviation of `sigma` pixels."""
    return np.asarray(
        cv2.GaussianBlur(field, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32
    )


def warp(field: Plane, columns: Plane, rows: Plane) -> Plane:
    """Sample a field at float32 positions; what lies outside is zero."""
    return np.asarray(
        cv2.remap(field, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT),
        np.float32,
    )


def paint(canvas: Plane, alpha: Field, colour: Field) -> None:
    """Lay `colour` over an RGB canvas in place, as opaque as `alpha` says."""
    canvas += alpha[..., None] * (colour - canvas)


def over(canvas: Plane, layer: Plane) -> Plane:
    """Lay a premultiplied RGBA layer over an RGB canvas; returns a new canvas."""
    return canvas * (1.0 - layer[..., 3:]) + layer[..., :3]
