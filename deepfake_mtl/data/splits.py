"""Who is trained on, validated on and tested on: identities are never shared."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from deepfake_mtl.data.records import VideoRecord
from deepfake_mtl.data.text_files import read_json
from deepfake_mtl.errors import SplitError

SplitName = Literal["train", "val", "test"]
SPLIT_NAMES: Final[tuple[SplitName, ...]] = ("train", "val", "test")

_FRACTIONS: Final = {"train": 0.72, "val": 0.14, "test": 0.14}
"""Shares of a random split: those of the official lists."""


@dataclass(frozen=True, slots=True)
class Split:
    """The videos that belong to one split, by name, the same for every manipulation.

    Attributes:
        originals: Names of original videos, which are identities.
        fakes: Names of fakes, ``target_source``.
    """

    originals: frozenset[str]
    fakes: frozenset[str]

    @property
    def identities(self) -> frozenset[str]:
        """Everybody who is to be seen in the split."""
        return self.originals.union(*(name.split("_") for name in self.fakes))


Splits = Mapping[SplitName, Split]


def read_splits(folder: str | os.PathLike[str]) -> dict[SplitName, Split]:
    """Read ``train.json``, ``val.json`` and ``test.json`` in the official form.

    Each file is a list of pairs ``["a", "b"]``, which stand for the originals ``a`` and ``b`` and
    for the fakes ``a_b`` and ``b_a`` of every manipulation.

    Args:
        folder: Where the three files lie.

    Raises:
        SplitError: A file is missing or not of this form, a pair stands twice, or an identity is
            in two pairs or in two splits.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise SplitError(
            f"{folder}: no such folder; the official lists train.json, val.json and test.json are "
            "in dataset/splits of the FaceForensics repository on GitHub (ondyari/FaceForensics): "
            "copy them there, name their folder with `splits`, or ask for a random split by "
            'identity with `splits="random"`'
        )
    owners: dict[str, Path] = {}
    splits: dict[SplitName, Split] = {}
    for split in SPLIT_NAMES:
        path = folder / f"{split}.json"
        pairs = _read_pairs(path)
        identities = [identity for pair in pairs for identity in pair]
        for identity in identities:
            if identity in owners:
                where = "twice" if owners[identity] == path else f"here and in {owners[identity]}"
                raise SplitError(
                    f"{path}: identity {identity} stands {where}; each may stand in one pair of "
                    "one split, else the test is not of unseen people: restore the official lists"
                )
            owners[identity] = path
        splits[split] = Split(
            originals=frozenset(identities),
            fakes=frozenset(name for a, b in pairs for name in (f"{a}_{b}", f"{b}_{a}")),
        )
    return splits


def random_splits(records: Iterable[VideoRecord], seed: int) -> dict[SplitName, Split]:
    """Split videos at random such that no identity is in two splits.

    Whoever shares a fake, directly or through others, stays together. The shares are those of the
    official lists (72, 14 and 14 %), as closely as such groups allow.

    Args:
        records: The videos that are there.
        seed: Decides the split; the same records and seed give the same split on any machine.

    Raises:
        SplitError: There are fewer than three groups of identities.
    """
    videos = list(records)
    groups = connected_identities(video.identities for video in videos)
    if len(groups) < len(SPLIT_NAMES):
        raise SplitError(
            f"a random split needs at least {len(SPLIT_NAMES)} groups of people who share no fake, "
            f"but there are {len(groups)}; name a folder of lists with `splits`"
        )
    order = np.random.default_rng(seed).permutation(len(groups))
    total = sum(len(group) for group in groups)
    members: dict[SplitName, set[str]] = {split: set() for split in SPLIT_NAMES}
    for position, group in enumerate(order):
        empty = [split for split in SPLIT_NAMES if not members[split]]
        if len(order) - position <= len(empty):
            split = empty[0]
        else:
            split = max(SPLIT_NAMES, key=lambda s: _FRACTIONS[s] * total - len(members[s]))
        members[split] |= groups[group]
    splits: dict[SplitName, Split] = {}
    for split in SPLIT_NAMES:
        chosen = [video for video in videos if video.identities[0] in members[split]]
        splits[split] = Split(
            originals=frozenset(video.name for video in chosen if not video.is_fake),
            fakes=frozenset(video.name for video in chosen if video.is_fake),
        )
    return splits


def connected_identities(shown: Iterable[Sequence[str]]) -> list[set[str]]:
    """Group people who are to be seen in one video, directly or through others.

    Args:
        shown: For each video who is to be seen in it; videos that show nobody make no group.

    Returns:
        The groups, sorted by their first member: the same whatever the order of the videos.
    """
    parents: dict[str, str] = {}

    def root(identity: str) -> str:
        parents.setdefault(identity, identity)
        while parents[identity] != identity:
            parents[identity] = parents[parents[identity]]
            identity = parents[identity]
        return identity

    for identities in shown:
        for identity in identities:
            parents[root(identity)] = root(identities[0])
    groups: dict[str, set[str]] = {}
    for identity in sorted(parents):
        groups.setdefault(root(identity), set()).add(identity)
    return list(groups.values())


def fingerprint(splits: Splits) -> str:
    """Return a short digest of who is in which split, to tell whether two runs agree on it."""
    content = {split: sorted(splits[split].identities) for split in SPLIT_NAMES}
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _read_pairs(path: Path) -> list[tuple[str, str]]:
    remedy = 'expected a list of pairs such as [["071", "054"], ...]: restore the official file'
    content = read_json(path, remedy, SplitError)
    if not isinstance(content, list) or not content:
        raise SplitError(f"{path}: not a list, or empty; {remedy}")
    pairs = []
    for entry in content:
        is_pair = (
            isinstance(entry, list)
            and len(entry) == 2
            and all(isinstance(identity, str) and identity for identity in entry)
            and entry[0] != entry[1]
        )
        if not is_pair:
            raise SplitError(f"{path}: {json.dumps(entry)} is not a pair of names; {remedy}")
        pairs.append((entry[0], entry[1]))
    return pairs
