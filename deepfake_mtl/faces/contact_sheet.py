"""One picture that shows what a store holds: originals beside their fakes."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from deepfake_mtl.data.records import ORIGINAL, VideoRecord
from deepfake_mtl.data.store.crop_files import probe_crops, read_crops
from deepfake_mtl.util.contact_sheets import blank, save_picture, write_text


def contact_sheet(
    records: Sequence[VideoRecord], out: Path, people: int = 8, frames: int = 8, tile: int = 96
) -> None:
    """Draw a row for each video of some people: an original, then its fakes.

    Args:
        records: Videos of a store, with the paths of their crops.
        out: Picture to write; its suffix says the format.
        people: Number of people at most, those with the most fakes first.
        frames: Number of frames of each video, evenly spread from the first to the last.
        tile: Side of a frame in the picture, in pixels.
    """
    by_target: dict[str, list[VideoRecord]] = {}
    for record in records:
        by_target.setdefault(record.identities[0], []).append(record)
    chosen = sorted(by_target.values(), key=lambda videos: -len(videos))[:people]
    words = max((len(_title(record)) for videos in chosen for record in videos), default=0)
    margin, gap = round(words * tile / 13) + tile // 8, tile // 8
    rows = []
    for videos in chosen:
        for record in sorted(videos, key=lambda each: (each.method != ORIGINAL, each)):
            head = blank(tile, margin)
            write_text(head, _title(record), (tile // 16, tile // 2), tile)
            rows.append(np.hstack([head, *_frames(record.path, frames, tile)]))
        rows.append(blank(gap, margin + frames * tile))
    if rows:
        save_picture(out, np.vstack(rows))


def _title(record: VideoRecord) -> str:
    return f"{record.method} {record.name}"


def _frames(path: Path, frames: int, tile: int) -> list[NDArray[np.uint8]]:
    moments = np.linspace(0, probe_crops(path).frames - 1, frames).round().astype(int)
    crops = [read_crops(path, int(moment), 1)[0] for moment in moments]
    method = cv2.INTER_AREA if crops[0].shape[0] > tile else cv2.INTER_LINEAR
    return [
        np.asarray(cv2.resize(each, (tile, tile), interpolation=method), np.uint8) for each in crops
    ]
