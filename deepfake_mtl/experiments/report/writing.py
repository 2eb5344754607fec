"""The files of a report."""

import json
from pathlib import Path

from deepfake_mtl.experiments.report.content import content
from deepfake_mtl.experiments.report.page import render_page
from deepfake_mtl.experiments.report.report import Report
from deepfake_mtl.experiments.report.table_files import as_csv, as_latex, as_markdown
from deepfake_mtl.util.files import write_whole


def write_report(folder: Path, report: Report) -> Path:
    """Write all files of a report.

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
