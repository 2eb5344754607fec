"""Differences between real and fake videos that tell them apart without a look at a face.

A detector takes the easiest way. Where all originals are PNG images and all fakes JPEG, or all of
one are larger than all of the other, it learns that, and its metrics say nothing.
"""

import logging
import math
from collections.abc import Iterable, Sequence
from typing import Final

from deepfake_mtl.data.records import ORIGINAL, VideoRecord
from deepfake_mtl.data.video_info import VideoInfo
from deepfake_mtl.errors import CorpusError

_IMAGES: Final = frozenset(("png", "jpeg"))
_SAME_RATE: Final = 1.01
"""Ratio up to which rates are the same: 29.97 and 30 frames a second."""

_log = logging.getLogger(__name__)


def check_shortcuts(records: Sequence[VideoRecord], infos: Sequence[VideoInfo]) -> None:
    """Compare originals and each manipulation by how their videos are stored.

    One warning names, with numbers, what differs throughout: codecs of which none is shared;
    shorter sides, or frame rates, of which all of one lie above all of the other.

    Args:
        records: Videos of one training or test.
        infos: What `deepfake_mtl.data.video.probe` says about them, in the same order.

    Raises:
        CorpusError: Originals and a manipulation are folders of images of different formats.
    """
    held: dict[str, list[VideoInfo]] = {}
    for record, info in zip(records, infos, strict=True):
        held.setdefault(record.method, []).append(info)
    real = held.pop(ORIGINAL, [])
    if not real:
        return
    differences = []
    for method, fake in held.items():
        codecs, others = _codecs(real), _codecs(fake)
        if codecs | others <= _IMAGES and codecs != others:
            raise CorpusError(
                f"{ORIGINAL} videos are folders of {_named(codecs)} images, those of {method} of "
                f"{_named(others)}: a detector would tell fakes by the format. Convert the "
                "lossless ones to the format of the others, with the same settings"
            )
        if codecs and others and not codecs & others:
            differences.append(f"codec ({ORIGINAL} {_named(codecs)}, {method} {_named(others)})")
        differences += _apart("shorter side in pixels", method, _sides(real), _sides(fake))
        differences += _apart(
            "frames a second", method, _rates(real), _rates(fake), same=_SAME_RATE
        )
    if differences:
        _log.warning(
            "real and fake videos differ throughout, and a detector may tell them apart by that "
            "alone: %s. Store all of them alike",
            "; ".join(differences),
        )


def _codecs(infos: Iterable[VideoInfo]) -> set[str]:
    return {info.codec for info in infos if info.codec}


def _sides(infos: Iterable[VideoInfo]) -> list[float]:
    return [min(info.width, info.height) for info in infos]


def _rates(infos: Iterable[VideoInfo]) -> list[float]:
    return [info.fps for info in infos if math.isfinite(info.fps)]


def _named(codecs: set[str]) -> str:
    return " and ".join(name.upper() if name in _IMAGES else name for name in sorted(codecs))


def _apart(
    what: str, method: str, real: Sequence[float], fake: Sequence[float], same: float = 1.0
) -> list[str]:
    """Say how two ranges of numbers lie apart; empty if they do not."""
    if not real or not fake or not (max(real) * same < min(fake) or max(fake) * same < min(real)):
        return []
    return [f"{what} ({ORIGINAL} {_range(real)}, {method} {_range(fake)})"]


def _range(values: Sequence[float]) -> str:
    low, high = f"{min(values):.4g}", f"{max(values):.4g}"
    return low if low == high else f"{low} to {high}"
