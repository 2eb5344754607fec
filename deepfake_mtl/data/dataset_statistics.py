"""What the videos of a training look like, in a few numbers that a checkpoint keeps."""

import math
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from deepfake_mtl.data.records import VideoRecord
from deepfake_mtl.data.store.crop_files import read_header
from deepfake_mtl.data.store.crop_format import SUFFIX
from deepfake_mtl.data.video_info import VideoInfo
from deepfake_mtl.errors import VideoError

_QUANTILES: Final = (0.05, 0.5, 0.95)
_MOST_HEADERS: Final = 200


def describe_training(
    records: Sequence[VideoRecord], infos: Sequence[VideoInfo]
) -> dict[str, list[float] | None]:
    """Say how large the pictures and faces of videos are, how many bits they take, and their rate.

    Args:
        records: Videos, or files of crops.
        infos: What their headers say, in the same order.

    Returns:
        The 5 %, 50 % and 95 % quantile over the videos of ``shorter_side`` and ``crop_side`` in
        pixels of the source, of ``bits_per_pixel`` of the source, and of ``fps``, frames a second;
        None where the files do not tell: crops of whole frames, bits and rate of folders of frames.
    """
    crops = [record for record in records if record.path.suffix == SUFFIX]
    sizes: list[float] = []
    sides: list[float] = []
    bits: list[float] = []
    if crops:
        chosen = np.linspace(0, len(crops) - 1, min(len(crops), _MOST_HEADERS)).astype(int)
        for place in chosen:
            try:
                header = read_header(crops[place].path)
            except VideoError:
                continue  # the training itself says so
            sizes.append(min(header.source_width, header.source_height))
            sides.append(float(np.median([side for _, _, side in header.squares])))
            if header.source_bytes is not None:
                pixels = header.frames * header.source_width * header.source_height
                bits.append(8 * header.source_bytes / pixels)
    else:
        for record, info in zip(records, infos, strict=True):
            sizes.append(min(info.width, info.height))
            if record.path.is_file():
                pixels = info.frames * info.width * info.height
                bits.append(8 * record.path.stat().st_size / pixels)
    return {
        "shorter_side": _quantiles(sizes),
        "crop_side": _quantiles(sides),
        "bits_per_pixel": _quantiles(bits),
        "fps": _quantiles(info.fps for info in infos if math.isfinite(info.fps)),
    }


def _quantiles(values: Iterable[float]) -> list[float] | None:
    numbers = np.array(list(values), np.float64)
    return np.quantile(numbers, _QUANTILES).tolist() if len(numbers) else None
