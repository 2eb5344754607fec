"""Crop the faces out of a corpus of videos, once, into a store that training reads fast.

An interrupted run is finished by the same command; a finished one does nothing. Videos that are
missing, show no usable face or cannot be read are listed with the reason in report.csv.
"""

# ruff: noqa: PLC0415 (what --help does without takes seconds to import: `run` imports it)

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deepfake_mtl.data.corpora import CORPORA, FaceForensics, open_corpus
from deepfake_mtl.data.corpora.base import NATIVE
from deepfake_mtl.data.corpora.faceforensics_tree import COMPRESSIONS
from deepfake_mtl.data.store.crop_settings import BOX_SOURCES, CODECS, CropSettings
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.util.machine import usable_cores

if TYPE_CHECKING:
    from deepfake_mtl.faces.cropping import CropSource

SHEET: Final = "contact_sheet.png"

_INCOMPLETE: Final = 1
_DEFAULTS: Final = CropSettings()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to a parser."""
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder of the corpus")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="STORE", help="folder of the store"
    )
    parser.add_argument(
        "--corpus",
        default=FaceForensics.name,
        metavar="NAME",
        help=f"which corpus it is: {', '.join(CORPORA)}, or the class path of a reader of your own"
        " (default: %(default)s)",
    )
    parser.add_argument(
        "--compression",
        choices=(*COMPRESSIONS, NATIVE),
        help=f"default: c23, or {NATIVE} where the corpus is published in one compression",
    )
    parser.add_argument(
        "--on_missing",
        choices=("error", "skip"),
        default="error",
        help="what to do about videos that a list of the corpus names, or other methods have, and"
        " that are not there: an error or exit status 1, or to go on (default: %(default)s)",
    )
    parser.add_argument(
        "--size",
        type=int,
        default=_DEFAULTS.size,
        metavar="PX",
        help="side of a crop (default: %(default)s)",
    )
    parser.add_argument(
        "--margin",
        type=float,
        default=_DEFAULTS.margin,
        metavar="M",
        help="side of the crop over the longer side of the face (default: %(default)s)",
    )
    parser.add_argument(
        "--detector",
        choices=BOX_SOURCES,
        default=_DEFAULTS.detector,
        help="where boxes come from: the network YuNet, files, or the middle of the picture"
        " (default: %(default)s)",
    )
    parser.add_argument(
        "--detector_model",
        type=Path,
        metavar="FILE",
        help="YuNet's ONNX file; by default from the cache, or downloaded",
    )
    parser.add_argument(
        "--boxes",
        type=Path,
        metavar="DIR",
        help="folder of the files with boxes, for --detector boxes (default: ROOT)",
    )
    parser.add_argument(
        "--codec",
        choices=CODECS,
        default=_DEFAULTS.codec,
        help="small, or exact and fastest (default: %(default)s)",
    )
    parser.add_argument("--masks", action="store_true", help="store masks too, where there are any")
    parser.add_argument(
        "--workers",
        type=int,
        default=usable_cores(),
        metavar="W",
        help="number of processes; makes no difference to the files (default: one a core)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns 0, or 1 if videos had to be left out or are missing."""
    from deepfake_mtl.data.store.index import FaceStore
    from deepfake_mtl.faces.contact_sheet import contact_sheet
    from deepfake_mtl.faces.outcomes import summarise
    from deepfake_mtl.faces.preparation import prepare

    if arguments.workers < 1:
        raise ConfigurationError(f"--workers is {arguments.workers}: at least 1")
    corpus = open_corpus(
        arguments.corpus, arguments.root, arguments.compression, on_missing=arguments.on_missing
    )
    outcomes = prepare(corpus, arguments.out, _source(arguments), arguments.workers)
    contact_sheet(FaceStore(arguments.out).index(), arguments.out / SHEET)
    print(f"Look at {arguments.out / SHEET}.")
    print(summarise(arguments.out, outcomes))
    incomplete = {"left out"} | ({"missing"} if arguments.on_missing == "error" else set())
    return _INCOMPLETE if any(each.status in incomplete for each in outcomes) else 0


def _source(arguments: argparse.Namespace) -> "CropSource":
    from deepfake_mtl.faces.cropping import CropSource
    from deepfake_mtl.faces.detection import find_detector_model
    from deepfake_mtl.faces.tracks import TrackSettings, tracking_of

    tracking = TrackSettings()
    model = None
    if arguments.detector == "yunet":
        model = find_detector_model(arguments.detector_model)
    source = CropSource(
        root=arguments.root,
        settings=CropSettings(
            size=arguments.size,
            margin=arguments.margin,
            codec=arguments.codec,
            detector=arguments.detector,
            detect_every=tracking.step,
            masks=arguments.masks,
            tracking=tracking_of(tracking),
        ),
        model=model,
        boxes=arguments.boxes,
    )
    return source.with_hash()
