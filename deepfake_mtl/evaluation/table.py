"""The metrics of a test as text: in the terminal and, by the same words, on the page."""

import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from deepfake_mtl.data.records import ORIGINAL
from deepfake_mtl.evaluation.results import Results
from deepfake_mtl.html.numbers import ABSENT, percent
from deepfake_mtl.metrics.names import NEIGHBOURS

SYNTHETIC: Final = "Synthetic corpus: these figures say nothing about FaceForensics++."
"""What must stand above metrics of rendered videos."""

PARTIAL: Final = "A part of the test only: {batches} of {of} batches."
"""What must stand above metrics of some of the test videos."""

WIDTH: Final = 80

_Report = Mapping[str, float | None]


PREDICTOR_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "held out": ("AUC", "accuracy"),
    "seen": ("AUC", "accuracy"),
    "class": ("accuracy", "chance"),
}
"""What the cells of `predictor_rows` are, by what they are of."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table.

    Attributes:
        name: What the cells are.
        cells: Formatted numbers; in per cent where they are shares.
        held_out: Whether the line is about a manipulation that was held out.
    """

    name: str
    cells: tuple[str, ...]
    held_out: bool = False


def threshold_of(results: Results) -> float | None:
    """Return the calibrated threshold, or None if there is none."""
    for report in (results["figures"]["held_out"], results["figures"]["seen"]):
        if report is not None:
            return report["threshold"]
    return None


def calibrated_name(results: Results) -> str:
    """Return ``at 0.431`` for the calibrated threshold, or ``calibrated`` if there is none."""
    threshold = threshold_of(results)
    return "calibrated" if threshold is None else f"at {threshold:.3f}"


def seen_methods(results: Results) -> list[str]:
    """Return the manipulations of the test set that were not held out."""
    recall = results["figures"]["recall"]
    return [name for name, of in recall.items() if name != ORIGINAL and not of["held_out"]]


def report_rows(results: Results) -> list[Row]:
    """Return the metrics of real against fake; columns: held out, seen."""
    at = calibrated_name(results)
    shares = {
        "accuracy": "Accuracy at 0.5",
        "balanced_accuracy": "Balanced accuracy at 0.5",
        "recall": "Recall of fakes at 0.5",
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
    """Return the recall of each method; columns: at 0.5, at the calibrated threshold."""
    return [
        Row(
            f"{name}{', called real' if name == ORIGINAL else ''} ({recall['videos']})",
            (percent(recall["recall"]), percent(recall["recall_calibrated"])),
            recall["held_out"],
        )
        for name, recall in results["figures"]["recall"].items()
    ]


def predictor_rows(results: Results) -> list[Row]:
    """Return the metrics of each predictor, `PREDICTOR_COLUMNS`; none where there is but one."""
    predictors = results["figures"]["readouts"]
    if len(predictors) < 2:
        return []
    rows = []
    for name, predictor in predictors.items():
        shares = [
            None if report is None else report[key]
            for report in (predictor["held_out"], predictor["seen"])
            for key in ("auc", "accuracy")
        ]
        shares += [predictor["class_accuracy"], predictor["chance"]]
        rows.append(Row(predictor_title(name, predictors), tuple(map(percent, shares))))
    return rows


def predictor_title(name: str, predictors: Collection[str]) -> str:
    """Name a predictor for people: ``binary, neighbours`` for ``binary_neighbours``.

    Args:
        name: The predictor.
        predictors: All of them. One beside whose task's neighbours it stands is called a probe.
    """
    title = words(name.removesuffix(NEIGHBOURS))
    if name.endswith(NEIGHBOURS):
        return f"{title}, neighbours"
    return f"{title}, probe" if name + NEIGHBOURS in predictors else title


def predictor_notes(results: Results) -> list[str]:
    """Say what the rows of `predictor_rows` are, one sentence each; there must be a predictor."""
    predictors = results["figures"]["readouts"]
    first = next(iter(predictors))
    notes = [
        f"The score of a video is that of the first one, {predictor_title(first, predictors)}."
    ]
    if any(name.endswith(NEIGHBOURS) for name in predictors):
        notes += [
            "Probe: an MLP on the detached features of a task that is learned by contrast.",
            "Neighbours: a vote of the nearest keys in the queue of that task.",
        ]
    return [
        *notes,
        "Held out and seen: real against fake, accuracy at 0.5.",
        "Class accuracy: mean of the classes' shares called right, without what was held out.",
    ]


def words(name: str) -> str:
    """Return a name from the code, such as that of a task, for people."""
    return name.replace("_", " ")


def reasons(results: Results) -> list[str]:
    """Say why metrics do not exist, one sentence for each cause."""
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
    """Return the table that ``test`` prints: at most 80 columns, no line end after the last line.

    Args:
        results: The content of ``results.json``.
    """
    lines = [SYNTHETIC] if results["corpus"]["synthetic"] else []
    if "partial" in results:
        lines.append(PARTIAL.format(**results["partial"]))
    seed = results["seed"]
    about = [
        f"Held out: {', '.join(results['held_out']) or 'nothing'}",
        f"Seen: {', '.join(seen_methods(results)) or 'none in the test set'}",
        f"Corpus: {results['corpus']['name']} {results['corpus']['compression']}"
        + ("" if seed is None else f", seed {seed}"),
    ]
    for line in about:
        lines += textwrap.wrap(line, WIDTH, subsequent_indent="  ")
    heads = [Row("Metrics in %", ("held out", "seen"))]
    lines += ["", *_aligned(heads, report_rows(results))]
    recalls = recall_rows(results)
    if recalls:
        heads = [Row("Recall in % (videos)", ("at 0.5", calibrated_name(results)))]
        lines += ["", *_aligned(heads, recalls)]
    predictors = predictor_rows(results)
    if predictors:
        heads = [
            Row("", tuple(of for of, names in PREDICTOR_COLUMNS.items() for _ in names)),
            Row("Predictors in %", sum(PREDICTOR_COLUMNS.values(), ())),
        ]
        lines += ["", *_aligned(heads, predictors, least=7)]
        for note in predictor_notes(results):
            lines += textwrap.wrap(note, WIDTH, subsequent_indent="  ")
    notes = reasons(results)
    if notes:
        lines += ["", f"{ABSENT} means that there is no such metric."]
        for note in notes:
            lines += textwrap.wrap(note, WIDTH)
    return "\n".join(lines)


def _videos(report: _Report | None) -> str:
    return ABSENT if report is None else f"{report['real']:.0f} / {report['fake']:.0f}"


def _aligned(heads: Sequence[Row], rows: Sequence[Row], least: int = 12) -> list[str]:
    """Return the lines of a table whose columns of numbers have at least the given width."""
    table = [*heads, *rows]
    columns = zip(*(row.cells for row in table), strict=True)
    rights = [max(least, *(len(cell) + 2 for cell in column)) for column in columns]
    names = [row.name + (", held out" if row.held_out else "") for row in table]
    width = min(max(map(len, names)), WIDTH - sum(rights))
    lines: list[str] = []
    for number, (name, row) in enumerate(zip(names, table, strict=True)):
        if number == len(heads):
            lines.append("-" * (width + sum(rights)))
        first, *rest = textwrap.wrap(name, width) or [""]
        numbers = "".join(map(str.rjust, row.cells, rights))
        lines += [f"{first:<{width}}{numbers}", *rest]
    return lines
