"""The data of a root: a corpus or a store, and whether its crops are those of a checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepfake_mtl.data.corpora import CORPORA, Corpus, FaceForensics, find_reader
from deepfake_mtl.data.corpora.faceforensics import Compression
from deepfake_mtl.data.missing import OnMissing
from deepfake_mtl.data.store.crop_settings import CropSettings, describe_difference
from deepfake_mtl.data.store.folder import is_store, read_store
from deepfake_mtl.data.store.index import FaceStore
from deepfake_mtl.errors import CheckpointError, ConfigurationError, CorpusError


def open_data(
    root: str, compression: Compression, test_on: str | None, on_missing: OnMissing
) -> Corpus:
    """Open the corpus, or the store of face crops, that a datamodule is told of.

    Args:
        root: Folder of FaceForensics++, or of a store of it.
        compression: Compression of the videos, where the corpus has several.
        test_on: Another corpus to test on, as of the datamodule; None for `root`.
        on_missing: Whether to go on without videos that are missing.

    Raises:
        CorpusError: Nothing of the kind is there.
    """
    if test_on is None:
        kind = FaceStore if is_store(root) else FaceForensics
        return kind(root, compression, on_missing=on_missing)
    name, separator, folder = test_on.partition("=")
    if is_store(folder or name):
        return FaceStore(folder or name, on_missing=on_missing)
    if not separator:
        raise CorpusError(
            f"{test_on}: is not a store of face crops; name the corpus, as in "
            f"celebdf={test_on} (there are {', '.join(CORPORA)})"
        )
    reader = find_reader(name)
    chosen = compression if compression in reader.compressions else None
    return reader(folder, chosen, on_missing=on_missing)


def check_compression(test_on: str, compression: str) -> None:
    """Refuse to be asked for a compression that a corpus to test on is not in.

    Where nobody asks, a corpus of several is taken in that of the training, others as they are.

    Args:
        test_on: The corpus, as of the datamodule.
        compression: What is asked for.

    Raises:
        ConfigurationError: It would be tested in another compression.
    """
    name, separator, folder = test_on.partition("=")
    if is_store(folder or name):
        there: tuple[str, ...] = (read_store(Path(folder or name)).compression,)
    elif separator:
        there = find_reader(name).compressions
    else:
        return  # nothing that could be opened
    if compression not in there:
        raise ConfigurationError(
            f"test_on is {test_on}, which is in compression {', '.join(there)} only, but "
            f"{compression} is asked for: leave `compression` out, or name another corpus or store"
        )


def check_crops(trained: Mapping[str, Any] | None, own: Mapping[str, Any] | None) -> None:
    """Refuse to score crops that look otherwise than those that were learnt from."""
    if trained == own:
        return
    if trained is None or own is None:
        on, of = ("whole frames", "face crops") if trained is None else ("face crops", "frames")
        difference = f"on {on}, but `root` holds {of}"
    else:
        there = CropSettings.from_dict(trained)
        here = CropSettings.from_dict(own)
        difference = f"on crops made otherwise: {describe_difference(there.flat(), here.flat())}"
    raise CheckpointError(
        f"the checkpoint was trained {difference}. Its metrics would mislead: prepare a store as "
        "that was, or insist with `allow_other_crops=true`"
    )
