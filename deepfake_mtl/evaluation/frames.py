"""Frames of a clip, as text that goes into HTML."""

import base64

import cv2
import numpy as np
from numpy.typing import NDArray


def frames_as_png(frames: NDArray[np.uint8], count: int = 6, side: int = 192) -> list[str]:
    """Encode evenly spread frames of a clip.

    Args:
        frames: Uint8 array (T, H, W, 3), RGB, T >= 1.
        count: Number of frames, at most.
        side: Frames whose longer side, in pixels, is above this are scaled down to it.

    Returns:
        ``data:`` addresses of PNG pictures.
    """
    places = np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)
    pictures = []
    scale = min(1, side / max(frames.shape[1:3]))
    for frame in frames[places]:
        small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        _, png = cv2.imencode(".png", cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        pictures.append(f"data:image/png;base64,{base64.b64encode(png.tobytes()).decode()}")
    return pictures
