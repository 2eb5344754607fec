"""Corpora whose labels stand in a list: what it names, against what is there."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from deepfake_mtl.data.corpora.base import listed_videos
from deepfake_mtl.data.corpora.forms import VIDEO_SUFFIXES
from deepfake_mtl.data.corpora.scanning import BOX_SUFFIXES, ordered, report_unexplained
from deepfake_mtl.data.missing import OnMissing
from deepfake_mtl.data.records import VideoRecord
from deepfake_mtl.errors import CorpusError


def read_entries(path: Path) -> Mapping[str, Mapping[str, object]]:
    """Read a JSON file of the form ``{"x.mp4": {...}, ...}``.

    Raises:
        CorpusError: It is missing, or not of this form.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorpusError(
            f"{path}: cannot be read as JSON ({error}); restore the official file"
        ) from error
    if not isinstance(entries, dict) or not all(isinstance(e, dict) for e in entries.values()):
        raise CorpusError(
            f'{path}: is not of the form {{"x.mp4": {{...}}, ...}}; restore the official file'
        )
    return entries


def listed_files(
    root: Path,
    listed: Sequence[VideoRecord],
    lists: Sequence[str],
    on_missing: OnMissing,
    source: str,
) -> list[VideoRecord]:
    """Choose the videos that are there of those that lists name.

    Args:
        root: Folder of the corpus, of which everything is looked at.
        listed: What the lists name.
        lists: Names of the files of lists.
        on_missing: Whether videos that are not there are an error, or a warning.
        source: What the lists are, for messages.

    Raises:
        CorpusError: Videos are missing and may not be, or are there without a label.
    """
    by_path = {str(record.path): record for record in listed}
    found, unlabelled, others = [], [], []
    for folder, folders, files in os.walk(root, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for file in files:
            path = os.path.join(folder, file)  # noqa: PTH118 (there are a hundred thousand)
            stem, suffix = os.path.splitext(path)  # noqa: PTH122
            if file.startswith("."):
                continue
            if path in by_path:
                found.append(by_path[path])
            elif suffix.lower() in VIDEO_SUFFIXES:
                unlabelled.append(path)
            elif file not in lists and not (
                suffix.lower() in BOX_SUFFIXES and f"{stem}.mp4" in by_path
            ):
                others.append(Path(path))
    if unlabelled:
        raise CorpusError(
            f"{min(unlabelled)}: {source} gives it no label, nor {len(unlabelled) - 1} other "
            "videos; move them elsewhere, or restore the official list"
        )
    report_unexplained(root, sorted(others))
    if len(by_path) < len(listed):
        raise CorpusError(f"{root}: {source} names a video twice; restore the official list")
    chosen = listed_videos(found, [record.key for record in listed], on_missing, source)
    return ordered(root, chosen)
