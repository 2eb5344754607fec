"""Boxes of faces that somebody else has found, in CSV or JSON files.

One file for each video, beside it or at the same place under a folder of its own::

    corpus/original_sequences/youtube/c23/videos/004.mp4
    boxes/original_sequences/youtube/c23/videos/004.csv      (or 004.json)

Of a folder of frames, ``.../frames/004/``, it is ``.../frames/004.csv``.

CSV: a first line with the names of the columns, then one box a line, in pixels, with corners as in
`deepfake_mtl.faces.boxes.Detections`; the score may be left out. A frame with empty coordinates was
looked at and shows no face; frames that are not listed were not looked at::

    frame,x0,y0,x1,y1,score
    0,725.5,126.0,860.1,298.4,0.95
    5,,,,,

JSON: the box or the boxes of each frame, with or without a score as the fifth number::

    {"0": [725.5, 126.0, 860.1, 298.4, 0.95], "5": [], "10": [[700, 120, 840, 300], [2, 3, 6, 8]]}
"""

import csv
import io
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

from deepfake_mtl.data.corpora.scanning import BOX_SUFFIXES, video_name
from deepfake_mtl.data.text_files import read_text
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.faces.boxes import Detections

_COLUMNS: Final = ["frame", "x0", "y0", "x1", "y1"]
_Row: TypeAlias = tuple[str, str, list[float]]  # where it stands, frame, and 0, 4 or 5 numbers


def find_boxes(folder: Path, root: Path, video: Path) -> Path:
    """Return the file with the boxes of a video.

    Args:
        folder: Where the files lie, in the same tree as the videos; may be ``root`` itself.
        root: The corpus.
        video: A video file or a folder of frames within the corpus.

    Raises:
        ConfigurationError: There is none, or one of each format.
    """
    place = folder / video.relative_to(root).parent
    candidates = [place / f"{video_name(video)}{ending}" for ending in BOX_SUFFIXES]
    found = [path for path in candidates if path.is_file()]
    if len(found) != 1:
        names = " and ".join(path.name for path in candidates)
        raise ConfigurationError(
            f"{video}: {'both' if found else 'neither'} {names} {'are' if found else 'is'} in "
            f"{place}; put the boxes of the video there, in one of the two"
        )
    return found[0]


def read_boxes(path: Path) -> dict[int, Detections]:
    """Read the boxes of one video; the module's docstring tells the formats.

    Args:
        path: A ``.csv`` or ``.json`` file; see `deepfake_mtl.data.text_files.read_text`.

    Returns:
        Faces by number of the frame, counted from 0.

    Raises:
        ConfigurationError: The file cannot be read, or is not of the format; the message names the
            line, or in JSON the frame.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ConfigurationError(f"{path}: boxes are read from .csv and .json files only")
    rows: dict[int, list[list[float]]] = {}
    for place, name, numbers in reader(path, read_text(path, "write it again", ConfigurationError)):
        if not (name.isascii() and name.isdecimal()):
            raise ConfigurationError(
                f"{place}: {name!r} is not the number of a frame, counted from 0"
            )
        frame = int(name)
        if frame in rows and not (numbers and rows[frame]):
            raise ConfigurationError(
                f"{place}: frame {frame} stands there with and without a face, or twice without"
            )
        rows.setdefault(frame, []).extend([_box(place, numbers)] if numbers else [])
    return {
        frame: Detections.of([box[:4] for box in boxes], [box[4] for box in boxes])
        for frame, boxes in sorted(rows.items())
    }


def _box(place: str, numbers: list[float]) -> list[float]:
    """Return four corners and the score."""
    x0, y0, x1, y1, score = numbers if len(numbers) == 5 else [*numbers, 1.0]
    if not all(map(math.isfinite, numbers)) or not (x0 < x1 and y0 < y1 and 0 < score <= 1):
        raise ConfigurationError(
            f"{place}: {numbers} is not a box; it takes x0 < x1, y0 < y1, and a score above 0 and "
            "not above 1 if there is one"
        )
    return [x0, y0, x1, y1, score]


def _read_csv(path: Path, text: str) -> Iterator[_Row]:
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    try:
        for cells in lines:
            place = f"{path}, line {lines.line_num}"
            if header is None:
                header = [cell.strip() for cell in cells]
                if header not in (_COLUMNS, [*_COLUMNS, "score"]):
                    raise ConfigurationError(
                        f"{place}: must be frame,x0,y0,x1,y1 or frame,x0,y0,x1,y1,score"
                    )
            elif cells:
                yield _csv_row(place, [cell.strip() for cell in cells], len(header))
    except csv.Error as error:
        raise ConfigurationError(f"{path}, line {lines.line_num}: is no CSV ({error})") from error
    if header is None:
        raise ConfigurationError(f"{path}: is empty; it must begin with a line frame,x0,y0,x1,y1")


def _csv_row(place: str, cells: list[str], columns: int) -> _Row:
    if len(cells) != columns:
        raise ConfigurationError(f"{place}: has {len(cells)} columns, the first line {columns}")
    if not any(cells[1:]):
        return place, cells[0], []
    try:
        return place, cells[0], [float(cell) for cell in cells[1:]]
    except ValueError as error:
        raise ConfigurationError(f"{place}: has a cell that is not a number ({error})") from error


def _read_json(path: Path, text: str) -> Iterator[_Row]:
    try:
        # Pairs, so that a frame that stands there twice is noticed; nothing else becomes a tuple.
        content = json.loads(text, object_pairs_hook=tuple)
    except json.JSONDecodeError as error:
        raise ConfigurationError(
            f"{path}, line {error.lineno}: is no JSON ({error.msg})"
        ) from error
    if not isinstance(content, tuple):
        raise ConfigurationError(f'{path}: must be of the form {{"0": [x0, y0, x1, y1], ...}}')
    names = set()
    for name, value in content:
        place = f"{path}, frame {name!r}"
        if name in names:
            raise ConfigurationError(f"{place}: stands there twice")
        names.add(name)
        boxes = value if isinstance(value, list) else [None]
        if boxes and not isinstance(boxes[0], list):
            boxes = [boxes]
        if not boxes:
            yield place, name, []
        for box in boxes:
            yield place, name, _json_box(place, box)


def _json_box(place: str, box: object) -> list[float]:
    if not isinstance(box, list) or len(box) not in (4, 5):
        raise ConfigurationError(f"{place}: a box is [x0, y0, x1, y1] or [x0, y0, x1, y1, score]")
    if not all(type(number) in (int, float) for number in box):
        raise ConfigurationError(f"{place}: {box} holds something else than numbers")
    return [float(number) for number in box]


_READERS: Final[dict[str, Callable[[Path, str], Iterator[_Row]]]] = {
    ".csv": _read_csv,
    ".json": _read_json,
}
