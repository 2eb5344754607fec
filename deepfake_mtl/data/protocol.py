"""What is trained on and what is tested on: leave one manipulation out. Opens no file.

What counts as held out and what as seen is decided by `group_of`, for training, tests and reports.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from deepfake_mtl.data.missing import DOWNLOAD, Missing, OnMissing
from deepfake_mtl.data.records import MANIPULATIONS, ORIGINAL, VideoRecord
from deepfake_mtl.data.splits import SPLIT_NAMES, SplitName, Splits
from deepfake_mtl.errors import ConfigurationError, CorpusError

DATA_STATE: Final = "deepfake_mtl_data"
"""Under what a checkpoint of a `Detector` keeps the state of its datamodule, its fold first."""

Group = Literal["original", "seen", "held_out"]
"""What a method is to a detector: no manipulation, one of its training, or one that is new."""

TestSet = Literal["held_out", "seen"]
"""The two sets that a test reports on: originals together with the manipulations of one group."""

TEST_SETS: Final[tuple[TestSet, ...]] = get_args(TestSet)

_STATE_PARTS: Final = frozenset({"held_out", "split_digest", "seed"})


@dataclass(frozen=True, slots=True)
class Fold:
    """The videos of one leave-one-manipulation-out experiment.

    Attributes:
        held_out: Manipulations that are neither trained nor validated on; may be empty.
        train: Originals and seen manipulations.
        val: Videos to validate on, of other people.
        test: Originals and all manipulations, of yet other people: the held-out test is made of
            its originals and held-out fakes, the test on seen manipulations of its originals and
            the other fakes.
        missing: Names of videos that the splits ask for and the corpus lacks, by method.
    """

    held_out: tuple[str, ...]
    train: tuple[VideoRecord, ...]
    val: tuple[VideoRecord, ...]
    test: tuple[VideoRecord, ...]
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def seen(self) -> tuple[str, ...]:
        """Manipulations that are trained on."""
        return seen_manipulations(self.held_out)

    def counts(self) -> dict[str, dict[str, int]]:
        """Count the videos by split and method."""
        return {
            split: {
                method: sum(record.method == method for record in getattr(self, split))
                for method in (ORIGINAL, *MANIPULATIONS)
            }
            for split in SPLIT_NAMES
        }

    def describe(self) -> str:
        """Say in lines of text who is trained, validated and tested on."""
        held_out = ", ".join(self.held_out) or "nothing"
        lines = [f"Held out: {held_out}. Seen: {', '.join(self.seen)}."]
        for split, methods in self.counts().items():
            fake = ", ".join(f"{methods[m]} {m}" for m in MANIPULATIONS if methods[m])
            lines.append(f"  {split:5}  {methods[ORIGINAL]} original, {fake or 'no manipulated'}")
        if self.missing:
            counts = ", ".join(f"{len(names)} {m}" for m, names in self.missing.items())
            lines.append(f"  missing and skipped: {counts}")
        return "\n".join(lines)


def group_of(method: str, held_out: Collection[str]) -> Group:
    """Decide what a method is to a detector.

    Args:
        method: Name of the method, of any corpus.
        held_out: Names of the manipulations that were held out from its training.

    Returns:
        ``original`` for `ORIGINAL`; ``seen`` for a manipulation of FaceForensics++ that was not
        held out; ``held_out`` for all else: no detector is trained on what other corpora hold.
    """
    if method == ORIGINAL:
        return "original"
    return "seen" if method in MANIPULATIONS and method not in held_out else "held_out"


def is_in_set(method: str, held_out: Collection[str], of: TestSet) -> bool:
    """Tell whether the videos of a method belong to a set of the test.

    Args:
        method: Name of the method, of any corpus.
        held_out: Names of the manipulations that were held out from training.
        of: The set.
    """
    return group_of(method, held_out) in ("original", of)


def seen_manipulations(held_out: Collection[str]) -> tuple[str, ...]:
    """Name the manipulations that a detector was trained on, in canonical order."""
    return tuple(method for method in MANIPULATIONS if group_of(method, held_out) == "seen")


def unseen_manipulations(held_out: Sequence[str], methods: Collection[str]) -> tuple[str, ...]:
    """Name all that a test holds out: what was held out from training, and what is of no training.

    Args:
        held_out: Names of the manipulations that were held out from training.
        methods: Names of the methods in the test.

    Returns:
        `held_out` in its order, then the others by name.
    """
    others = {method for method in methods if group_of(method, held_out) == "held_out"}
    return (*held_out, *sorted(others - set(held_out)))


def parse_held_out(held_out: str | Sequence[str] | None) -> tuple[str, ...]:
    """Bring the names of the manipulations to hold out into canonical order.

    Args:
        held_out: A name, several, or ``None`` or ``"none"`` for none.

    Raises:
        ConfigurationError: A name is unknown, or no manipulation is left to train on.
    """
    if held_out is None or held_out == "none":
        held_out = ()
    names = (held_out,) if isinstance(held_out, str) else held_out
    unknown = [name for name in names if name not in MANIPULATIONS]
    if unknown:
        raise ConfigurationError(
            f"held_out: {', '.join(unknown)} is not one of {', '.join(MANIPULATIONS)} (or none)"
        )
    if set(names) == set(MANIPULATIONS):
        raise ConfigurationError("held_out: all manipulations are held out: none is left to learn")
    return tuple(method for method in MANIPULATIONS if method in names)


def data_state(checkpoint: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Find what a checkpoint remembers about its data: see `DeepfakeDataModule.state_dict`.

    Args:
        checkpoint: Content of the checkpoint. Where a detector did not write it, or an older
            version did, the state is under the name of the datamodule's class, as Lightning keeps
            it, and is known by its parts.

    Returns:
        The state; None where the training had no `DeepfakeDataModule`.
    """
    for state in (checkpoint.get(DATA_STATE), *checkpoint.values()):
        if isinstance(state, Mapping) and state.keys() >= _STATE_PARTS:
            return state
    return None


