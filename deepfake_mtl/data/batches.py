"""What a datamodule gives: its batches, and what it says about its data."""

from dataclasses import dataclass, field
from typing import NotRequired, TypedDict

from torch import Tensor


class ClipBatch(TypedDict):
    """A batch as the detector gets it; see `deepfake_mtl.data.clips.ClipSample`.

    Attributes:
        clip: uint8, B x 3 x T x size x size.
        second_clip: uint8, likewise; in training, where a second view is asked for.
        is_fake: int64, B.
        manipulation: int64, B; see `deepfake_mtl.data.records.VideoRecord.manipulation`.
        video: int64, B; position in the records of the stage.
        clip_index: int64, B.
    """

    clip: Tensor
    second_clip: NotRequired[Tensor]
    is_fake: Tensor
    manipulation: Tensor
    video: Tensor
    clip_index: Tensor


@dataclass(slots=True)
class CorpusReport:
    """What the results say about the data that they were made with.

    Attributes:
        corpus: Name of the corpus.
        root: Folder of the corpus, as given.
        compression: Compression of the corpus.
        synthetic: Whether it is a synthetic world.
        splits: Where the lists of identities came from.
        seed: Base of the random choices of the training.
        counts: Videos by split and method; of the test alone where that is on another corpus.
        missing: Number of videos that the splits name and the corpus lacks, by method.
        corrupt: Videos that could not be read, with the reason.
    """

    corpus: str
    root: str
    compression: str
    synthetic: bool
    splits: str
    seed: int
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    corrupt: list[str] = field(default_factory=list)
