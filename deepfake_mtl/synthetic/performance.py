"""What a person does in front of the camera: pose and expression over time."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.synthetic.config import FRAMES_PER_SECOND

Signal = NDArray[np.float32]
"""One value a frame."""


class Pose(NamedTuple):
    """Where the head is in one frame.

    Angles in radians; `x` and `y` in head units; `scale` relative to the usual size.
    """

    yaw: float
    pitch: float
    roll: float
    x: float
    y: float
    scale: float


class Expression(NamedTuple):
    """What the face does in one frame.

    `mouth` is 0 (closed) to 1 (wide open), `width` and `smile` and `brows` are -1 to 1,
    `lids` is 0 (closed) to 1 (open), the gaze is in parts of the eye's width.
    """

    mouth: float
    width: float
    smile: float
    brows: float
    lids: float
    gaze_u: float
    gaze_v: float


@dataclass(frozen=True)
class Performance:
    """Pose and expression in every frame of a video.

    Attributes:
        poses: Shape (frames, 6), the fields of `Pose`.
        expressions: Shape (frames, 7), the fields of `Expression`.
    """

    poses: NDArray[np.float32]
    expressions: NDArray[np.float32]

    @classmethod
    def sample(cls, rng: np.random.Generator, frames: int) -> "Performance":
        """Let somebody talk into the camera for a number of frames."""
        # Some sit still, some do not; this is what sizes of files vary with most.
        energy = np.exp(rng.uniform(np.log(0.3), np.log(1.7)))
        poses = [
            0.10 * rng.standard_normal() + 0.13 * energy * _sway(rng, frames, 1.2),
            0.05 * rng.standard_normal() + 0.07 * energy * _sway(rng, frames, 0.9),
            0.03 * rng.standard_normal() + 0.04 * energy * _sway(rng, frames, 1.5),
            0.04 * rng.standard_normal() + 0.03 * energy * _sway(rng, frames, 1.5),
            0.04 * rng.standard_normal() + 0.02 * energy * _sway(rng, frames, 0.8),
            1.0 + 0.04 * rng.standard_normal() + 0.01 * energy * _sway(rng, frames, 2.0),
        ]
        mouth = _speech(rng, frames)
        expressions = [
            mouth,
            0.5 * _sway(rng, frames, 0.25),
            0.3 * rng.standard_normal() + 0.4 * _sway(rng, frames, 1.5),
            0.5 * _sway(rng, frames, 0.6) + 0.4 * (mouth - mouth.mean()),
            _lids(rng, frames),
            _glances(rng, frames, 0.22),
            _glances(rng, frames, 0.08),
        ]
        limits = np.array([0.4, 0.2, 0.15, 0.12, 0.1, 1.1], np.float32)
        stacked = np.stack([np.broadcast_to(signal, frames) for signal in poses], axis=1)
        centre = np.array([0, 0, 0, 0, 0, 1.0], np.float32)
        bounded = centre + np.clip(stacked - centre, -limits, limits)
        return cls(
            bounded.astype(np.float32),
            np.clip(np.stack(expressions, axis=1), -1.0, 1.0).astype(np.float32),
        )

    def __len__(self) -> int:
        return len(self.poses)

    def pose(self, frame: int) -> Pose:
        """Return the pose in one frame."""
        return Pose(*self.poses[frame].tolist())

    def expression(self, frame: int) -> Expression:
        """Return the expression in one frame."""
        return Expression(*self.expressions[frame].tolist())

    def with_expressions_of(
        self, other: "Performance", fields: tuple[str, ...] = Expression._fields
    ) -> "Performance":
        """Return the same poses, with the named fields of the expression taken from another one."""
        expressions = self.expressions.copy()
        columns = [Expression._fields.index(field) for field in fields]
        expressions[:, columns] = other.expressions[: len(self), columns]
        return replace(self, expressions=expressions)


def _sway(rng: np.random.Generator, frames: int, period: float) -> Signal:
    """Return a wandering signal of deviation about 1 with the given period in seconds."""
    time = np.arange(frames) / FRAMES_PER_SECOND
    signal = np.zeros(frames)
    for octave in range(3):
        rate = rng.uniform(0.6, 1.4) * (octave + 1) / period / 2
        signal += np.sin(2 * np.pi * (rate * time + rng.uniform())) / (octave + 1)
    return signal.astype(np.float32)


def _speech(rng: np.random.Generator, frames: int) -> Signal:
    """Return the mouth opening: 3 to 6 syllables a second, in phrases with short rests."""
    opening = np.zeros(frames)
    time = np.arange(frames) / FRAMES_PER_SECOND
    start, end = -rng.uniform(0, 1.0), frames / FRAMES_PER_SECOND
    while start < end:
        for _ in range(rng.integers(4, 12)):
            length = rng.uniform(0.16, 0.32)
            strength = rng.uniform(0.25, 1.0)
            opening += strength * np.exp(-0.5 * ((time - start) / (length / 3)) ** 2)
            start += length
        start += rng.uniform(0.1, 0.5)
    return np.clip(opening, 0, 1).astype(np.float32)


def _lids(rng: np.random.Generator, frames: int) -> Signal:
    """Return the openness of the eyes, with a blink of 0.2 seconds every 1 to 4 seconds."""
    time = np.arange(frames) / FRAMES_PER_SECOND
    lids = np.full(frames, rng.uniform(0.8, 1.0))
    blink = rng.uniform(0, 2.0)
    while blink < frames / FRAMES_PER_SECOND:
        lids *= 1 - np.exp(-0.5 * ((time - blink) / 0.055) ** 2)
        blink += rng.uniform(1.0, 4.0)
    return lids.astype(np.float32)


def _glances(rng: np.random.Generator, frames: int, reach: float) -> Signal:
    """Return a gaze that rests, and jumps every 0.4 to 1.6 seconds."""
    gaze = np.zeros(frames, np.float32)
    frame = 0
    while frame < frames:
        rest = int(rng.uniform(0.4, 1.6) * FRAMES_PER_SECOND)
        gaze[frame : frame + rest] = reach * rng.uniform(-1, 1)
        frame += rest
    return gaze
