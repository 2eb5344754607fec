"""One module a corpus: from a folder on disk to a list of records."""

import os
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Final

from deepfake_mtl.data.corpora.base import Corpus, CorpusReader
from deepfake_mtl.data.corpora.celebdf import CelebDF
from deepfake_mtl.data.corpora.deeperforensics import DeeperForensics
from deepfake_mtl.data.corpora.deepfakedetection import DeepFakeDetection
from deepfake_mtl.data.corpora.dfdc import DFDC
from deepfake_mtl.data.corpora.dfdc_preview import DFDCPreview
from deepfake_mtl.data.corpora.faceforensics import FaceForensics
from deepfake_mtl.data.corpora.faceshifter import FaceShifter
from deepfake_mtl.data.corpora.folder import RealFakeFolder
from deepfake_mtl.data.corpora.uadfv import UADFV
from deepfake_mtl.data.missing import OnMissing
from deepfake_mtl.errors import CorpusError

__all__ = [
    "CORPORA",
    "Corpus",
    "CorpusReader",
    "FaceForensics",
    "find_reader",
    "open_corpus",
]


CORPORA: Final[Mapping[str, type[CorpusReader]]] = MappingProxyType(
    {
        reader.name: reader
        for reader in (
            FaceForensics,
            FaceShifter,
            DeepFakeDetection,
            CelebDF,
            DFDC,
            DFDCPreview,
            DeeperForensics,
            UADFV,
            RealFakeFolder,
        )
    }
)
"""The readers of all known corpora, by name."""


def open_corpus(
    name: str,
    root: str | os.PathLike[str],
    compression: str | None = None,
    *,
    on_missing: OnMissing = "error",
) -> CorpusReader:
    """Open the folder of a corpus.

    Args:
        name: One of `CORPORA`, or the class path of a reader of your own, such as
            ``my_package.MyCorpus``: a subclass of `CorpusReader`.
        root: The folder.
        compression: ``raw``, ``c23`` or ``c40`` of what belongs to FaceForensics++, where None is
            c23; of others None or ``native``.
        on_missing: Whether videos that a list of the corpus names and that are not there are an
            error, or are left out with a warning.

    Raises:
        CorpusError: The name is not known or its class cannot be imported, the folder is not that
            of the corpus, or there is no such compression.
    """
    return find_reader(name)(root, compression, on_missing=on_missing)


def find_reader(name: str) -> type[CorpusReader]:
    """Return the class that reads a corpus.

    Args:
        name: One of `CORPORA`, or a class path; see `open_corpus`.

    Raises:
        CorpusError: The name is not known, or its class cannot be imported.
    """
    if name in CORPORA:
        return CORPORA[name]
    module, _, own = name.rpartition(".")
    if not module:
        raise CorpusError(
            f"no corpus is named {name}; the known ones are {', '.join(CORPORA)}, and a reader of "
            "your own is named by its class path, such as my_package.MyCorpus"
        )
    try:
        reader: object = getattr(import_module(module), own)
    except (ImportError, AttributeError) as error:
        raise CorpusError(
            f"{name}: cannot be imported ({error}). Name the class of a reader, in a module "
            "that is installed or in a folder of PYTHONPATH"
        ) from error
    if not (isinstance(reader, type) and issubclass(reader, CorpusReader)):
        raise CorpusError(
            f"{name}: is not a reader of a corpus. Derive it from "
            "deepfake_mtl.data.corpora.CorpusReader"
        )
    return reader
