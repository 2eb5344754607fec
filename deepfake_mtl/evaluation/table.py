"""The figures of a test as text: in the terminal and, by the same words, on the page."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from deepfake_mtl.data.records import ORIGINAL
from deepfake_mtl.evaluation.results import Results

ABSENT: Final = "\N{EN DASH}"
"""Stands for a figure that does not exist."""

SYNTHETIC: Final = "Synthetic corpus: these figures say nothing about FaceForensics++."
"""What must stand above figures of rendered videos."""

WIDTH: Final = 80

_Report = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table with two columns of figures.

    Attributes:
        name: What the figures are.
        figures: Formatted figures; in per cent where they are shares.
        held_out: Whether the line is about a manipulation that was held out.
    """

    name: str
    figures: tuple[str, str]
    held_out: bool = False


def percent(share: float | None) -> str:
    """A share in per cent with one decimal, or `ABSENT`."""
    return ABSENT if share is None else f"{100 * share:.1f}"


def threshold_of(results: Results) -> float | None:
    """The calibrated threshold, or None if there is none."""
    for report in (results["figures"]["held_out"], results["figures"]["seen"]):
        if report is not None:
            return report["threshold"]
    return None


def calibrated_name(results: Results) -> str:
    """``at 0.431`` for the calibrated threshold, or ``calibrated`` if there is none."""
    threshold = threshold_of(results)
    return "calibrated" if threshold is None else f"at {threshold:.3f}"


def seen_methods(results: Results) -> list[str]:
    """The manipulations of the test set that were not held out."""
    recall = results["figures"]["recall"]
    return [name for name, of in recall.items() if name != ORIGINAL and not of["held_out"]]


def report_rows(results: Results) -> list[Row]:
    """The figures of real against fake; columns: held out, seen."""
    at = calibrated_name(results)
    shares = {
        "accuracy": "Accuracy at 0.5",
        "balanced_accuracy": "Balanced accuracy at 0.5",
        "auc": "AUC",
        "average_precision": "Average precision",
        "eer": "Equal error rate",
        "accuracy_calibrated": f"Accuracy {at}",
        "balanced_accuracy_calibrated": f"Balanced accuracy {at}",
    }
    reports = results["figures"]["held_out"], results["figures"]["seen"]
    rows = [Row("Videos, real / fake", (_videos(reports[0]), _videos(reports[1])))]
    for key, name in shares.items():
        cells = [ABSENT if report is None else percent(report[key]) for report in reports]
        rows.append(Row(name, (cells[0], cells[1])))
    return rows


def recall_rows(results: Results) -> list[Row]:
    """The recall of each method; columns: at 0.5, at the calibrated threshold."""
    return [
        Row(
            f"{name}{', called real' if name == ORIGINAL else ''} ({recall['videos']})",
            (percent(recall["recall"]), percent(recall["recall_calibrated"])),
            recall["held_out"],
        )
        for name, recall in results["figures"]["recall"].items()
    ]


def reasons(results: Results) -> list[str]:
    """Why figures do not exist, one sentence for each cause."""
    found: list[str] = []
    causes = {
        "held_out": ("Held out", "no manipulation was held out"),
        "seen": ("Seen", "every manipulation was held out"),
    }
    reports = {"held_out": results["figures"]["held_out"], "seen": results["figures"]["seen"]}
    for key, (name, nothing) in causes.items():
        report = reports[key]
        if report is None:
            found.append(f"{name}: {nothing}.")
            continue
        lacking = [kind for kind in ("real", "fake") if not report[kind]]
        if lacking:
            found.append(f"{name}: the test set has no {' and no '.join(lacking)} videos.")
    if threshold_of(results) is None and any(reports.values()):
        found.append(
            "Calibrated: no threshold, since that needs real and fake videos in validation."
        )
    return found


def format_table(results: Results) -> str:
    """The table that ``test`` prints: at most 80 columns, no line end after the last line.

    Args:
        results: The content of ``results.json``.
    """
    lines = [SYNTHETIC] if results["corpus"]["synthetic"] else []
    seed = results["seed"]
    about = [
        f"Held out: {', '.join(results['held_out']) or 'nothing'}",
        f"Seen: {', '.join(seen_methods(results)) or 'none in the test set'}",
        f"Corpus: {results['corpus']['name']} {results['corpus']['compression']}"
        + ("" if seed is None else f", seed {seed}"),
    ]
    for line in about:
        lines += textwrap.wrap(line, WIDTH, subsequent_indent="  ")
    lines += ["", *_aligned("Figures in %", ("held out", "seen"), report_rows(results))]
    recalls = recall_rows(results)
    if recalls:
        columns = ("at 0.5", calibrated_name(results))
        lines += ["", *_aligned("Recall in % (videos)", columns, recalls)]
    notes = reasons(results)
    if notes:
        lines += ["", f"{ABSENT} means that there is no such figure."]
        for note in notes:
            lines += textwrap.wrap(note, WIDTH)
    return "\n".join(lines)


def _videos(report: _Report | None) -> str:
    return ABSENT if report is None else f"{report['real']:.0f} / {report['fake']:.0f}"


def _aligned(head: str, columns: tuple[str, str], rows: list[Row]) -> list[str]:
    named = [(row.name + (", held out" if row.held_out else ""), row.figures) for row in rows]
    cells = [(head, columns), *named]
    width = max(len(name) for name, _ in cells)
    rights = [max(12, *(len(figures[side]) + 2 for _, figures in cells)) for side in (0, 1)]
    lines = [
        f"{name:<{width}}{figures[0]:>{rights[0]}}{figures[1]:>{rights[1]}}"
        for name, figures in cells
    ]
    return [lines[0], "-" * len(lines[0]), *lines[1:]]
