"""Corpora whose labels stand in a list: what it names, against what is there."""

import os
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from deepfake_mtl.data.corpora.base import CorpusReader, listed_videos
from deepfake_mtl.data.corpora.scanning import BOX_SUFFIXES, ordered, report_unexplained
from deepfake_mtl.data.records import VideoRecord
from deepfake_mtl.data.text_files import read_json
from deepfake_mtl.data.video_info import VIDEO_SUFFIXES
from deepfake_mtl.errors import CorpusError


def read_entries(path: Path) -> Mapping[str, Mapping[str, object]]:
    """Read a JSON file of the form ``{"x.mp4": {...}, ...}``.

    Raises:
        CorpusError: It is missing, or not of this form.
    """
    entries = read_json(path, "restore the official file")
    if not isinstance(entries, dict) or not all(isinstance(e, dict) for e in entries.values()):
        raise CorpusError(
            f'{path}: is not of the form {{"x.mp4": {{...}}, ...}}; restore the official file'
        )
    return entries


class ListedCorpus(CorpusReader):
    """A corpus whose labels stand in lists: all that they name, and nothing else, should be there.

    Attributes:
        lists: Names of the files of lists.
    """

    lists: ClassVar[tuple[str, ...]]

    @abstractmethod
    def listed(self) -> list[VideoRecord]:
        """Return what the lists name, whether it is there or not."""

    def index(self) -> list[VideoRecord]:
        """List the videos that are there of those that the lists name.

        Raises:
            CorpusError: A list is damaged, videos are missing and may not be, or are there without
                a label.
        """
        source, listed = " or ".join(self.lists), self.listed()
        by_path = {str(record.path): record for record in listed}
        found: dict[str, VideoRecord] = {}
        unlisted: list[str] = []
        others: list[Path] = []
        for folder, folders, files in os.walk(self.root, followlinks=True):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for file in files:
                path = os.path.join(folder, file)  # noqa: PTH118 (there are a hundred thousand)
                stem, suffix = os.path.splitext(path)  # noqa: PTH122
                if file.startswith("."):
                    continue
                if path in by_path:
                    found[path] = by_path[path]
                elif suffix.lower() in VIDEO_SUFFIXES:
                    unlisted.append(path)
                elif file not in self.lists and not (
                    suffix.lower() in BOX_SUFFIXES and f"{stem}.mp4" in by_path
                ):
                    others.append(Path(path))
        renamed = _renamed([path for path in by_path if path not in found], unlisted)
        for listed_as, path in renamed.items():
            found[listed_as] = replace(by_path[listed_as], path=Path(path))
        unlabelled = set(unlisted) - set(renamed.values())
        if unlabelled:
            raise CorpusError(
                f"{min(unlabelled)}: {source} gives it no label, nor {len(unlabelled) - 1} other "
                "videos; move them elsewhere, or restore the official list"
            )
        report_unexplained(self.root, sorted(others))
        if len(by_path) < len(listed):
            raise CorpusError(
                f"{self.root}: {source} names a video twice; restore the official list"
            )
        chosen = listed_videos(
            list(found.values()), [record.key for record in listed], self.on_missing, source
        )
        return ordered(self.root, chosen)

    def expected(self, records: Sequence[VideoRecord]) -> list[str]:  # noqa: ARG002 (of others)
        """Return the keys of all videos that the lists name."""
        return [record.key for record in self.listed()]


def _renamed(missing: Iterable[str], unlisted: Iterable[str]) -> dict[str, str]:
    """Return the videos that a list names with another suffix, none, or letters of another case.

    Returns:
        Of each path of a list that is not there, the file that is: the only one of its name.
    """
    named, there = _by_name(missing), _by_name(unlisted)
    return {
        paths[0]: there[name][0]
        for name, paths in named.items()
        if len(paths) == len(there.get(name, ())) == 1
    }


def _by_name(paths: Iterable[str]) -> dict[tuple[str, str], list[str]]:
    names: dict[tuple[str, str], list[str]] = {}
    for path in paths:
        folder, file = os.path.split(path)
        stem, suffix = os.path.splitext(file)  # noqa: PTH122
        name = stem if suffix.lower() in VIDEO_SUFFIXES else file
        names.setdefault((folder, name.casefold()), []).append(path)
    return names
