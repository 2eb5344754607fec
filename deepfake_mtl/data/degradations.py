"""What happens to videos on their way through the world, in stated strengths, for tests.

Unlike augmentation, nothing is left to chance but noise and which frames are lost, and these depend
on the clip alone. All are applied to clips as the network sees them, of its size, so that one
strength means the same whatever the resolution of a corpus.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.data.transforms import ClipTransform
from deepfake_mtl.data.treatments import parse_degradation
from deepfake_mtl.data.video.colours import to_rgb

Clip = NDArray[np.uint8]


class Degraded:
    """A transform, and then a degradation.

    Args:
        transform: Brings clips to the size of the network.
        degradation: ``<treatment>:<strength>``, for example ``jpeg:50``; see
            `deepfake_mtl.data.treatments.TREATMENTS`.

    Raises:
        ConfigurationError: The treatment is unknown, or its strength out of range.
    """

    def __init__(self, transform: ClipTransform, degradation: str) -> None:
        self._transform = transform
        name, strength = parse_degradation(degradation)
        self._name, self._strength = name, strength

    def __call__(self, frames: NDArray[np.uint8], seed: Sequence[int]) -> NDArray[np.uint8]:
        """See `deepfake_mtl.data.transforms.ClipTransform`."""
        clip = self._transform(frames, seed)
        generator = np.random.default_rng(list(seed))
        return _APPLY[self._name](clip, self._strength, generator)


def _jpeg(clip: Clip, quality: float, _: np.random.Generator) -> Clip:
    options = [cv2.IMWRITE_JPEG_QUALITY, round(quality)]
    degraded = np.empty_like(clip)
    for frame, target in zip(clip, degraded, strict=True):
        data = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), options)[1]
        target[:] = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)
    return degraded


def _h264(clip: Clip, rate_factor: float, _: np.random.Generator) -> Clip:
    # x264 wants even sides with 4:2:0.
    odd = [(0, side % 2) for side in clip.shape[1:3]]
    padded = np.pad(clip, [(0, 0), *odd, (0, 0)], mode="edge")
    memory = io.BytesIO()
    with av.open(memory, "w", format="mp4") as container:
        options = {"crf": str(round(rate_factor)), "preset": "medium"}
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.height, stream.width = padded.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for pixels in padded:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    memory.seek(0)
    with av.open(memory, "r") as container:
        frames = [to_rgb(frame) for frame in container.decode(video=0)]
    return np.ascontiguousarray(np.stack(frames)[:, : clip.shape[1], : clip.shape[2]])


def _blur(clip: Clip, deviation: float, _: np.random.Generator) -> Clip:
    return np.stack([cv2.GaussianBlur(frame, (0, 0), deviation) for frame in clip]).astype(np.uint8)


def _noise(clip: Clip, deviation: float, generator: np.random.Generator) -> Clip:
    noise = generator.standard_normal(clip.shape, np.float32)
    return np.rint(clip + deviation * noise).clip(0, 255).astype(np.uint8)


def _downscale(clip: Clip, side: float, _: np.random.Generator) -> Clip:
    height, width = clip.shape[1:3]
    factor = min(side / min(height, width), 1.0)
    small = max(round(width * factor), 1), max(round(height * factor), 1)
    frames = [
        cv2.resize(cv2.resize(frame, small, interpolation=cv2.INTER_AREA), (width, height))
        for frame in clip
    ]
    return np.stack(frames).astype(np.uint8)


def _drop(clip: Clip, share: float, generator: np.random.Generator) -> Clip:
    """Let the picture stand still where a frame is lost; the first one is never lost."""
    lost = round(share * (len(clip) - 1))
    missing = 1 + generator.permutation(len(clip) - 1)[:lost]
    shown = np.arange(len(clip))
    shown[missing] = 0
    return clip[np.maximum.accumulate(shown)]


_APPLY: Final[Mapping[str, Callable[[Clip, float, np.random.Generator], Clip]]] = {
    "jpeg": _jpeg,
    "h264": _h264,
    "blur": _blur,
    "noise": _noise,
    "downscale": _downscale,
    "drop": _drop,
}
"""What each treatment does to a clip (T, H, W, 3), with a strength and a source of chance."""
