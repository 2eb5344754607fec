"""What is known about a video before it is opened."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

ORIGINAL: Final = "original"
"""The name that stands for the lack of a manipulation wherever a method is named."""

MANIPULATIONS: Final = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
"""The four manipulations of FaceForensics++ among which one is held out."""

MANIPULATION_CLASSES: Final = (ORIGINAL, *MANIPULATIONS)
"""Names of the manipulation labels; the position of a name is its label, whatever is held out."""

OTHER_MANIPULATION: Final = len(MANIPULATION_CLASSES)
"""The label of manipulations that no detector is trained on, as other corpora have them."""

BINARY_CLASSES: Final = ("real", "fake")
"""Names of the labels of real or fake, likewise."""


@dataclass(frozen=True, slots=True, order=True)
class VideoRecord:
    """One video of a corpus.

    Attributes:
        corpus: Name of the corpus, for example ``faceforensics``.
        method: `ORIGINAL` or the name of the manipulation.
        compression: ``raw``, ``c23`` or ``c40``; ``native`` where a corpus is published in one.
        name: Name within its folder, for example ``004`` or ``004_982``.
        identities: Who is to be seen: the target first, then the source of a fake.
        path: A video file, or a folder of frames as images.
    """

    corpus: str
    method: str
    compression: str
    name: str
    identities: tuple[str, ...]
    path: Path

    @property
    def is_fake(self) -> bool:
        """Whether the video is manipulated."""
        return self.method != ORIGINAL

    @property
    def key(self) -> str:
        """Identifies the video: the same name stands under every method and compression."""
        return f"{self.corpus}/{self.method}/{self.compression}/{self.name}"

    @property
    def manipulation(self) -> int:
        """Position of the method in `MANIPULATION_CLASSES`, or `OTHER_MANIPULATION`."""
        if self.method in MANIPULATION_CLASSES:
            return MANIPULATION_CLASSES.index(self.method)
        return OTHER_MANIPULATION
