"""What to judge: videos by name, folders of them, and lists; and where each verdict goes."""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deepfake_mtl.data.text_files import read_lines, shown
from deepfake_mtl.data.video_info import VIDEO_SUFFIXES
from deepfake_mtl.errors import ConfigurationError

LIST_SUFFIX: Final = ".txt"
"""Suffix of a list, which has the path of a video in each line."""

NOT_NAMED: Final = "not named as a video"
"""Why most files are left out that are."""

LINK: Final = "a link that leads out of the folder, or to a folder: name what it leads to"
"""Why links are left out."""

_LONGEST_NAME: Final = 60

_MOST_NAMED: Final = 5


@dataclass(slots=True)
class Inputs:
    """What was found.

    Attributes:
        videos: Videos to be judged, each once.
        left_out: Files in folders that are not looked at, with the reason.
    """

    videos: list[Path] = field(default_factory=list)
    left_out: list[tuple[Path, str]] = field(default_factory=list)


def find_inputs(named: Sequence[Path], out: Path) -> Inputs:
    """Find the videos that were named.

    A folder stands for the videos in it and below, by their suffixes; links that lead out of it are
    not followed, and ``out`` is not looked into. A ``.txt`` file is a list; relative paths in it
    are relative to its folder. Anything else is taken as a video, whatever it is.

    Args:
        named: Videos, folders and lists.
        out: Folder that verdicts go to.

    Raises:
        ConfigurationError: Nothing is there, or a list cannot be read.
    """
    inputs = Inputs()
    for path in named:
        if path.is_dir():
            for file in _walk(path, out, inputs):
                inputs.videos.append(file)
        elif path.suffix.lower() == LIST_SUFFIX:
            inputs.videos += _read_list(path)
        elif os.path.lexists(path):
            inputs.videos.append(path)
        else:
            raise ConfigurationError(f"{shown(path)}: there is no such file or folder")
    inputs.videos = list({os.path.abspath(path): path for path in inputs.videos}.values())  # noqa: PTH100 (links stay)
    if not inputs.videos:
        left_out = describe_left_out(inputs)
        raise ConfigurationError(
            f"{', '.join(map(shown, named))}: no videos; in folders, files are taken that end with "
            f"{', '.join(sorted(VIDEO_SUFFIXES))}" + "".join(map("; {}".format, left_out))
        )
    return inputs


def folder_name(video: Path) -> str:
    """Return a name for the folder of a verdict: safe, unique, and the same in every run.

    Args:
        video: Path of the video.
    """
    absolute = os.path.abspath(video)  # noqa: PTH100 (a link is not its target)
    digest = hashlib.sha256(os.fsencode(absolute)).hexdigest()[:10]
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", video.stem)[:_LONGEST_NAME].strip("_-")
    return f"{stem or 'video'}-{digest}"


def describe_left_out(inputs: Inputs) -> list[str]:
    """Count and name the files that were left out, except those that are not named as videos."""
    reasons: dict[str, list[str]] = {}
    for path, why in inputs.left_out:
        if why != NOT_NAMED:
            reasons.setdefault(why, []).append(shown(path))
    return [
        f"left out {len(paths)}, {why}: "
        + ", ".join(paths[:_MOST_NAMED])
        + (", ..." if len(paths) > _MOST_NAMED else "")
        for why, paths in reasons.items()
    ]


def _walk(folder: Path, out: Path, inputs: Inputs) -> Iterator[Path]:
    root, verdicts = folder.resolve(), out.resolve()

    def note(error: OSError) -> None:
        inputs.left_out.append((Path(error.filename), f"cannot be read ({error.strerror})"))

    for place, folders, files in os.walk(folder, onerror=note):
        here = Path(place)
        for name in sorted(folders):
            if (here / name).is_symlink():
                inputs.left_out.append((here / name, LINK))
        folders[:] = sorted(name for name in folders if (here / name).resolve() != verdicts)
        for name in sorted(files):
            file = here / name
            if file.suffix.lower() not in VIDEO_SUFFIXES or name.startswith("."):
                inputs.left_out.append((file, NOT_NAMED))
            elif file.is_symlink() and not file.resolve().is_relative_to(root):
                inputs.left_out.append((file, LINK))
            else:
                yield file


def _read_list(path: Path) -> list[Path]:
    lines = read_lines(path, "name another list", ConfigurationError, "surrogateescape")
    found = []
    for _, line in lines:
        video = path.parent / line
        # A name may hold a backslash, but one of Windows' separators is meant more often.
        found.append(video if os.path.lexists(video) else path.parent / line.replace("\\", "/"))
    return found
