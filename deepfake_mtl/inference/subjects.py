"""What of each frame a detector is shown: the whole frame, or a crop of each face."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.data.store.crop_files import as_stored
from deepfake_mtl.data.store.crop_settings import CropSettings
from deepfake_mtl.data.transforms import EvaluationTransform
from deepfake_mtl.data.video import Frame
from deepfake_mtl.faces.crops import covered, crop_frame
from deepfake_mtl.faces.detection import FaceDetector
from deepfake_mtl.faces.tracks import track_settings
from deepfake_mtl.inference.tracking import FaceFollower

WHOLE: Final = 0
"""Number of the only subject where whole frames are judged."""

_Square = tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What a detector is shown of a subject in a frame.

    Attributes:
        subject: Number of the face, or `WHOLE`.
        number: Of the frame, from 0.
        picture: RGB, shape (size, size, 3), as the network takes it.
        square: What it shows: left, top and side in pixels of the frame.
        side: Of the face in pixels, without margin; of the square where whole frames are judged.
        found: Whether the face was found in this very frame; None where it was not looked for.
    """

    subject: int
    number: int
    picture: NDArray[np.uint8]
    square: _Square
    side: float
    found: bool | None


class Subjects(Protocol):
    """Turns frames into views, in the order of the frames."""

    @property
    def looks(self) -> int:
        """Number of frames in which faces were looked for; 0 where none are."""
        ...

    def views(self, frames: Iterable[Frame]) -> Iterator[tuple[int, float, list[View]]]:
        """Yield number and time in seconds of each frame, and one view for each subject in it."""
        ...


class WholeFrames:
    """The square in the middle of each frame, as of a corpus of whole frames.

    Args:
        size: Side of a view in pixels.
    """

    looks: Final = 0

    def __init__(self, size: int) -> None:
        self._transform = EvaluationTransform(size)

    def views(self, frames: Iterable[Frame]) -> Iterator[tuple[int, float, list[View]]]:
        """See `Subjects.views`."""
        for number, frame in enumerate(frames):
            side = min(frame.height, frame.width)
            left, top = (frame.width - side) // 2, (frame.height - side) // 2
            window = range(top, top + side), range(left, left + side)
            picture = self._transform(frame.rgb(window)[np.newaxis], ())[0]
            square = (float(left), float(top), float(side))
            yield number, frame.time, [View(WHOLE, number, picture, square, float(side), None)]


class FaceCrops:
    """A crop of every face, as `deepfake-mtl prepare` made them for the training.

    Args:
        settings: Of those crops.
        detector: Finds faces in a frame.
        size: Side of a view in pixels.
    """

    def __init__(self, settings: CropSettings, detector: FaceDetector, size: int) -> None:
        self._settings = settings
        self._follower = FaceFollower(detector, track_settings(settings))
        self._transform = EvaluationTransform(size)

    @property
    def looks(self) -> int:
        """See `Subjects.looks`."""
        return self._follower.looks

    def views(self, frames: Iterable[Frame]) -> Iterator[tuple[int, float, list[View]]]:
        """See `Subjects.views`."""
        settings = self._settings
        for each in self._follower.follow(frames):
            views = []
            for face in each.faces:
                # Rounded as in the header of a file of crops.
                left, top, side = covered(face.square, settings.margin).round(3).tolist()
                picture = crop_frame(each.frame, (left, top, side), settings.size)
                picture = as_stored(picture, settings.codec)
                picture = self._transform(picture[np.newaxis], ())[0]
                views.append(
                    View(
                        face.face,
                        each.number,
                        picture,
                        (left, top, side),
                        float(face.square[2]),
                        face.found,
                    )
                )
            yield each.number, each.frame.time, views
