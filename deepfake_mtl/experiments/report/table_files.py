"""The tables of a benchmark as Markdown, CSV and LaTeX."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Final

from deepfake_mtl.experiments.plan import HELD_OUT
from deepfake_mtl.experiments.report.runs import Benchmark
from deepfake_mtl.experiments.report.tables import LIKE_THE_BEST, Entry, Table

CSV_COLUMNS: Final = (
    *("figure", "set", "configuration", "seeds", "planned", "mean", "deviation", "low", "high"),
    *("best", "like_the_best"),
)
"""Columns of ``table.csv`` beside those of the axes; metrics are shares in [0, 1]."""

KEY: Final = (
    "In %: mean ± deviation over seeds, and the 95 % interval by people and seeds. Bold: the "
    f"highest of a column. {LIKE_THE_BEST}: the highest is not shown to be above it."
)
UNTESTED: Final = "Differences within this table were not tested."

_LATEX: Final = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    LIKE_THE_BEST: r"\textsuperscript{\textdagger}",
    "\N{EN DASH}": "--",
    "\N{MINUS SIGN}": "$-$",
}


def as_markdown(tables: Sequence[Table], notes: Sequence[str]) -> str:
    """Return all tables, one below the other.

    Args:
        tables: One table at least.
        notes: Paragraphs that stand above them.
    """
    lines: list[str] = []
    for note in (*notes, KEY):
        lines += [_markdown(note), ""]
    for table in tables:
        lines += [f"## {table.title}", ""]
        if not table.is_tested:
            lines += [UNTESTED, ""]
        heads = ["configuration", *table.heads]
        lines += [_line(map(_markdown, heads)), _line("---" for _ in heads)]
        for name, entries in table.rows.items():
            lines.append(_line([_markdown(name), *map(_markdown_entry, entries)]))
        lines.append("")
    return "\n".join(lines)


def as_csv(benchmark: Benchmark, tables: Sequence[Table]) -> str:
    """Return all tables as one, a line for each metric.

    Args:
        benchmark: The runs, whose axes become columns; the fold ``held_out`` is empty in means over
            the folds.
        tables: The tables.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    axes = benchmark.other_axes
    writer.writerow([*CSV_COLUMNS[:3], *axes, HELD_OUT, *CSV_COLUMNS[3:]])
    settings = {benchmark.configuration(run): run.settings for run in benchmark.runs}
    for table in tables:
        for name, entries in table.rows.items():
            for fold, entry in zip(table.folds, entries, strict=True):
                writer.writerow(
                    [
                        *(table.metric, table.of, name),
                        *(settings[name][axis] for axis in axes),
                        fold or "",
                        *_csv_entry(entry),
                    ]
                )
    return text.getvalue()


def as_latex(tables: Sequence[Table], notes: Sequence[str]) -> str:
    """Return all tables as ``table`` environments, for a document that loads ``booktabs``.

    Args:
        tables: The tables.
        notes: Stand in every caption.
    """
    lines = [r"% Needs \usepackage{booktabs} and \usepackage[T1]{fontenc}.", ""]
    for table in tables:
        caption = [f"{table.title}.", *notes, KEY, *([] if table.is_tested else [UNTESTED])]
        columns = "l" + "c" * len(table.folds)
        lines += [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{' '.join(map(latex, caption))}}}",
            rf"  \begin{{tabular}}{{{columns}}}",
            r"    \toprule",
            rf"    {' & '.join(map(latex, ['configuration', *table.heads]))} \\",
            r"    \midrule",
        ]
        for name, entries in table.rows.items():
            lines.append(rf"    {' & '.join([latex(name), *map(_latex_mean, entries)])} \\")
            lines.append(rf"    {' & '.join(['', *map(_latex_rest, entries)])} \\")
        lines += [r"    \bottomrule", r"  \end{tabular}", r"\end{table}", ""]
    return "\n".join(lines)


def latex(text: str) -> str:
    """Escape what would be a command to LaTeX."""
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", " ".join(text.split()))


def _markdown_entry(entry: Entry) -> str:
    mean = f"**{entry.mean}**" if entry.is_best else entry.mean
    rest = " ".join(part for part in (entry.interval, entry.seeds) if part)
    return f"{mean}{entry.mark} {rest}".strip()


def _csv_entry(entry: Entry) -> list[object]:
    cell = entry.cell
    like_best = "" if entry.is_like_best is None else int(entry.is_like_best)
    if cell is None:
        return [0, entry.planned, "", "", "", "", 0, like_best]
    bounds = ("", "") if cell.interval is None else (cell.interval.low, cell.interval.high)
    deviation = "" if cell.deviation is None else cell.deviation
    return [
        *(cell.seeds, entry.planned, cell.mean, deviation),
        *(*bounds, int(entry.is_best), like_best),
    ]


def _latex_mean(entry: Entry) -> str:
    mean = latex(entry.mean)
    return (rf"\textbf{{{mean}}}" if entry.is_best else mean) + latex(entry.mark)


def _latex_rest(entry: Entry) -> str:
    parts = [part for part in (entry.interval, entry.seeds) if part]
    # Braces, so that no line begins with a bracket, which would be an option of \\.
    return rf"{{\footnotesize {latex(', '.join(parts))}}}" if parts else ""


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
