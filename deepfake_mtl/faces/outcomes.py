"""What became of the videos of a corpus in a store: report.csv, and a sentence that sums it up."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from deepfake_mtl.data.missing import find_missing
from deepfake_mtl.data.store.folder import REPORT
from deepfake_mtl.data.store.upkeep import STALE
from deepfake_mtl.util.files import open_whole

NOT_THERE: Final = "not in the corpus, though its lists, or the videos of other methods, ask for it"
GONE: Final = f"not in the corpus any more: its crops are in the folder {STALE}, and not trained on"

Status = Literal["prepared", "left out", "missing", "set aside"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one video.

    Attributes:
        key: Key of the video.
        status: Whether the store has its crops.
        reason: Why it has not, or which masks it lacks; else empty.
        boxes_from: Key of the video whose boxes were used; empty where there are no crops.
    """

    key: str
    status: Status
    reason: str = ""
    boxes_from: str = ""


def write_report(out: Path, outcomes: Iterable[Outcome]) -> None:
    """Write ``report.csv``.

    Raises:
        CorpusError: It cannot be written.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["key", "status", "reason", "boxes_from"])
    for each in outcomes:
        table.writerow([each.key, each.status, each.reason, each.boxes_from])
    with open_whole(out / REPORT) as file:
        file.append(text.getvalue().encode())


def summarise(out: Path, outcomes: Sequence[Outcome]) -> str:
    """Say in a sentence how many videos are in a store, and how many are not."""
    keys: dict[Status, list[str]] = {}
    for each in outcomes:
        keys.setdefault(each.status, []).append(each.key)
    prepared, left_out, absent, aside = (
        keys.get(status, []) for status in ("prepared", "left out", "missing", "set aside")
    )
    parts = [f"{len(prepared)} videos are in {out}"]
    if left_out:
        parts.append(f"{len(left_out)} were left out")
    if absent:
        counts = find_missing([*prepared, *left_out, *absent], {*prepared, *left_out}).counts()
        parts.append(f"{len(absent)} are missing in the corpus ({', '.join(counts)})")
    if aside:
        parts.append(f"crops of {len(aside)} that the corpus does not have are set aside")
    lacking = sum(each.status == "prepared" and bool(each.reason) for each in outcomes)
    if lacking:
        parts.append(f"{lacking} have masks that do not fit")
    if len(parts) == 1:
        return f"{parts[0]}; none was left out"
    return f"{'; '.join(parts)}: {out / REPORT} says why"
