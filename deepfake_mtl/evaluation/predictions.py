"""What a detector says about each video, and the file ``predictions.csv`` that holds it."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deepfake_mtl.data.records import MANIPULATION_CLASSES, ORIGINAL, VideoRecord
from deepfake_mtl.errors import DeepfakeMTLError
from deepfake_mtl.evaluation.files import PREDICTIONS
from deepfake_mtl.util.files import write_whole

if TYPE_CHECKING:  # PyTorch, which reading does without
    from deepfake_mtl.metrics import VideoTable

OTHER: Final = "other"
"""Method of videos whose loader tells no more than that no detector is trained on it."""

COLUMNS: Final = ("key", "method", "identities", "label", "score", "clips")
"""The columns of ``predictions.csv`` that come before those of the predictors."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The verdict on one video.

    Attributes:
        key: Identifies the video; see `deepfake_mtl.data.records.VideoRecord.key`.
        method: ``original`` or the name of the manipulation.
        label: Whether the video is fake.
        score: Probability of fake by the first predictor, the mean over the clips.
        clips: Number of clips that were averaged.
        outputs: Probabilities of classes, means over the clips, named ``<predictor>/<class>``; the
            first class of each predictor is what is real.
        identities: Who is to be seen, the target first; see
            `deepfake_mtl.data.records.VideoRecord.identities`.
    """

    key: str
    method: str
    label: bool
    score: float
    clips: int
    outputs: Mapping[str, float] = field(default_factory=dict)
    identities: tuple[str, ...] = ()

    @property
    def is_right(self) -> bool:
        """Whether the video is called what it is at the threshold of 0.5."""
        return (self.score >= 0.5) == self.label


def sort_methods(methods: set[str]) -> list[str]:
    """Sort names of methods: originals, the manipulations of FaceForensics++, then others."""
    known = [method for method in MANIPULATION_CLASSES if method in methods]
    return known + sorted(methods - set(known))


def collect_predictions(
    table: "VideoTable", outputs: Sequence[str], records: Sequence[VideoRecord] | None
) -> list[Prediction]:
    """Name the videos of a table and its columns.

    Args:
        table: Scores of V videos, C columns: the score, then the outputs.
        outputs: Names of the C - 1 outputs, ``<predictor>/<class>``.
        records: The videos that the ids of the table are positions of. None where they are not
            known: keys are the ids, and methods those of `MANIPULATION_CLASSES`, or `OTHER`.

    Returns:
        One prediction a video, in the order of the table.
    """

    def name(video: int, label: int) -> tuple[str, str, tuple[str, ...]]:
        if records is None:
            known = label < len(MANIPULATION_CLASSES)
            return str(video), MANIPULATION_CLASSES[label] if known else OTHER, ()
        return records[video].key, records[video].method, records[video].identities

    rows = zip(
        *(table.video.tolist(), table.label.tolist(), table.clips.tolist()),
        table.outputs.tolist(),
        strict=True,
    )
    predictions = []
    for video, label, clips, (score, *others) in rows:
        key, method, identities = name(video, label)
        predictions.append(
            Prediction(
                key=key,
                method=method,
                label=method != ORIGINAL,
                score=score,
                clips=clips,
                outputs=dict(zip(outputs, others, strict=True)),
                identities=identities,
            )
        )
    return predictions


def write_predictions(folder: Path, predictions: Sequence[Prediction]) -> Path:
    """Write ``predictions.csv``: one line a video, sorted by key, label 1 for fake.

    Identities are joined by spaces.

    Args:
        folder: Where to; made if it is missing.
        predictions: All of them with the same outputs.

    Returns:
        The path of the file.

    Raises:
        DeepfakeMTLError: If a number is not finite.
        ValueError: If a key comes twice, or the outputs differ between videos.
        OSError: If the file cannot be written.
    """
    names = list(predictions[0].outputs) if predictions else []
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*COLUMNS, *names])
    keys: set[str] = set()
    for prediction in sorted(predictions, key=lambda each: each.key):
        if prediction.key in keys:
            raise ValueError(f"two predictions for the video {prediction.key}")
        if prediction.outputs.keys() != set(names):
            raise ValueError(f"{prediction.key} has other outputs than the other videos")
        keys.add(prediction.key)
        numbers = [prediction.score, *(prediction.outputs[name] for name in names)]
        if not all(map(math.isfinite, numbers)):
            raise DeepfakeMTLError(
                f"{prediction.key}: the network gives outputs that are not finite. "
                "The training has probably diverged: lower the learning rate, or train in float32."
            )
        score, *outputs = map(repr, map(float, numbers))
        table.writerow(
            [
                prediction.key,
                prediction.method,
                " ".join(prediction.identities),
                int(prediction.label),
                score,
                prediction.clips,
                *outputs,
            ]
        )
    return write_whole(folder / PREDICTIONS, text.getvalue())


def read_predictions(path: Path) -> list[Prediction]:
    """Read what `write_predictions` wrote, to the last bit.

    Args:
        path: The file, or the folder that it is in.

    Returns:
        One prediction a line, in the order of the file.

    Raises:
        DeepfakeMTLError: If there is no such file, or it is no ``predictions.csv``.
    """
    if path.is_dir():
        path = path / PREDICTIONS
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(_parse(path, csv.reader(file)))
    except FileNotFoundError:
        raise DeepfakeMTLError(
            f"{path}: no such file; `deepfake-mtl test` writes it into its run folder"
        ) from None
    except UnicodeDecodeError:
        raise DeepfakeMTLError(f"{path}: no text file in UTF-8") from None


def _parse(path: Path, lines: Iterator[list[str]]) -> Iterator[Prediction]:
    header = next(lines, [])
    if tuple(header[: len(COLUMNS)]) != COLUMNS:
        raise DeepfakeMTLError(f"{path}: the first line must begin with {','.join(COLUMNS)}")
    names = header[len(COLUMNS) :]
    for number, line in enumerate(lines, start=2):
        try:
            key, method, identities, label, score, clips, *outputs = line
            yield Prediction(
                key,
                method,
                {"0": False, "1": True}[label],
                _finite(score),
                int(clips),
                dict(zip(names, map(_finite, outputs), strict=True)),
                tuple(identities.split()),
            )
        except (ValueError, KeyError):
            raise DeepfakeMTLError(
                f"{path}: line {number} does not fit the columns {','.join(header)}; "
                "write the file again with `deepfake-mtl test`"
            ) from None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not finite")
    return number
