"""Broken videos from whole ones, by a seed."""

from collections.abc import Callable

import numpy as np

Generator = np.random.Generator


def _place(content: bytearray, rng: Generator, longest: int) -> slice:
    start = int(rng.integers(len(content)))
    return slice(start, start + int(rng.integers(1, longest + 1)))


def _cut_off(content: bytearray, rng: Generator) -> bytearray:
    return content[: int(rng.integers(len(content)))]


def _cut_start(content: bytearray, rng: Generator) -> bytearray:
    return content[int(rng.integers(len(content))) :]


def _flip_bits(content: bytearray, rng: Generator) -> bytearray:
    for place in rng.integers(len(content), size=int(rng.integers(1, 200))):
        content[place] ^= 1 << int(rng.integers(8))
    return content


def _flip_one(content: bytearray, rng: Generator) -> bytearray:
    content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
    return content


def _append(content: bytearray, rng: Generator) -> bytearray:
    return content + rng.bytes(int(rng.integers(1, 5000)))


def _noise_in_header(content: bytearray, rng: Generator) -> bytearray:
    """Where MP4 and Matroska have their headers and indexes: at the start, or at the end."""
    end = min(4096, len(content))
    offset = 0 if rng.random() < 0.5 else len(content) - end
    for place in rng.integers(end, size=int(rng.integers(1, 30))):
        content[offset + place] = int(rng.integers(256))
    return content


def _lie_in_header(content: bytearray, rng: Generator) -> bytearray:
    """Numbers of four bytes, such as sizes, counts and durations, at their extremes."""
    boxes = (
        b"moov",
        b"trak",
        b"stsz",
        b"stts",
        b"stco",
        b"stsc",
        b"stsd",
        b"mdhd",
        b"tkhd",
        b"avcC",
    )
    found = [content.find(name) for name in boxes]
    places = [place for place in found if place >= 0] or [0]
    for _ in range(int(rng.integers(1, 4))):
        start = int(rng.choice(places)) + 4 * int(rng.integers(-1, 24))
        value = int(rng.choice([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 65535, 10**6]))
        start = min(max(start, 0), len(content) - 4)
        content[start : start + 4] = value.to_bytes(4, "big")
    return content


def _zero(content: bytearray, rng: Generator) -> bytearray:
    where = _place(content, rng, 5000)
    content[where] = bytes(len(content[where]))
    return content


def _delete(content: bytearray, rng: Generator) -> bytearray:
    del content[_place(content, rng, 2000)]
    return content


def _insert(content: bytearray, rng: Generator) -> bytearray:
    where = _place(content, rng, 2000)
    content[where.start : where.start] = rng.bytes(where.stop - where.start)
    return content


def _repeat(content: bytearray, rng: Generator) -> bytearray:
    where = _place(content, rng, 50_000)
    content[where.start : where.start] = content[where]
    return content


def _swap(content: bytearray, rng: Generator) -> bytearray:
    one, other = _place(content, rng, 1000), _place(content, rng, 1000)
    content[one], content[other] = content[other], content[one]
    return content


MUTATIONS: list[Callable[[bytearray, Generator], bytearray]] = [
    _cut_off,
    _cut_start,
    _flip_bits,
    _flip_one,
    _append,
    _noise_in_header,
    _lie_in_header,
    _zero,
    _delete,
    _insert,
    _repeat,
    _swap,
]


def mutate(content: bytes, seed: int) -> tuple[bytes, str]:
    """A broken copy of a file, and what was done to it; every mutation has its turn.

    Args:
        content: Of a whole file.
        seed: Two seeds that differ by one have different mutations.
    """
    rng = np.random.default_rng([seed, len(content)])
    kinds = [MUTATIONS[seed % len(MUTATIONS)]]
    if rng.random() < 0.3:
        kinds.append(MUTATIONS[int(rng.integers(len(MUTATIONS)))])
    broken = bytearray(content)
    for kind in kinds:
        broken = kind(broken, rng) or bytearray(b"\0")
    return bytes(broken), " ".join(kind.__name__.strip("_") for kind in kinds)
