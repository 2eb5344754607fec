"""Crop the faces out of a corpus of videos, once, into a store that training reads fast.

An interrupted run is finished by the same command; a finished one does nothing. Videos that are
missing, show no usable face or cannot be read are listed with the reason in report.csv. With
--verify a store that is there is checked, and nothing is cropped.
"""

# ruff: noqa: PLC0415 (what --help does without takes seconds to import: `run` imports it)

from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from deepfake_mtl.arguments import Without
from deepfake_mtl.data.corpora import FaceForensics, open_corpus
from deepfake_mtl.data.corpora.base import NATIVE
from deepfake_mtl.data.corpora.faceforensics import COMPRESSIONS
from deepfake_mtl.data.missing import OnMissing
from deepfake_mtl.data.store.crop_settings import CropSettings
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.util.machine import usable_cores

if TYPE_CHECKING:
    from deepfake_mtl.faces.cropping import CropSource

SHEET: Final = "contact_sheet.png"

_INCOMPLETE: Final = 1

_Settings = Annotated[
    CropSettings, Without(("detector_hash", "detect_every", "tracking", "revision"))
]


@dataclass(frozen=True, slots=True)
class Arguments:
    """What is cropped, and how it is run.

    Attributes:
        root: Folder of the corpus; with `verify`, of the store.
        out: Folder of the store that is made.
        verify: Whether to compare all checksums of a store that is there, and to decode every frame
            and mask, in the place of cropping: one line for each damaged video, and exit status 1.
        corpus: Name of the corpus, or the class path of a reader of your own; an error lists the
            names.
        compression: Which compression of it; by default c23, or native where the corpus is
            published in one compression.
        on_missing: What to do about videos that a list of the corpus names, or other methods have,
            and that are not there: an error or exit status 1, or to go on.
        detector_model: YuNet's ONNX file; by default from the cache, or downloaded.
        boxes: Folder of the files with boxes, for `detector="boxes"`; by default the corpus.
        workers: Number of processes, one for each core by default; makes no difference to the
            files.
    """

    root: Path
    _: KW_ONLY
    out: Path | None = None
    verify: bool = False
    corpus: str = FaceForensics.name
    compression: Annotated[str | None, (*COMPRESSIONS, NATIVE)] = None
    on_missing: OnMissing = "error"
    detector_model: Path | None = None
    boxes: Path | None = None
    workers: int | None = None


def run(arguments: Arguments, settings: _Settings) -> int:
    """Run the command; returns 0, or 1 if videos are damaged, had to be left out or are missing."""
    from deepfake_mtl.data.store.index import FaceStore
    from deepfake_mtl.faces.contact_sheet import contact_sheet
    from deepfake_mtl.faces.outcomes import summarise
    from deepfake_mtl.faces.preparation import prepare

    workers = usable_cores() if arguments.workers is None else arguments.workers
    if workers < 1:
        raise ConfigurationError(f"workers is {workers}: at least 1")
    if arguments.verify:
        damage = FaceStore(arguments.root).find_damage(workers)
        print("\n".join([*damage, f"{len(damage) or 'nothing'} damaged in {arguments.root}"]))
        return _INCOMPLETE if damage else 0
    out = arguments.out
    if out is None:
        raise ConfigurationError("`out` is required, but not given: name the folder of the store")
    corpus = open_corpus(
        arguments.corpus, arguments.root, arguments.compression, on_missing=arguments.on_missing
    )
    outcomes = prepare(corpus, out, _source(arguments, settings), workers)
    contact_sheet(FaceStore(out).index(), out / SHEET)
    print(f"Look at {out / SHEET}.")
    print(summarise(out, outcomes))
    incomplete = {"left out"} | ({"missing"} if arguments.on_missing == "error" else set())
    return _INCOMPLETE if any(each.status in incomplete for each in outcomes) else 0


def _source(arguments: Arguments, settings: CropSettings) -> "CropSource":
    from deepfake_mtl.faces.cropping import CropSource
    from deepfake_mtl.faces.detection import find_detector_model
    from deepfake_mtl.faces.tracks import TrackSettings, tracking_of

    tracking = TrackSettings()
    model = None
    if settings.detector == "yunet":
        model = find_detector_model(arguments.detector_model)
    source = CropSource(
        root=arguments.root,
        settings=replace(settings, detect_every=tracking.step, tracking=tracking_of(tracking)),
        model=model,
        boxes=arguments.boxes,
    )
    return source.with_hash()
