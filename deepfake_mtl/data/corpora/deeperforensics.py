"""DeeperForensics-1.0 (Jiang et al., CVPR 2020, arXiv 2001.03024)."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from deepfake_mtl.data.corpora.base import CorpusReader
from deepfake_mtl.data.corpora.faceforensics import FaceForensics
from deepfake_mtl.data.corpora.scanning import (
    list_folder,
    list_videos,
    ordered,
    report_others,
    report_unexplained,
)
from deepfake_mtl.data.records import ORIGINAL, VideoRecord
from deepfake_mtl.data.text_files import listed_path, read_lines
from deepfake_mtl.errors import CorpusError

VARIANTS: Final = (
    "end_to_end",
    *(f"end_to_end_level_{level}" for level in range(1, 6)),
    "end_to_end_random_level",
    *(f"end_to_end_mix_{number}_distortions" for number in range(2, 5)),
    "reenact_postprocess",
)
"""Folders of manipulated videos, which are the methods."""

_OF_THE_ROOT: Final = (
    "lists",
    "manipulated_videos",
    "original_sequences",
    "source_videos",
    "terms_of_use.pdf",
)

_NAME: Final = re.compile(r"(\d{3})_([MW]\d{3})")


class DeeperForensics(CorpusReader):
    """The manipulated videos of DeeperForensics-1.0, and the originals of FaceForensics++.

    ::

        root/
          manipulated_videos/end_to_end/000_M101.mp4                 target_source
          manipulated_videos/end_to_end_level_1/...                  and other variants
          lists/splits/{train,val,test}.txt                          000_M101.mp4
          original_sequences/youtube/c23/videos/000.mp4              of FaceForensics++

    Its real videos are those of FaceForensics++ at c23 and not ``source_videos``, which show the
    actors whose faces were used (dataset/README.md of EndlessSora/DeeperForensics-1.0, "Target
    videos"). They are not a part of the download: link or copy ``original_sequences`` of
    FaceForensics++ into the root.

    Methods are the variants that are there. The test videos are the fakes that
    ``lists/splits/test.txt`` names, of each variant that is there, and the originals of their
    targets. The standard set of the paper is the variant ``end_to_end``.
    """

    name = "deeperforensics"
    title = "DeeperForensics-1.0"
    holds = ("manipulated_videos",)
    remedy = "name the folder in which unzip.sh of the download was run"

    def index(self) -> list[VideoRecord]:
        """List the originals and the videos of all variants that are there.

        Raises:
            CorpusError: The originals are missing, or a video has no name of the corpus.
        """
        report_others(self.root, _OF_THE_ROOT)
        rule = f"a video of {self.title} is named TARGET_SOURCE, such as 000_M101"
        fakes = [
            self._named(variant, path, _NAME, rule)
            for variant in self._variants()
            for path in list_videos(self._manipulated / variant)
        ]
        return ordered(self.root, [*self._originals(), *fakes])

    def test_list(self) -> list[str]:
        """Return the keys of ``lists/splits/test.txt`` and of the originals of its targets.

        Raises:
            CorpusError: It is missing, or a line is not the name of a video.
        """
        path = self.root / "lists" / "splits" / "test.txt"
        remedy = f"it is in the lists of the download of {self.title}: put it there"
        names = []
        for place, line in read_lines(path, remedy):
            name = listed_path(line).stem
            if not _NAME.fullmatch(name):
                raise CorpusError(
                    f"{place}: {line} is not of the form 000_M101; restore the official list"
                )
            names.append(name)
        targets = sorted({name.split("_")[0] for name in names})
        fakes = [(variant, name) for variant in self._variants() for name in names]
        return [
            f"{self.name}/{method}/{self.compression}/{name}"
            for method, name in [*((ORIGINAL, target) for target in targets), *fakes]
        ]

    def original_of(self, record: VideoRecord) -> str | None:
        """Return the name of the target, a video of FaceForensics++."""
        return record.identities[0] if record.is_fake else None

    @property
    def _manipulated(self) -> Path:
        return self.root / "manipulated_videos"

    def _variants(self) -> list[str]:
        found = list_folder(self._manipulated)
        unknown = [path for path in found.folders if path.name not in VARIANTS]
        report_unexplained(self._manipulated, [*unknown, *found.videos, *found.others])
        return [variant for variant in VARIANTS if (self._manipulated / variant).is_dir()]

    def _originals(self) -> list[VideoRecord]:
        originals = self.root / "original_sequences" / "youtube" / "c23"
        if not originals.is_dir():
            raise CorpusError(
                f"{originals}: no such folder; the real videos of {self.title} are the originals "
                "of FaceForensics++ at c23: download those, and link them there by `ln -s "
                f"FACEFORENSICS/original_sequences {self.root / 'original_sequences'}`"
            )
        return [
            replace(record, corpus=self.name, compression=self.compression)
            for record in FaceForensics(self.root, "c23").candidates([])
        ]
