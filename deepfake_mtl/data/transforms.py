"""From frames as they are read to square clips as the network sees them.

Whatever is drawn at random is drawn once a clip, so that all its frames are treated alike; only
sensor noise is fresh in every frame, as it is in a camera. All draws depend on the seed that comes
with the clip, and on nothing else: neither on global generators nor on the process or the order.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.errors import ConfigurationError

# At import, albumentations would otherwise ask the network for a newer version of itself.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
import albumentations

_NORMAL: Final = np.array([NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)])
"""256 equally likely values of a normal distribution, of deviation 1 but for the last digits."""


ClipTransform: TypeAlias = Callable[[NDArray[np.uint8], Sequence[int]], NDArray[np.uint8]]
"""Makes a clip of the size that the network wants, of shape (T, size, size, 3), out of RGB frames
of shape (T, H, W, 3) and whole numbers, not negative, that all random draws depend on."""


@dataclass(frozen=True)
class AugmentationSettings:
    """What happens to training clips; all of it assumptions, since the paper states nothing.

    A number without a range is the probability that a clip meets that treatment; 0 turns it off.
    Ranges are the ends of uniform draws.

    Attributes:
        flip: Left to right.
        crop_scale: Side of the random square that is cut out, over the shorter side of the frame.
        brightness: Brightness and contrast together.
        brightness_shift: Largest change of brightness, over the whole range of levels.
        contrast_change: Largest relative change of contrast.
        hue: Hue and saturation together.
        hue_shift: Largest turn of the hue in degrees, up to 180.
        saturation_shift: Largest change of saturation, over its whole range.
        blur: Gaussian blur.
        blur_deviation: Standard deviation of the blur in pixels of the result.
        noise: Normal noise, fresh in every frame, pixel and channel.
        noise_deviation: Standard deviation of the noise in grey levels, up to 40.
        downscale: Loss of resolution by scaling down and up again.
        downscale_factor: Size in between over the size of the result.
        jpeg: Compression of each frame by itself.
        jpeg_quality: From 1 to 100.

    Raises:
        ConfigurationError: A value is out of its range.
    """

    flip: float = 0.5
    crop_scale: tuple[float, float] = (0.8, 1.0)
    brightness: float = 0.3
    brightness_shift: float = 0.15
    contrast_change: float = 0.15
    hue: float = 0.3
    hue_shift: float = 10.0
    saturation_shift: float = 0.1
    blur: float = 0.1
    blur_deviation: tuple[float, float] = (0.3, 1.5)
    noise: float = 0.3
    noise_deviation: tuple[float, float] = (1.0, 4.0)
    downscale: float = 0.1
    downscale_factor: tuple[float, float] = (0.5, 0.9)
    jpeg: float = 0.3
    jpeg_quality: tuple[int, int] = (50, 95)

    def __post_init__(self) -> None:
        for name in ("flip", "brightness", "hue", "blur", "noise", "downscale", "jpeg"):
            self._check(name, 0, 1)
        for name in ("brightness_shift", "contrast_change", "saturation_shift"):
            self._check(name, 0, 1)
        self._check("hue_shift", 0, 180)
        self._check("crop_scale", 0.1, 1)
        self._check("blur_deviation", 0.1, 20)
        self._check("noise_deviation", 0, 40)
        self._check("downscale_factor", 0.05, 0.999)
        self._check("jpeg_quality", 1, 100)

    def _check(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        ends = tuple(value) if isinstance(value, tuple | list) else (value,)
        if not all(low <= end <= high for end in ends):
            raise ConfigurationError(
                f"augmentation.{name} must lie between {low} and {high}, not at {value}"
            )
        if len(ends) == 2 and ends[0] > ends[1]:
            raise ConfigurationError(f"augmentation.{name} begins above its end: {value}")


class ClipAugmentation(ABC):
    """A random change of training clips by a class of your own.

    It follows the changes of `AugmentationSettings`. A configuration names its class in
    ``data.extra_augmentations``. Instances are pickled, since processes of their own read clips.
    """

    @abstractmethod
    def __call__(
        self, clip: NDArray[np.uint8], generator: np.random.Generator
    ) -> NDArray[np.uint8]:
        """Change one clip.

        Args:
            clip: RGB, shape (T, size, size, 3); not to be written to.
            generator: Source of all random draws, a new one for each clip, so that clips depend on
                no process and no order. Draw once for all frames.

        Returns:
            RGB, of the same shape and type.
        """


class EvaluationTransform:
    """The square in the middle of the frame, scaled; the same for every seed."""

    def __init__(self, size: int) -> None:
        """Set the side of the result, in pixels.

        Raises:
            ConfigurationError: The size is below 1.
        """
        self.size = _checked_size(size)

    def __call__(
        self,
        frames: NDArray[np.uint8],
        seed: Sequence[int],  # noqa: ARG002 (part of the protocol)
    ) -> NDArray[np.uint8]:
        """See `ClipTransform`."""
        height, width = frames.shape[1:3]
        side = min(height, width)
        return _resized_square(frames, (height - side) // 2, (width - side) // 2, side, self.size)


class Augmentation:
    """Random changes of a training clip, in the order in which a picture would meet them.

    First a square is cut out and scaled, so that all that follows works on small frames: mirror,
    light and lens, then the noise of the sensor, then loss of resolution and compression. Every
    draw but that of the noise holds for all frames of the clip. Instances can be pickled.
    """

    def __init__(
        self,
        size: int,
        settings: AugmentationSettings | None = None,
        others: Sequence[ClipAugmentation] = (),
    ) -> None:
        """Set the side of the result in pixels, what happens on the way, and what follows.

        Raises:
            ConfigurationError: The size is below 1.
        """
        self.size = _checked_size(size)
        self.settings = settings = settings or AugmentationSettings()
        self.others = tuple(others)
        degrees = 0.5  # OpenCV counts hue in steps of two degrees
        self._camera = _pipeline(
            albumentations.HorizontalFlip(p=settings.flip),
            albumentations.RandomBrightnessContrast(
                brightness_limit=settings.brightness_shift,
                contrast_limit=settings.contrast_change,
                p=settings.brightness,
            ),
            albumentations.HueSaturationValue(
                hue_shift_limit=settings.hue_shift * degrees,
                sat_shift_limit=settings.saturation_shift * 255,
                val_shift_limit=0,
                p=settings.hue,
            ),
            albumentations.GaussianBlur(
                blur_limit=0, sigma_limit=tuple(settings.blur_deviation), p=settings.blur
            ),
        )
        self._storage = _pipeline(
            albumentations.Downscale(
                scale_range=tuple(settings.downscale_factor),
                interpolation_pair={"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_LINEAR},
                p=settings.downscale,
            ),
            albumentations.ImageCompression(
                quality_range=tuple(settings.jpeg_quality), p=settings.jpeg
            ),
        )

    def __call__(self, frames: NDArray[np.uint8], seed: Sequence[int]) -> NDArray[np.uint8]:
        """See `ClipTransform`.

        Raises:
            ConfigurationError: One of the other augmentations changes the shape or the type.
        """
        camera_seed, storage_seed, *own_seed = np.random.SeedSequence(seed).generate_state(4)
        generator = np.random.default_rng(own_seed)
        clip = self._random_square(frames, generator)
        clip = _apply(self._camera, clip, camera_seed)
        if generator.random() < self.settings.noise:
            clip = _with_noise(clip, generator.uniform(*self.settings.noise_deviation), generator)
        clip = _apply(self._storage, clip, storage_seed)
        for number, change in enumerate(self.others, 1):
            shape = clip.shape
            clip = change(clip, np.random.default_rng([*seed, number]))
            if clip.shape != shape or clip.dtype != np.uint8:
                raise ConfigurationError(
                    f"{type(change).__name__} made a clip of shape {clip.shape} and type "
                    f"{clip.dtype}, but must keep {shape} and uint8"
                )
        return np.ascontiguousarray(clip)

    def _random_square(
        self, frames: NDArray[np.uint8], generator: np.random.Generator
    ) -> NDArray[np.uint8]:
        height, width = frames.shape[1:3]
        scale = generator.uniform(*self.settings.crop_scale)
        side = max(1, round(scale * min(height, width)))
        top = int(generator.integers(height - side + 1))
        left = int(generator.integers(width - side + 1))
        return _resized_square(frames, top, left, side, self.size)


def _checked_size(size: int) -> int:
    if size < 1:
        raise ConfigurationError(f"size must be at least 1 pixel, not {size}")
    return size


def _resized_square(
    frames: NDArray[np.uint8], top: int, left: int, side: int, size: int
) -> NDArray[np.uint8]:
    squares = frames[:, top : top + side, left : left + side]
    # Averaging over areas takes five times as long; it is needed where a pixel would miss others.
    interpolation = cv2.INTER_AREA if side > 1.5 * size else cv2.INTER_LINEAR
    resized = np.empty((len(frames), size, size, 3), np.uint8)
    for square, target in zip(squares, resized, strict=True):
        target[:] = cv2.resize(square, (size, size), interpolation=interpolation)
    return resized


def _pipeline(*transforms: albumentations.BasicTransform) -> albumentations.Compose:
    return albumentations.Compose([transform for transform in transforms if transform.p > 0])


def _apply(
    pipeline: albumentations.Compose, clip: NDArray[np.uint8], seed: np.uint32
) -> NDArray[np.uint8]:
    """Apply one draw to all frames; without a seed of its own, a pipeline repeats itself."""
    pipeline.set_random_seed(int(seed))
    return cast("NDArray[np.uint8]", pipeline(images=clip)["images"])


def _with_noise(
    clip: NDArray[np.uint8], deviation: float, generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Add noise of a standard deviation in grey levels, independent in every value."""
    # Random bytes look up a table of noise: ten times as fast as drawing normal numbers, and fine
    # enough for pictures of 256 levels.
    table = np.rint(deviation * _NORMAL).astype(np.int16)
    words = generator.bit_generator.random_raw(clip.size // 8 + 1)  # of 64 random bits
    draws = words.view(np.uint8)[: clip.size].reshape(len(clip), -1)
    noise = cv2.LUT(draws, table[np.newaxis])
    noisy = cv2.add(clip.reshape(len(clip), -1), noise, dtype=cv2.CV_8U)
    return np.asarray(noisy, np.uint8).reshape(clip.shape)
