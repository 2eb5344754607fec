"""What a list names and a corpus lacks: counted by method, named, and what to do about it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

OnMissing = Literal["error", "skip"]

DOWNLOAD: Final = "download them"
"""How to get the missing videos of a corpus."""

_NAMED: Final = 5


def some_of(names: Sequence[str]) -> str:
    """Name the first five of some things, for messages."""
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


@dataclass(frozen=True, slots=True)
class Missing:
    """Videos that should be there and are not.

    Attributes:
        names: Names of the missing videos, by method.
        asked: Number of videos that should be there, by method.
        keys: Keys of the missing videos, where they are known.
    """

    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    asked: Mapping[str, int] = field(default_factory=dict)
    keys: Sequence[str] = ()

    def __len__(self) -> int:
        return sum(map(len, self.names.values()))

    def counts(self) -> list[str]:
        """Say of each method how many are missing, and which."""
        return [
            f"{method}: all {len(names)}"
            if len(names) == self.asked[method]
            else f"{method}: {len(names)} of {self.asked[method]} ({some_of(names)})"
            for method, names in self.names.items()
        ]

    def describe(self, named_by: str) -> str:
        """Say how many videos are missing, and which.

        Args:
            named_by: What names them, with its verb: ``the splits name``.
        """
        total = sum(self.asked.values())
        head = f"{len(self)} of {total} videos that {named_by} are not there:"
        return "\n".join([head, *(f"  {line}" for line in self.counts())])

    def error(self, named_by: str, obtain: str = DOWNLOAD) -> str:
        """Say as `describe` what is missing, and what to do.

        Args:
            named_by: What names the videos; see `describe`.
            obtain: How to get the videos.
        """
        go_on = 'or go on without them with `on_missing="skip"`'
        return f"{self.describe(named_by)}\n{obtain}, {go_on}"


def find_missing(expected: Iterable[str], there: Collection[str]) -> Missing:
    """Compare what should be there with what is.

    Args:
        expected: Keys of videos; see `deepfake_mtl.data.records.VideoRecord.key`.
        there: Keys of videos.
    """
    names: dict[str, list[str]] = {}
    asked: dict[str, int] = {}
    keys: list[str] = []
    for key in dict.fromkeys(expected):
        _, method, _, name = key.split("/", 3)
        asked[method] = asked.get(method, 0) + 1
        if key not in there:
            names.setdefault(method, []).append(name)
            keys.append(key)
    return Missing(names, asked, keys)
