"""What of a frame the network is shown: the middle of the frame, or a crop of each face."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.data.store.crop_files import as_stored
from deepfake_mtl.data.store.crop_settings import CropSettings
from deepfake_mtl.data.transforms import EvaluationTransform
from deepfake_mtl.data.video import Frame
from deepfake_mtl.faces.crops import Square, covered, crop_frame

WHOLE: Final = 0
"""Number of the only track where whole frames are judged."""

Crop: TypeAlias = Callable[[Frame, NDArray[np.float64]], tuple[NDArray[np.uint8], Square]]
"""Turns a frame and a face (centre x, centre y, side) into a picture and what it covers."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What the network is shown of a face in a frame.

    Attributes:
        face: Number of the face, by when it appeared; `WHOLE` where whole frames are judged.
        number: Number of the frame, from 0.
        picture: RGB, shape (size, size, 3), as the network takes it.
        square: What the picture covers.
        side: Side of the face in pixels, without margin; of the square where whole frames are
            judged.
        found: Whether the face was found in this very frame; None where it was not looked for.
    """

    face: int
    number: int
    picture: NDArray[np.uint8]
    square: Square
    side: float
    found: bool | None


class Views(Protocol):
    """Turns the frames of a video into views; used for one video only."""

    @property
    def looks(self) -> int:
        """Number of frames in which faces were looked for, so far; 0 where none are."""
        ...

    def views(self, frames: Iterable[Frame]) -> Iterator[tuple[float, list[View]]]:
        """Yield the time in seconds of each frame, in order, with one view of each face in it."""
        ...


class WholeFrames:
    """The square in the middle of each frame, as a corpus of whole frames is evaluated.

    Args:
        size: Side of a view in pixels.
    """

    looks: Final = 0

    def __init__(self, size: int) -> None:
        self._transform = EvaluationTransform(size)

    def views(self, frames: Iterable[Frame]) -> Iterator[tuple[float, list[View]]]:
        """See `Views.views`."""
        for number, frame in enumerate(frames):
            side = min(frame.height, frame.width)
            left, top = (frame.width - side) // 2, (frame.height - side) // 2
            window = range(top, top + side), range(left, left + side)
            picture = self._transform(frame.rgb(window)[np.newaxis], ())[0]
            square = (float(left), float(top), float(side))
            yield frame.time, [View(WHOLE, number, picture, square, float(side), None)]


def face_crop(settings: CropSettings, size: int) -> Crop:
    """Return what crops faces as `deepfake-mtl prepare` cropped them for the training.

    Args:
        settings: Settings of those crops.
        size: Side of a view in pixels.
    """
    transform = EvaluationTransform(size)

    def crop(frame: Frame, face: NDArray[np.float64]) -> tuple[NDArray[np.uint8], Square]:
        # Rounded as in the header of a file of crops.
        left, top, side = covered(face, settings.margin).round(3).tolist()
        picture = crop_frame(frame, (left, top, side), settings.size)
        picture = as_stored(picture, settings.codec)
        return transform(picture[np.newaxis], ())[0], (left, top, side)

    return crop
