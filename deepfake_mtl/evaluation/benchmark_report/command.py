"""Tables, comparisons and a page of a benchmark, be it finished or not.

Writes table.md, table.csv, table.tex, report.json and report.html.
"""

import argparse
import json
from pathlib import Path

from deepfake_mtl.evaluation.benchmark_report.content import content
from deepfake_mtl.evaluation.benchmark_report.page import render_page
from deepfake_mtl.evaluation.benchmark_report.report import Report, make_report
from deepfake_mtl.evaluation.benchmark_report.table_files import as_csv, as_latex, as_markdown
from deepfake_mtl.evaluation.files import write_whole
from deepfake_mtl.evaluation.statistics import FIGURES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to a parser."""
    parser.add_argument("runs", type=Path, metavar="RUNS", help="folder of a benchmark")
    parser.add_argument(
        "--figure",
        choices=FIGURES,
        default="auc",
        help="what configurations are compared by, on the held-out tests (default: %(default)s)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where to (default: the folder itself)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the report, and say what it says.

    Raises:
        DeepfakeMTLError: If the folder is not that of a benchmark.
    """
    report = make_report(arguments.runs, arguments.figure)
    page = write_report(arguments.out or arguments.runs, report)
    if report.synthetic:
        print(report.synthetic)
    print(report.progress)
    for each in report.answers:
        context = f" ({each.context})" if each.context else ""
        print(f"{each.question.text}{context} {each.text}")
    print(f"The table and a page are in {page.parent}: open {page}")
    return 0


def write_report(folder: Path, report: Report) -> Path:
    """Writes all files of a report.

    Args:
        folder: Where to; made if it is missing.
        report: What the benchmark says.

    Returns:
        The path of the page, which is written last.

    Raises:
        OSError: If a file cannot be written.
    """
    notes = [report.synthetic] if report.synthetic else []
    if not report.is_whole:
        notes.append(report.progress)
    text = json.dumps(content(report), indent=2, ensure_ascii=False, allow_nan=False)
    files = {
        "table.md": "# Benchmark\n\n" + as_markdown(report.tables, [*notes, *report.warnings]),
        "table.csv": as_csv(report.benchmark, report.tables),
        "table.tex": as_latex(report.tables, notes),
        "report.json": text + "\n",
        "report.html": render_page(report, "Benchmark: leave one manipulation out"),
    }
    for name, written in files.items():
        write_whole(folder / name, written)
    return folder / "report.html"
