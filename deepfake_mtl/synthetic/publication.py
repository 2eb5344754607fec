"""What happens to every video, real or fake, on its way into the corpus."""

from dataclasses import dataclass

import numpy as np

from deepfake_mtl.synthetic.painting import Image, blur


@dataclass(frozen=True)
class Publication:
    """A slight change of exposure and sharpness, and a grain of its own, for each video.

    An original and its fakes would otherwise differ in nothing but the manipulation, and the bytes
    that it saves or costs would tell them apart. All classes are drawn from the same ranges.

    Attributes:
        gain: Factor for each colour channel, shape (3,).
        offset: Added to all channels, in grey levels.
        sharpness: Sharpness of the filter that each player and editor applies; negative softens.
        grain: Deviation of the noise in grey levels.
        rng: Source of the noise.
    """

    gain: np.ndarray[tuple[int], np.dtype[np.float32]]
    offset: float
    sharpness: float
    grain: float
    rng: np.random.Generator

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Publication":
        """Draw the changes for one video; `rng` is kept for the noise."""
        gain = rng.uniform(0.9, 1.08) * (1 + rng.uniform(-0.02, 0.02, 3))
        return cls(
            gain=gain.astype(np.float32),
            offset=float(rng.uniform(-6, 6)),
            sharpness=float(rng.uniform(-0.3, 0.4)),
            grain=float(rng.uniform(0.0, 4.5)),
            rng=np.random.default_rng(rng.integers(2**63)),
        )

    def __call__(self, frame: Image) -> Image:
        """Publish one frame, RGB."""
        # One field for the three channels, as film has it.
        grain = self.rng.standard_normal(frame.shape[:2], dtype=np.float32)[..., None]
        picture = frame.astype(np.float32)
        picture += self.sharpness * (picture - blur(picture, 0.01 * len(picture)))
        changed = picture * self.gain + (self.offset + 0.5) + self.grain * grain
        return np.clip(changed, 0, 255).astype(np.uint8)
