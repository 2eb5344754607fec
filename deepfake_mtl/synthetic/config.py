"""What a synthetic world is made of, and the names and sizes that follow from it."""

from dataclasses import dataclass
from typing import Final, Literal

from deepfake_mtl.errors import ConfigurationError

FRAMES_PER_SECOND: Final = 25
"""Frame rate of every video."""

Compression = Literal["raw", "c23", "c40"]

RATE_FACTORS: Final[dict[Compression, int]] = {"raw": 0, "c23": 23, "c40": 40}
"""The constant rate factor of libx264 that each compression name stands for."""

WORLD_VERSION: Final = 1
"""Raised whenever the same configuration would give other pictures."""


@dataclass(frozen=True)
class SyntheticConfig:
    """Everything that the files of a world depend on.

    Attributes:
        identities: Number of people, even (they are paired) and 6 to 1000; each gives one original
            and four fakes.
        seed: Seed of all that is drawn; worlds of the same configuration are equal, byte for byte.
        compression: Name of the compression, for a rate factor of H.264 of 0, 23 or 40.
        size: Side of the square frames in pixels, even and at least 32.
        seconds: Length of every video in seconds, at 25 frames a second.
        test_share: Share of the people who are tested on, up to 0.7; another 14 % are validated on,
            the rest is trained on. The official lists have 14 %; tests of a synthetic world are
            the surer the more people they are of. No picture depends on it.

    Raises:
        ConfigurationError: If a value is out of range.
    """

    identities: int = 60
    seed: int = 0
    compression: Compression = "c23"
    size: int = 128
    seconds: float = 4.0
    test_share: float = 0.14

    def __post_init__(self) -> None:
        names = ", ".join(RATE_FACTORS)
        paired = self.identities % 2 == 0 and 6 <= self.identities <= 1000
        for name, holds, rule in (
            ("identities", paired, "must be even, since they are paired, and 6 to 1000"),
            ("seed", self.seed >= 0, "must not be negative"),
            ("compression", self.compression in RATE_FACTORS, f"must be one of {names}"),
            ("size", self.size % 2 == 0 and self.size >= 32, "must be even and at least 32 pixels"),
            (
                "test_share",
                0 < self.test_share <= 0.7,
                "must be above 0 and at most 0.7, for a training",
            ),
            ("seconds", self.frames >= 1, f"must be at least {1 / FRAMES_PER_SECOND}, one frame"),
        ):
            if not holds:
                raise ConfigurationError(f"{name}={getattr(self, name)!r}: {rule}")

    @property
    def frames(self) -> int:
        """Number of frames in every video."""
        return round(self.seconds * FRAMES_PER_SECOND)

    @property
    def rate_factor(self) -> int:
        """The constant rate factor given to libx264."""
        return RATE_FACTORS[self.compression]
