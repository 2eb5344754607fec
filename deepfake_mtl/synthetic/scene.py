"""Where somebody is filmed: the light, what stands behind, and the camera."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from deepfake_mtl.synthetic.painting import (
    Image,
    Plane,
    blur,
    over,
    paint,
    smooth_noise,
    smoothstep,
)
from deepfake_mtl.synthetic.performance import Performance, Pose

MARGIN: Final = 1.25
"""Size of the painted background relative to the frame: room for the camera to move."""

HEAD_UNIT: Final = 0.4
"""Length of a head unit in parts of the frame's side: a head with hair fills 0.85 of it."""

HEAD_RISE: Final = 0.08
"""How far above the middle of the frame a head is, in head units: room for the shoulders."""


@dataclass(frozen=True)
class Light:
    """One lamp and the light of the room.

    Attributes:
        direction: Unit vector from the head to the lamp (right, down, towards the viewer).
        colour: Colour of the lamp, about 1.
        strength: Strength of the lamp.
        ambient: Strength of the light from everywhere.
        gloss: Strength of highlights.
    """

    direction: Plane
    colour: Plane
    strength: float
    ambient: float
    gloss: float

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Light":
        """Draw a lamp somewhere above and in front of the head."""
        direction = np.array([rng.uniform(-0.9, 0.9), rng.uniform(-0.7, -0.1), 1.0])
        warmth = rng.uniform(-0.07, 0.09)
        ambient = rng.uniform(0.28, 0.5)
        return cls(
            direction=np.asarray(direction / np.linalg.norm(direction), np.float32),
            colour=np.array([1 + warmth, 1, 1 - warmth], np.float32),
            strength=rng.uniform(0.95, 1.15) - ambient,
            ambient=ambient,
            gloss=rng.uniform(0.4, 1.0),
        )


