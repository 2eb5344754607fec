"""Somebody in front of a camera: from a configuration and a number to frames."""

from typing import Final

import numpy as np

from deepfake_mtl.synthetic.config import SyntheticConfig
from deepfake_mtl.synthetic.face import FaceModel
from deepfake_mtl.synthetic.manipulations import Recording, View
from deepfake_mtl.synthetic.painting import Image, over
from deepfake_mtl.synthetic.performance import Performance
from deepfake_mtl.synthetic.rendering import HeadRenderer
from deepfake_mtl.synthetic.scene import HEAD_UNIT, Scene
from deepfake_mtl.synthetic.video import through_codec

SUPERSAMPLING: Final = 1.5
"""Pixels of a head's texture per pixel of the frame."""


def record(config: SyntheticConfig, identity: int) -> Recording:
    """Draw somebody and where they are filmed: the same for the same seed and identity."""
    frames = config.frames
    density = SUPERSAMPLING * HEAD_UNIT * config.size
    face = FaceModel.sample(random_numbers(config, identity, "face"), density)
    scene_rng = random_numbers(config, identity, "scene")
    hand_held = Performance.sample(scene_rng, frames)
    scene = Scene.sample(scene_rng, config.size, frames, face.skin, hand_held)
    return Recording(
        face=face,
        performance=Performance.sample(random_numbers(config, identity, "performance"), frames),
        scene=scene,
        renderer=HeadRenderer(face, config.size),
    )


def shoot(config: SyntheticConfig, identity: int, recording: Recording) -> list[View]:
    """Film somebody, and take the recording through the codec of its first publication."""
    rng = random_numbers(config, identity, "camera")
    published_at = int(rng.integers(15, 21))
    scene, performance, renderer = recording.scene, recording.performance, recording.renderer
    poses = [performance.pose(index) for index in range(config.frames)]
    projections = [renderer.project(pose) for pose in poses]
    frames: list[Image] = []
    for index, (pose, projection) in enumerate(zip(poses, projections, strict=True)):
        head = renderer.render(scene.light, pose, performance.expression(index), projection)
        frames.append(scene.expose(over(scene.backdrop(index, pose), head), rng))
    decoded = through_codec(frames, published_at)
    return list(map(View, range(config.frames), decoded, poses, projections))


def random_numbers(config: SyntheticConfig, identity: int, purpose: str) -> np.random.Generator:
    """Return random numbers that depend on what they are for, and on nothing before."""
    return np.random.default_rng([config.seed, 2, identity, *purpose.encode()])