def leave_out(
    records: Sequence[VideoRecord],
    splits: Splits,
    held_out: str | Sequence[str] | None,
    on_missing: OnMissing = "error",
    obtain: str = DOWNLOAD,
) -> Fold:
    """Choose the videos of a leave-one-manipulation-out experiment.

    Args:
        records: What the corpus holds, of one compression.
        splits: Who is in which split.
        held_out: The manipulation to be tested on unseen; a name, several, or none.
        on_missing: Whether videos that the splits name and the corpus lacks are an error, or are
            left out and listed in the result.
        obtain: How to get missing videos, for the message.

    Raises:
        ConfigurationError: `held_out` is not understood.
        CorpusError: Videos are missing and may not be, or training or validation is left without
            originals or without fakes.
    """
    held_out = parse_held_out(held_out)
    available = {(record.method, record.name): record for record in records}
    chosen: dict[SplitName, list[VideoRecord]] = {split: [] for split in SPLIT_NAMES}
    missing: dict[str, list[str]] = {}
    asked: dict[str, int] = {}
    for split in SPLIT_NAMES:
        for method in (ORIGINAL, *MANIPULATIONS):
            if method in held_out and split != "test":
                continue
            names = splits[split].originals if method == ORIGINAL else splits[split].fakes
            asked[method] = asked.get(method, 0) + len(names)
            for name in sorted(names):
                if record := available.get((method, name)):
                    chosen[split].append(record)
                else:
                    missing.setdefault(method, []).append(name)
    if missing and on_missing == "error":
        raise CorpusError(Missing(missing, asked).error("the splits name", obtain))
    fold = Fold(
        held_out=held_out,
        train=tuple(chosen["train"]),
        val=tuple(chosen["val"]),
        test=tuple(chosen["test"]),
        missing={method: tuple(names) for method, names in missing.items()},
    )
    _check_usable(fold)
    return fold


def _check_usable(fold: Fold) -> None:
    for split, videos in (("train", fold.train), ("val", fold.val)):
        for kind, fake in (("original", False), ("manipulated", True)):
            if not any(record.is_fake == fake for record in videos):
                raise CorpusError(
                    f"the {split} split is left without any {kind} video (manipulations in use: "
                    f"{', '.join(fold.seen)}); add videos, or change `splits` or "
                    "`held_out`"
                )
