"""The four manipulations of FaceForensics++, each with the traces that its namesake leaves.

All work as the real ones do: on the decoded frames of the target's recording, inside a region of
the face; what they put there has not gone through the target's camera.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.synthetic.face import FaceModel
from deepfake_mtl.synthetic.painting import Image, Plane, blur, resize, smoothstep, warp
from deepfake_mtl.synthetic.performance import Performance, Pose
from deepfake_mtl.synthetic.rendering import HeadRenderer, Projection
from deepfake_mtl.synthetic.scene import Scene

TEXELS: Final = 54
"""Rows of the texture map of FaceSwap, from above the hair to below the chin."""


@dataclass(frozen=True)
class Recording:
    """One person in front of one camera.

    Attributes:
        face: Who is filmed.
        performance: What they do.
        scene: Where.
        renderer: Renderer of the face, at the size of the frames.
    """

    face: FaceModel
    performance: Performance
    scene: Scene
    renderer: HeadRenderer


@dataclass(frozen=True)
class View:
    """One frame of the target as a manipulation finds it.

    Attributes:
        index: Number of the frame.
        frame: The decoded picture, RGB.
        pose: Pose of the target's head.
        projection: Projection from the frame to the target's head plane.
    """

    index: int
    frame: Image
    pose: Pose
    projection: Projection


class Forged(NamedTuple):
    """One manipulated frame and where it was manipulated.

    Attributes:
        frame: RGB, shape (size, size, 3).
        mask: 0 or 255, shape (size, size).
    """

    frame: Image
    mask: Image


class Deepfakes:
    """The source's face with the target's performance, from a decoder of few pixels.

    An autoencoder of low resolution draws the face, which is then stretched over the target,
    matched in colour and blended softly; each frame is aligned on its own, so the face trembles.
    """

    def __init__(self, target: Recording, source: Recording, rng: np.random.Generator) -> None:
        self._target, self._source, self._rng = target, source, rng
        size = target.scene.size
        self._decoder = max(8, round(rng.uniform(0.27, 0.34) * size))
        self._tremble = rng.uniform(0.013, 0.018)
        # Transposed convolutions do not cover all of their outputs equally often.
        axis = np.arange(self._decoder)
        checks = 1 - 2 * ((axis[:, None] + axis[None, :]) % 2)
        self._checks = np.asarray(1 + rng.uniform(0.04, 0.055) * checks[..., None], np.float32)
        self._edge = 0.035 * size

    def __call__(self, view: View) -> Forged:
        """Forge one frame."""
        target, source, rng = self._target, self._source, self._rng
        jitter = (float(rng.normal(0, self._tremble)), float(rng.normal(0, self._tremble)))
        projection = source.renderer.project(view.pose, jitter)
        expression = target.performance.expression(view.index)
        drawn = source.renderer.render(target.scene.light, view.pose, expression, projection)
        size = (target.scene.size, target.scene.size)
        small = resize(drawn, (self._decoder, self._decoder), cv2.INTER_AREA)
        small[..., :3] *= self._checks
        face = resize(small, size, cv2.INTER_CUBIC)
        face = np.asarray(face[..., :3] / np.maximum(face[..., 3:], 0.3), np.float32)
        region = view.projection.show(target.face.inner)
        face = match_colour(face, view.frame, region)
        face = np.asarray(face * (1 + rng.normal(0, 0.03)), np.float32)
        return blend(view.frame, face, blur(region, self._edge))


class Face2Face:
    """The target's face with the source's expression, re-rendered from a model of the target.

    The model's texture was gathered over many frames: smooth and without pores; its light is an
    estimate without highlights.
    """

    def __init__(self, target: Recording, source: Recording, rng: np.random.Generator) -> None:
        self._performance = target.performance.with_expressions_of(source.performance)
        face = target.face
        gathered = blur(face.albedo, 0.08 * face.plane.density)
        self._face = face.with_albedo(gathered)
        self._renderer = HeadRenderer(self._face, target.scene.size)
        light = target.scene.light
        direction = light.direction + rng.normal(0, 0.45, 3) * np.array([1, 1, 0])
        direction = np.asarray(direction / np.linalg.norm(direction), np.float32)
        self._light = replace(light, direction=direction, gloss=0.0)
        self._rng = rng
        self._tremble = rng.uniform(0.002, 0.005)
        self._edge = 0.008 * target.scene.size

    def __call__(self, view: View) -> Forged:
        """Forge one frame."""
        rng = self._rng
        jitter = (float(rng.normal(0, self._tremble)), float(rng.normal(0, self._tremble)))
        projection = self._renderer.project(view.pose, jitter)
        expression = self._performance.expression(view.index)
        drawn = self._renderer.render(self._light, view.pose, expression, projection)
        region = view.projection.show(self._face.inner) * (drawn[..., 3] > 0.99)
        face = match_colour(drawn[..., :3], view.frame, region) * (1 + rng.normal(0, 0.02))
        return blend(view.frame, face, blur(np.asarray(region, np.float32), self._edge))


class FaceSwap:
    """One picture of the source, warped by landmarks onto the target.

    Light and highlights of the picture are baked in, the landmarks of each frame err on their own,
    the colour is not matched well, and the edge of the mask is hard.
    """

    def __init__(self, target: Recording, source: Recording, rng: np.random.Generator) -> None:
        self._target, self._rng = target, rng
        renderer = source.renderer
        frame = int(rng.integers(len(source.performance)))
        pose = source.performance.pose(frame)
        still = source.performance.expression(frame)._replace(mouth=0.0, lids=0.9)
        picture = renderer.express(renderer.lit(source.scene.light, pose), still)
        # Landmarks bring the two faces into register: the plane of the head is common to both.
        height, width = source.face.plane.shape
        texels = round(TEXELS * width / height), TEXELS
        still_image = resize(np.ascontiguousarray(picture[..., :3]), texels, cv2.INTER_AREA)
        self._picture = resize(still_image, (width, height), cv2.INTER_NEAREST)
        self._tint = 1 + rng.choice([-1, 1]) * rng.uniform(0.07, 0.13) + rng.normal(0, 0.035, 3)

    def __call__(self, view: View) -> Forged:
        """Forge one frame."""
        target, rng = self._target, self._rng
        density = target.face.plane.density
        size = (target.scene.size, target.scene.size)
        errors = resize(rng.normal(0, 0.004 * density, (5, 5, 2)).astype(np.float32), size)
        expression = target.performance.expression(view.index)
        columns = view.projection.columns + errors[..., 0]
        rows = view.projection.rows + errors[..., 1]
        # A mesh of triangles follows the jaw; it knows no inside of the mouth.
        middle = float(target.face.plane.rows(np.array(target.face.shape.mouth_height)))
        below = smoothstep(0, 0.5 * density, rows - middle)
        rows = rows - 0.12 * expression.mouth * density * below
        face = warp(self._picture, columns, np.asarray(rows, np.float32))
        region = warp(target.face.inner, columns, np.asarray(view.projection.rows + errors[..., 1]))
        region = np.asarray(region > 0.5, np.float32)
        face = match_colour(face, view.frame, region, contrast=False)
        face = face * (self._tint + rng.normal(0, 0.02))
        return blend(view.frame, np.asarray(face, np.float32), region)


class NeuralTextures:
    """The mouth alone, re-synthesised with the source's expression by a network.

    A learnt texture is smooth, and the upsampling layers of the network leave a grid in it.
    """

    def __init__(self, target: Recording, source: Recording, rng: np.random.Generator) -> None:
        self._target, self._rng = target, rng
        moved = ("mouth", "width", "smile")
        self._performance = target.performance.with_expressions_of(source.performance, moved)
        size = target.scene.size
        stride = size / 16
        axis = np.arange(size) + rng.uniform(0, stride)
        wave = np.cos(2 * np.pi * axis / stride)
        pattern = wave[None, :] + wave[:, None]
        self._grid = np.asarray(1 + rng.uniform(0.05, 0.075) * pattern[..., None], np.float32)
        self._edge = 0.012 * size

    def __call__(self, view: View) -> Forged:
        """Forge one frame."""
        target, size = self._target, self._target.scene.size
        expression = self._performance.expression(view.index)
        drawn = target.renderer.render(target.scene.light, view.pose, expression, view.projection)
        small = max(8, round(0.32 * size))
        coarse = resize(drawn[..., :3], (small, small), cv2.INTER_AREA)
        face = resize(coarse, (size, size), cv2.INTER_CUBIC)
        region = view.projection.show(target.face.mouth)
        face = match_colour(face, view.frame, region) * self._grid
        face *= 1 + self._rng.normal(0, 0.02)
        return blend(view.frame, face, blur(region, self._edge))


Begin = Callable[[Recording, Recording, np.random.Generator], Callable[[View], Forged]]

FORGERS: Final[dict[str, Begin]] = {
    forger.__name__: forger for forger in (Deepfakes, Face2Face, FaceSwap, NeuralTextures)
}
"""How to begin each manipulation for a target and a source."""


def match_colour(face: Plane, frame: Image, region: Plane, contrast: bool = True) -> Plane:
    """Give `face` the mean, and if asked the deviation, that `frame` has in a region.

    Args:
        face: RGB, shape (size, size, 3).
        frame: RGB, the same shape.
        region: Weights, shape (size, size).
        contrast: Whether to match the deviation as well.
    """
    goal = frame.astype(np.float32)
    weights = (region / (region.sum(dtype=np.float64) + 1e-6))[..., None]
    mean, goal_mean = _average(face, weights), _average(goal, weights)
    if not contrast:
        return np.asarray(face - mean + goal_mean, np.float32)
    spread = np.sqrt(_average((face - mean) ** 2, weights)) + 1
    goal_spread = np.sqrt(_average((goal - goal_mean) ** 2, weights)) + 1
    ratio = np.clip(goal_spread / spread, 0.6, 1.6)
    return np.asarray((face - mean) * ratio + goal_mean, np.float32)


def _average(picture: Plane, weights: NDArray[np.float64]) -> Plane:
    """Return the weighted mean of each channel, shape (3,).

    No matrix product: its order of summation differs from process to process. The rest of such
    differences is rounded away, so that equal configurations give equal bytes.
    """
    return np.asarray(np.round((picture * weights).sum(axis=(0, 1)), 3), np.float32)


def blend(frame: Image, face: Plane, alpha: Plane) -> Forged:
    """Lay a face over a frame, rounded to eight bits, with the mask of what it covers."""
    base = frame.astype(np.float32)
    mixed = base + alpha[..., None] * (face - base)
    return Forged(
        np.clip(mixed + 0.5, 0, 255).astype(np.uint8),
        np.where(alpha > 0.1, 255, 0).astype(np.uint8),
    )
