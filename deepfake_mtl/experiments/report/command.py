"""Tables, comparisons and a page of a benchmark, be it finished or not.

Writes table.md, table.csv, table.tex, report.json and report.html.
"""

# ruff: noqa: PLC0415 (what --help does without takes seconds to import: `run` imports it)

import argparse
from pathlib import Path

from deepfake_mtl.evaluation.statistics import METRICS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to a parser."""
    parser.add_argument("runs", type=Path, metavar="RUNS", help="folder of a benchmark")
    parser.add_argument(
        "--figure",
        choices=METRICS,
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
    from deepfake_mtl.experiments.report.report import make_report
    from deepfake_mtl.experiments.report.writing import write_report

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
