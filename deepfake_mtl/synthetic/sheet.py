"""One picture that shows what a synthetic world holds."""

import json
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from deepfake_mtl.data.corpora.faceforensics import FaceForensics
from deepfake_mtl.data.records import MANIPULATION_CLASSES
from deepfake_mtl.errors import CorpusError
from deepfake_mtl.synthetic.painting import Image
from deepfake_mtl.synthetic.video import read_video
from deepfake_mtl.util.contact_sheets import blank, save_picture, write_text

TITLE: Final = "Synthetic corpus: rendered faces, no real people"


def contact_sheet(
    root: Path, out: Path, identities: int = 4, frames: int = 3, tile: int = 128
) -> None:
    """Draw the five classes in rows, and identities with some frames of each in columns.

    Args:
        root: Folder of a world that `synthesize` has finished.
        out: Picture to write; its suffix says the format.
        identities: Number of people to show.
        frames: Number of frames of each, evenly spread over the video.
        tile: Side of one frame in the picture, in pixels.

    Raises:
        CorpusError: If `root` holds no synthetic world, or a part of it is missing.
    """
    marker = root / "synthetic.json"
    if not marker.exists():
        raise CorpusError(
            f"{root}: holds no synthetic world; make one with `deepfake-mtl synthesize`"
        )
    compression = json.loads(marker.read_text(encoding="utf-8"))["config"]["compression"]
    records = FaceForensics(root, compression).index()
    paths = {(record.method, record.identities[0]): record.path for record in records}
    names = sorted(record.name for record in records if not record.is_fake)[:identities]
    margin, gap, label = round(1.1 * tile), max(2, tile // 16), round(0.5 * tile)
    rows = []
    for method in MANIPULATION_CLASSES:
        cells: list[Image] = []
        for name in names:
            if (method, name) not in paths:
                raise CorpusError(
                    f"{root}: holds no {method} of {name}; finish the world with `deepfake-mtl "
                    "synthesize`"
                )
            video = read_video(paths[method, name])
            moments = np.linspace(0, len(video) - 1, frames + 2)[1:-1].astype(int)
            for moment in moments:
                frame = cv2.resize(video[moment], (tile, tile), interpolation=cv2.INTER_CUBIC)
                cells.append(np.asarray(frame, np.uint8))
            cells.append(blank(tile, gap))
        head = blank(tile, margin)
        write_text(head, method, (gap, tile // 2), tile)
        rows.append(np.hstack([head, *cells]))
    sheet = np.vstack([row for strip in rows for row in (strip, blank(gap, strip.shape[1]))])
    top = blank(label, sheet.shape[1])
    write_text(top, TITLE, (gap, round(0.4 * label)), tile)
    for number, name in enumerate(names):
        left = margin + number * (frames * tile + gap)
        write_text(top, f"identity {name}", (left, label - gap), tile)
    # Sixty-four levels look the same as all, in half the bytes.
    picture = np.vstack([top, sheet]) & np.uint8(0xFC)
    save_picture(out, picture)
