"""Any collection of videos that somebody has sorted into real ones and fakes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from deepfake_mtl.data.corpora.base import CorpusReader
from deepfake_mtl.data.corpora.scanning import (
    list_folder,
    ordered,
    report_others,
    report_unexplained,
)
from deepfake_mtl.data.records import ORIGINAL, VideoRecord
from deepfake_mtl.errors import CorpusError

FAKE: Final = "fake"
"""Method of the fakes that lie in no folder of a method."""

_JOINT: Final = "__"
"""Between the folders in the name of a video."""


class RealFakeFolder(CorpusReader):
    """A folder of real and one of fake videos, of any names, at any depth.

    ::

        root/
          real/holiday.mp4                 holiday
          real/phones/a/1.mov              phones__a__1
          fake/1.mp4                       1, of the method ``fake``
          fake/MethodX/1.mp4               1, of the method ``MethodX``
          fake/MethodX/b/1.mp4             b__1, of the method ``MethodX``

    In the place of each video there may be a folder of frames as images. A folder below ``fake``
    names a method, unless it is such a folder of frames.

    Nothing tells who is to be seen: each video counts as a person of its own, so that intervals
    over identities are too narrow where people recur. There is no test list: all videos are tested
    on.
    """

    name = "folder"
    title = "videos in real/ and fake/"
    holds = ("real", "fake")
    remedy = "sort the videos into these two folders"

    def index(self) -> list[VideoRecord]:
        """List all videos.

        Raises:
            CorpusError: There are none, two have the same key, or a method is named ``original``.
        """
        report_others(self.root, self.holds)
        real, fake = (sorted(self._below(self.root / kind)) for kind in self.holds)
        return ordered(
            self.root,
            [self._record(ORIGINAL, parts, path) for parts, path in real]
            + [self._fake(parts, path) for parts, path in fake],
        )

    def _below(
        self, folder: Path, parts: tuple[str, ...] = ()
    ) -> Iterator[tuple[tuple[str, ...], Path]]:
        """Yield the videos of a folder, with the folders on the way and the name."""
        found = list_folder(folder)
        report_unexplained(folder, found.others)
        for path in found.videos:
            yield (*parts, path.stem), path
        for path in found.frames:
            inside = list_folder(path)
            if inside.videos or inside.folders:
                raise CorpusError(
                    f"{path}: holds images as well as videos or folders: it is unclear whether it "
                    "stands for a video; move the ones or the others elsewhere"
                )
            yield (*parts, path.name), path
        for path in found.folders:
            yield from self._below(path, (*parts, path.name))

    def _fake(self, parts: tuple[str, ...], path: Path) -> VideoRecord:
        method, *rest = parts if len(parts) > 1 else (FAKE, *parts)
        if method == ORIGINAL:
            raise CorpusError(
                f"{path}: lies below fake, in a folder named {ORIGINAL}, which stands for real "
                "videos; rename the folder"
            )
        return self._record(method, tuple(rest), path)

    def _record(self, method: str, parts: tuple[str, ...], path: Path) -> VideoRecord:
        name = _JOINT.join(parts)
        # Identities are joined by spaces in tables.
        person = f"{method}/{name}".replace("%", "%25").replace(" ", "%20")
        return VideoRecord(self.name, method, self.compression, name, (person,), path)
