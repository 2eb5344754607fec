"""DFDC, the DeepFake Detection Challenge (Dolhansky et al., arXiv 2006.07397)."""

import csv
import io
from pathlib import Path
from typing import Final

from deepfake_mtl.data.corpora.listed import ListedCorpus, read_entries
from deepfake_mtl.data.records import ORIGINAL, VideoRecord
from deepfake_mtl.data.text_files import listed_path, read_text
from deepfake_mtl.errors import CorpusError

METHOD: Final = "DFDC"
"""Method of all fakes: which of its methods made one was not published."""

_PARTS: Final = "dfdc_train_part_*"
_METADATA: Final = "metadata.json"
_LABELS: Final = "labels.csv"
_RESTORE: Final = "restore the official file"
_IS_FAKE: Final = {"REAL": False, "FAKE": True, "0": False, "1": True}
"""Labels of ``metadata.json``, then of ``labels.csv``."""


class DFDC(ListedCorpus):
    """The training parts and the test set of DFDC, as far as they are there.

    ::

        root/                                or one part itself: metadata.json and videos
          dfdc_train_part_0/metadata.json    also below train/
          dfdc_train_part_0/aagfhgtpmv.mp4
          test/labels.csv                    filename,label: 1 means fake; also validation/
          test/aalscayrfi.mp4                or test/videos/aalscayrfi.mp4

    ``metadata.json`` is ``{"x.mp4": {"label": "FAKE", "split": "train", "original": "y.mp4"}}``.
    Names begin with the folder of their list (``dfdc_train_part_0__aagfhgtpmv``), since nothing
    forbids the same name in two of them. The method of all fakes is ``DFDC``.

    An original and its fakes count as one person, whose name is that of the original; of test
    videos each counts as a person of its own. Who the actors are was not published: the same one is
    in many originals, so that intervals over identities are too narrow.

    The test videos are those of ``test/labels.csv`` (or of a ``labels.csv`` in the root). Without
    it all videos are tested on: those of the training parts that are there.
    """

    name = "dfdc"
    title = "DFDC"
    lists = (_METADATA, _LABELS)
    holds = ("folders dfdc_train_part_N, or test/labels.csv, or metadata.json of one part",)
    remedy = (
        "name the folder that the archives were unpacked into, or name the corpus dfdc_preview if "
        "it is that of the preview"
    )

    def test_list(self) -> list[str] | None:
        """Return the keys of the videos of ``labels.csv``; None where there is none.

        Raises:
            CorpusError: It is damaged.
        """
        folders = [folder for folder in self._labelled() if folder.name != "validation"]
        return [record.key for folder in folders for record in self._tested(folder)] or None

    def listed(self) -> list[VideoRecord]:
        """Return what ``metadata.json`` and ``labels.csv`` name."""
        listed = [record for part in self._parts() for record in self._trained(part)]
        return listed + [record for each in self._labelled() for record in self._tested(each)]

    def original_of(self, record: VideoRecord) -> str | None:
        """Return the name of the original that ``metadata.json`` names."""
        return record.identities[0] if record.identities[0] != record.name else None

    def _holds_all(self) -> bool:
        return bool(self._parts() or self._labelled())

    def _parts(self) -> list[Path]:
        """Return the folders of ``metadata.json``."""
        parts = []
        for pattern in (_PARTS, f"train/{_PARTS}"):
            for folder in sorted(path for path in self.root.glob(pattern) if path.is_dir()):
                # dfdc_train_part_00.zip unpacks to dfdc_train_part_00/dfdc_train_part_0.
                parts += sorted(folder.glob(_PARTS)) or [folder]
        alone = (self.root / _METADATA).is_file() and not (self.root / _LABELS).is_file()
        return [self.root, *parts] if alone else parts

    def _labelled(self) -> list[Path]:
        """Return the folders of ``labels.csv``."""
        folders = (self.root, self.root / "validation", self.root / "test")
        return [folder for folder in folders if (folder / _LABELS).is_file()]

    def _trained(self, part: Path) -> list[VideoRecord]:
        path = part / _METADATA
        records = []
        for file, entry in read_entries(path).items():
            original = entry.get("original") if str(entry.get("label")).upper() == "FAKE" else file
            if not isinstance(original, str):
                raise CorpusError(f"{path}: the fake {file} has no original; {_RESTORE}")
            records.append(self._record(str(path), path, part, file, entry.get("label"), original))
        return records

    def _tested(self, folder: Path) -> list[VideoRecord]:
        path = folder / _LABELS
        text = read_text(path, _RESTORE)
        videos = folder / "videos" if (folder / "videos").is_dir() else folder
        rows = csv.reader(io.StringIO(text, newline=""))
        records = []
        try:
            filled = filter(None, rows)
            names = [cell.strip().lower() for cell in next(filled, [])]
            for cells in filled:
                row = dict(zip(names, map(str.strip, cells), strict=False))
                place, file = f"{path}, line {rows.line_num}", row.get("filename")
                records.append(self._record(place, path, videos, file, row.get("label"), file))
        except csv.Error as error:
            raise CorpusError(
                f"{path}, line {rows.line_num}: cannot be read as CSV ({error}); {_RESTORE}"
            ) from error
        return records

    def _record(
        self,
        place: str,
        source: Path,
        folder: Path,
        file: object,
        label: object,
        original: object,
    ) -> VideoRecord:
        if not (isinstance(file, str) and isinstance(label, str) and isinstance(original, str)):
            raise CorpusError(f"{place}: lacks a name or a label; {_RESTORE}")
        if label.upper() not in _IS_FAKE or listed_path(file).name != file:
            raise CorpusError(
                f"{place}: {file} has the label {label}, but labels are {', '.join(_IS_FAKE)}, of "
                f"files beside the list; {_RESTORE}"
            )
        prefix = "" if source.parent == self.root else f"{source.parent.name}__"
        method = METHOD if _IS_FAKE[label.upper()] else ORIGINAL
        name, person = (prefix + Path(each).stem for each in (file, original))
        return VideoRecord(self.name, method, self.compression, name, (person,), folder / file)