@dataclass(frozen=True)
class Scene:
    """The surroundings of one recording.

    Attributes:
        size: Side of the frame in pixels.
        light: What lights the head.
        background: Shape (MARGIN * size, MARGIN * size, 3).
        body: Neck and shoulders, premultiplied RGBA, as large as the background.
        noise: Deviation of the sensor noise in grey levels.
        softness: Blur of the lens in pixels.
        drift: Position of the camera in every frame, parts of the frame, shape (frames, 2).
    """

    size: int
    light: Light
    background: Plane
    body: Plane
    noise: float
    softness: float
    drift: Plane

    @classmethod
    def sample(
        cls, rng: np.random.Generator, size: int, frames: int, skin: Plane, hand_held: Performance
    ) -> "Scene":
        """Furnish a new room around somebody with the given colour of skin.

        Args:
            rng: Source of all choices.
            size: Side of the frame in pixels.
            frames: Length of the recording.
            skin: Colour of the neck, shape (3,).
            hand_held: A performance whose positions move the camera.
        """
        light = Light.sample(rng)
        side = round(MARGIN * size)
        return cls(
            size=size,
            light=light,
            background=_background(rng, side) * light.colour,
            body=_body(rng, side, size, skin, light),
            noise=float(np.exp(rng.uniform(np.log(1.2), np.log(4.0)))),
            softness=rng.uniform(0.3, 0.5) * size / 96,
            drift=np.asarray(rng.uniform(0.0, 0.4) * hand_held.poses[:frames, 3:5], np.float32),
        )

    def backdrop(self, frame: int, pose: Pose) -> Plane:
        """Paint everything behind the head in one frame, shape (size, size, 3)."""
        shift = self.drift[frame] * self.size
        canvas = self._view(self.background, float(shift[0]), float(shift[1]))
        # Shoulders follow the head a little.
        sway = 0.35 * HEAD_UNIT * self.size
        x, y = float(shift[0]) + sway * pose.x, float(shift[1]) + sway * pose.y
        return over(canvas, self._view(self.body, x, y))

    def expose(self, canvas: Plane, rng: np.random.Generator) -> Image:
        """Take the picture: lens blur, sensor noise, eight bits."""
        if self.softness > 0.3:
            canvas = blur(canvas, self.softness)
        grain = rng.standard_normal(canvas.shape, dtype=np.float32)
        # Shot noise grows with the light, and amplifiers add the same everywhere.
        level = self.noise * (0.6 + 0.4 * np.sqrt(np.clip(canvas, 0, 255) / 128))
        return np.clip(canvas + level * grain + 0.5, 0, 255).astype(np.uint8)

    def _view(self, layer: Plane, shift_x: float, shift_y: float) -> Plane:
        margin = (layer.shape[0] - self.size) / 2
        matrix = np.array([[1, 0, shift_x - margin], [0, 1, shift_y - margin]], np.float32)
        size = (self.size, self.size)
        seen = cv2.warpAffine(layer, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(seen, np.float32)


def _background(rng: np.random.Generator, side: int) -> Plane:
    """Return a wall or a landscape out of focus, with shapes on it."""
    first, second = (rng.uniform(40, 215) + rng.uniform(-30, 30, 3) for _ in range(2))
    ramp = np.linspace(0, 1, side, dtype=np.float32)
    blend = ramp[:, None, None] if rng.random() < 0.5 else ramp[None, :, None]
    mixed = first * (1 - blend) + second * blend
    canvas = np.array(np.broadcast_to(mixed, (side, side, 3)), np.float32, order="C")
    for _ in range(rng.integers(3, 10)):
        colour = [float(value) for value in rng.uniform(20, 235) + rng.uniform(-50, 50, 3)]
        x, y = (int(value) for value in rng.uniform(0, side, 2))
        if rng.random() < 0.5:
            width, height = (int(value) for value in rng.uniform(0.05, 0.35, 2) * side)
            cv2.rectangle(canvas, (x, y), (x + width, y + height), colour, -1)
        else:
            cv2.circle(canvas, (x, y), int(rng.uniform(0.03, 0.15) * side), colour, -1)
    canvas = blur(canvas, rng.uniform(0.005, 0.04) * side)
    cell = rng.uniform(0.015, 0.05) * side
    grain = smooth_noise(rng, (side, side), cell, cell)
    canvas *= (1 + rng.uniform(0, 0.1) * grain)[..., None]
    return np.clip(canvas, 0, 255)


def _body(rng: np.random.Generator, side: int, size: int, skin: Plane, light: Light) -> Plane:
    """Return the neck and shoulders below a head that is in the middle of the frame."""
    unit = HEAD_UNIT * size
    axis = (np.arange(side, dtype=np.float32) + 0.5 - side / 2) / unit
    u, v = axis[None, :], axis[:, None] + HEAD_RISE
    canvas = np.zeros((side, side, 3), np.float32)
    soft = 2 / unit
    shade = np.clip(0.8 + 0.35 * u * light.direction[0], 0.3, 1.2)
    neck = smoothstep(soft, -soft, np.abs(u) - 0.40 - 0.1 * smoothstep(1.0, 1.4, v))
    neck = neck * smoothstep(0.2, 0.4, v)
    paint(canvas, neck * 0 + 1, skin * (0.55 * shade + 0.25 * smoothstep(0.9, 1.5, v))[..., None])
    shoulder = 1.18 + 0.55 * (np.abs(u) / 1.5) ** 2.5
    collar = rng.uniform(0.05, 0.4) * np.exp(-((u / 0.35) ** 2))
    cloth = smoothstep(-soft, soft, v - shoulder - collar) * smoothstep(1.75, 1.6, np.abs(u))
    colour = rng.uniform(25, 220) + rng.uniform(-45, 45, 3)
    weave = smooth_noise(rng, (side, side), 0.15 * unit, 0.3 * unit)
    stripes = np.sin(rng.uniform(8, 25) * (u if rng.random() < 0.5 else v)) * rng.uniform(0, 0.2)
    fabric = np.clip((0.85 + 0.06 * weave + stripes) * shade, 0, 1.6)
    paint(canvas, np.asarray(cloth, np.float32), np.asarray(colour * fabric[..., None], np.float32))
    alpha = np.maximum(neck, cloth)
    canvas *= light.colour * alpha[..., None]
    return np.asarray(np.dstack([canvas, alpha]), np.float32)
