"""What videos are refused."""

from dataclasses import dataclass

from deepfake_mtl.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Limits:
    """Beyond what a video is refused before it takes memory or hours.

    Attributes:
        megapixels: Of a frame; 8K has 33.
        hours: Of a video, by its frames and their rate.

    Raises:
        ConfigurationError: A limit is not positive.
    """

    megapixels: float = 40.0
    hours: float = 12.0

    def __post_init__(self) -> None:
        if not min(self.megapixels, self.hours) > 0:
            raise ConfigurationError(f"{self}: both limits must be greater than 0")

    @property
    def pixels(self) -> int:
        """Most pixels of a frame."""
        return round(self.megapixels * 1e6)
