"""How face crops were made: all that decides their pixels, apart from the videos."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal, Self

from deepfake_mtl.data.json_values import to_json
from deepfake_mtl.errors import ConfigurationError

Codec = Literal["jpeg95", "raw"]
CODECS: Final[tuple[Codec, ...]] = ("jpeg95", "raw")

BoxSource = Literal["yunet", "boxes", "center"]
BOX_SOURCES: Final[tuple[BoxSource, ...]] = ("yunet", "boxes", "center")

REVISION: Final = 2
"""Version of the code that finds faces and samples crops: rises where equal settings would give
other pixels than before."""

_SIZES: Final = range(16, 4097)


@dataclass(frozen=True, slots=True)
class CropSettings:
    """Everything that decides the pixels of a store, apart from the videos.

    Attributes:
        size: Width and height of a crop in pixels, 16 to 4096.
        margin: Side of the crop over the longer side of the face box.
        codec: How frames are stored: ``jpeg95`` is small, ``raw`` is exact and the fastest.
        detector: Where face boxes come from: the network ``yunet``, files (``boxes``), or the
            middle of the picture (``center``).
        detector_hash: SHA-256 of the model, or of the boxes; None for ``center``.
        detect_every: Distance of the frames that the detector sees.
        masks: Whether masks are stored where the corpus has them.
        tracking: Names and values of what links and smooths boxes, sorted by name.
        revision: Revision of the code that made the crops; see `REVISION`.

    Raises:
        ConfigurationError: A value is out of range.
    """

    size: int = 160
    margin: float = 1.3
    codec: Codec = "jpeg95"
    detector: BoxSource = "yunet"
    detector_hash: str | None = None
    detect_every: int = 1
    masks: bool = False
    tracking: tuple[tuple[str, float], ...] = ()
    revision: int = REVISION

    def __post_init__(self) -> None:
        problems = {
            "size is a whole number from 16 to 4096": self.size in _SIZES,
            "margin is a number above 0": math.isfinite(self.margin) and self.margin > 0,
            f"codec is one of {', '.join(CODECS)}": self.codec in CODECS,
            f"detector is one of {', '.join(BOX_SOURCES)}": self.detector in BOX_SOURCES,
            "detect_every is at least 1": self.detect_every >= 1,
        }
        for rule, holds in problems.items():
            if not holds:
                name = rule.split(" ", maxsplit=1)[0]
                raise ConfigurationError(f"{name} is {getattr(self, name)!r}: {rule}")
        # So that 1 and 1.0 have one digest.
        object.__setattr__(self, "margin", float(self.margin))
        tracking = tuple(sorted((name, float(value)) for name, value in self.tracking))
        object.__setattr__(self, "tracking", tracking)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as they stand in ``store.json`` and in checkpoints."""
        return {**asdict(self), "tracking": dict(self.tracking)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the settings that `to_dict` was called on.

        Raises:
            ConfigurationError: A value is missing, unknown, or of no use.
        """
        names = {field.name for field in fields(cls)}
        if odd := names.symmetric_difference(values):
            raise ConfigurationError(
                f"crop settings with missing or unknown {', '.join(sorted(odd))}: they were "
                "written by another version of deepfake_mtl: use that one, or make the store and "
                "what was trained on it again"
            )
        try:
            return cls(**{**values, "tracking": tuple(values["tracking"].items())})
        except (AttributeError, TypeError, ValueError) as error:
            raise ConfigurationError(f"crop settings of no use ({error})") from error

    def digest(self) -> str:
        """Return a short text that is the same for the same settings only."""
        return hashlib.sha256(to_json(self.to_dict()).encode()).hexdigest()[:16]

    def flat(self) -> dict[str, Any]:
        """Return plain values as `to_dict` does, but with ``tracking.<name>`` beside the others."""
        flat = {name: value for name, value in self.to_dict().items() if name != "tracking"}
        return flat | {f"tracking.{name}": value for name, value in self.tracking}


def describe_difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Say in words which values differ: ``size is 160 there and 128 here``; empty if none does."""
    return ", ".join(
        f"{name} is {there.get(name, 'unset')} there and {here.get(name, 'unset')} here"
        for name in dict.fromkeys((*there, *here))
        if there.get(name) != here.get(name)
    )
