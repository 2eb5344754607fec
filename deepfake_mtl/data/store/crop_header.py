"""What a file of crops says about itself: of which video, from where in it, when."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from deepfake_mtl.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class CropHeader:
    """What a file of crops says about itself.

    Attributes:
        corpus: Name of the corpus.
        method: `ORIGINAL` or the name of the manipulation.
        compression: Compression of the source.
        name: Name of the video within its folder.
        identities: Who is to be seen, the target first.
        fps: Frames a second on average; nan where it is unknown.
        times: When each frame is shown, in seconds.
        squares: Where each crop was cut out: x and y of the left upper corner and length of a side,
            in pixels of the source, rounded to a thousandth. The left upper corner of the picture
            is (0, 0); a square may reach beyond it.
        scores: Confidence of the detector in each frame; None where the box was interpolated.
        boxes_from: Key of the video whose boxes were used.
        source: Path of the video, relative to the root of the corpus, with ``/``.
        source_hash: SHA-256 of the video file.
        source_width: Width of the source in pixels.
        source_height: Height of the source in pixels.
        source_bytes: Size in bytes of the video file; None of a folder of frames.
        settings_digest: `CropSettings.digest` of the settings.

    Raises:
        ConfigurationError: The lists differ in length, are empty, or hold no finite numbers.
        TypeError: A text is not one, or a whole number.
    """

    corpus: str
    method: str
    compression: str
    name: str
    identities: tuple[str, ...]
    fps: float
    times: tuple[float, ...]
    squares: tuple[tuple[float, float, float], ...]
    scores: tuple[float | None, ...]
    boxes_from: str
    source: str
    source_hash: str
    source_width: int
    source_height: int
    source_bytes: int | None
    settings_digest: str

    def __post_init__(self) -> None:
        for field in fields(self):
            value, kind = getattr(self, field.name), field.type
            if kind in (str, int, int | None) and not isinstance(value, kind):  # type: ignore[arg-type]
                raise TypeError(f"{field.name} is {value!r}")
        times = np.asarray(self.times, np.float64)
        squares = np.asarray(self.squares, np.float64)
        known = np.asarray([score for score in self.scores if score is not None], np.float64)
        count = len(times)
        whole = len(self.scores) == count > 0 and squares.shape == (count, 3)
        if not (whole and all(np.isfinite(values).all() for values in (times, squares, known))):
            raise ConfigurationError(
                f"{self.key}: a header of crops needs at least one frame, and for each a finite "
                "time, three finite numbers of its square, and a score or None; got "
                f"{count} times, {len(self.squares)} squares and {len(self.scores)} scores"
            )
        # Plain and short numbers, which pass through JSON unchanged; there is no -0.
        x, y, side = (column.tolist() for column in (squares.round(3) + 0.0).T)
        scores = [None if score is None else float(score) for score in self.scores]
        object.__setattr__(self, "identities", tuple(self.identities))
        object.__setattr__(self, "times", tuple(times.tolist()))
        object.__setattr__(self, "squares", tuple(zip(x, y, side, strict=True)))
        object.__setattr__(self, "scores", tuple(scores))
        object.__setattr__(self, "fps", self.fps if math.isfinite(self.fps) else math.nan)

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.times)

    @property
    def key(self) -> str:
        """As `VideoRecord.key`."""
        return f"{self.corpus}/{self.method}/{self.compression}/{self.name}"

    def to_dict(self) -> dict[str, Any]:
        """Return all but the rate, as it stands in a file; the rate stands in its first bytes."""
        return {
            field.name: getattr(self, field.name) for field in fields(self) if field.name != "fps"
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], fps: float) -> Self:
        """Return the header that `to_dict` was called on.

        Raises:
            KeyError: A value is missing.
            TypeError: One is of a wrong type.
            ValueError: One is not a number.
            ConfigurationError: The lists do not belong together.
        """
        names = [field.name for field in fields(cls) if field.name != "fps"]
        return cls(fps=fps, **{name: values[name] for name in names})
