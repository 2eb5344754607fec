"""The preview of DFDC (Dolhansky et al., arXiv 1910.08854)."""

from collections.abc import Mapping
from typing import Final

from deepfake_mtl.data.corpora.listed import ListedCorpus, read_entries
from deepfake_mtl.data.records import ORIGINAL, VideoRecord
from deepfake_mtl.data.text_files import listed_path
from deepfake_mtl.errors import CorpusError

_DATASET: Final = "dataset.json"
_FOLDER_OF: Final = {"real": "original_videos", "fake": "method_"}
"""What the folder of a video begins with, by its label."""


class DFDCPreview(ListedCorpus):
    """The preview of DFDC, made with two methods that were named A and B.

    ::

        root/
          dataset.json
          original_videos/643049/643049_A_001.mp4
          method_A/..., method_B/1260311/1260311_C/1255229_1260311_C_001.mp4

    An entry of ``dataset.json`` is ``"method_B/.../x.mp4": {"label": "fake", "set": "test",
    "target_id": ..., "swapped_id": ...}``, with label ``real`` or ``fake`` and set ``train`` or
    ``test``. The people are the target and the swapped one. Methods are ``method_A`` and
    ``method_B``; names are paths below the folder of the method, with ``__`` for each ``/``.

    The test videos are those of the set ``test``. Which original a fake was made of is not said.
    """

    name = "dfdc_preview"
    title = "the preview of DFDC"
    holds = (_DATASET,)
    lists = (_DATASET,)
    remedy = "name the folder that the preview was unpacked into"

    def test_list(self) -> list[str] | None:
        """Return the keys of the videos of the set ``test``.

        Raises:
            CorpusError: ``dataset.json`` is damaged.
        """
        return [
            self._record(file, entry).key
            for file, entry in self._entries().items()
            if entry.get("set") == "test"
        ]

    def listed(self) -> list[VideoRecord]:
        """Return what ``dataset.json`` names."""
        return [self._record(file, entry) for file, entry in self._entries().items()]

    def _entries(self) -> Mapping[str, Mapping[str, object]]:
        return read_entries(self.root / _DATASET)

    def _record(self, file: str, entry: Mapping[str, object]) -> VideoRecord:
        folder, *below = listed_path(file).with_suffix("").parts
        label, people = entry.get("label"), [entry.get("target_id"), entry.get("swapped_id")]
        known = [str(person) for person in people if person is not None]
        if entry.get("set") not in ("train", "test") or not known or not below:
            raise CorpusError(
                f"{self.root / _DATASET}: {file} lacks its set, its target_id or its folder; "
                "restore the official file"
            )
        if label not in _FOLDER_OF or not folder.startswith(_FOLDER_OF[str(label)]):
            raise CorpusError(
                f"{self.root / _DATASET}: {file} has the label {label}, but real videos are in "
                "original_videos and fake ones in method_A and method_B; restore the official file"
            )
        method, path = ORIGINAL if label == "real" else folder, self.root / listed_path(file)
        return VideoRecord(
            self.name, method, self.compression, "__".join(below), tuple(known), path
        )
