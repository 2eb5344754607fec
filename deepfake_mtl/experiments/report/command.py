"""Tables, comparisons and a page of a benchmark, be it finished or not.

Writes table.md, table.csv, table.tex, report.json and report.html.
"""

# ruff: noqa: PLC0415 (what --help does without takes seconds to import: `run` imports it)

from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from deepfake_mtl.evaluation.statistics import MetricName


@dataclass(frozen=True, slots=True)
class Arguments:
    """What is reported.

    Attributes:
        runs: Folder of a benchmark.
        figure: What configurations are compared by, on the held-out tests.
        out: Where the report is written; by default into the folder of the benchmark.
    """

    runs: Path
    _: KW_ONLY
    figure: MetricName = "auc"
    out: Path | None = None


def run(arguments: Arguments) -> int:
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
