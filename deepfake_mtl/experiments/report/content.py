"""The content of ``report.json``."""

from collections.abc import Mapping
from typing import Final

from deepfake_mtl.evaluation.statistics import LEVEL, Interval
from deepfake_mtl.experiments.report.comparisons import Comparison
from deepfake_mtl.experiments.report.curves import Robustness
from deepfake_mtl.experiments.report.matrix import as_json
from deepfake_mtl.experiments.report.published import CAVEAT, PUBLISHED
from deepfake_mtl.experiments.report.report import Report
from deepfake_mtl.experiments.report.tables import Entry, Table

SCHEMA_VERSION: Final = 1
"""Raised whenever a key of ``report.json`` changes its meaning or its place."""


def content(report: Report) -> dict[str, object]:
    """Return everything in plain values; a metric that does not exist is None."""
    benchmark, setup = report.benchmark, report.setup
    return {
        "schema_version": SCHEMA_VERSION,
        "synthetic": report.synthetic,
        "corpora": report.corpora,
        "command": benchmark.command,
        "axes": dict(benchmark.axes),
        "figure": report.metric,
        "level": LEVEL,
        "groups_of_people": report.groups,
        "resamples": report.resamples,
        "warnings": list(report.warnings),
        "runs": [
            {
                "name": run.name,
                "configuration": benchmark.configuration(run),
                "held_out": run.fold,
                "seed": run.seed,
                "state": run.state,
                "reason": run.reason,
            }
            for run in benchmark.runs
        ],
        "figures": [row for table in report.tables for row in _rows(table)],
        "comparisons": [_comparison(each) for each in report.comparisons.all],
        "questions": [
            {
                "question": each.question.text,
                "context": each.context,
                "answer": each.text,
                "comparisons": [_comparison(comparison) for comparison in each.comparisons],
            }
            for each in report.answers
        ],
        "train_by_test": [as_json(matrix) for matrix in report.matrices],
        "tested_elsewhere": report.elsewhere and as_json(report.elsewhere),
        "robustness": [_robustness(each) for each in report.robustness],
        "setup": {
            "same": dict(setup.same),
            "differing": {each.key: dict(each.values) for each in setup.differing},
            "versions": {name: dict(of) for name, of in setup.versions.items()},
            "videos": {
                fold: [
                    {split: {"real": real, "fake": fake} for split, (real, fake) in of.items()}
                    for of in some
                ]
                for fold, some in setup.counts.items()
            },
            "missing": dict(setup.missing),
            "corrupt": list(setup.corrupt),
        },
        "published": {
            "caveat": CAVEAT,
            "rows": [
                {
                    "method": each.method,
                    "measure": each.measure,
                    "figures_in_percent": dict(each.metrics),
                    "source": each.source,
                    "caveat": each.caveat,
                }
                for each in PUBLISHED
            ],
        },
    }


def _rows(table: Table) -> list[dict[str, object]]:
    return [
        {
            "figure": table.metric,
            "set": table.of,
            "configuration": name,
            "held_out": fold,
            **_entry(entry),
        }
        for name, entries in table.rows.items()
        for fold, entry in zip(table.folds, entries, strict=True)
    ]


def _entry(entry: Entry) -> dict[str, object]:
    cell = entry.cell
    return {
        "planned_seeds": entry.planned,
        "seeds": cell.seeds if cell else 0,
        "by_seed": dict(cell.by_seed) if cell else {},
        "mean": cell.mean if cell else None,
        "deviation": cell.deviation if cell else None,
        "interval": _interval(cell.interval if cell else None),
        "dropped_resamples": cell.estimate.dropped if cell else None,
        "best": entry.is_best,
        "like_the_best": entry.is_like_best,
    }


def _comparison(comparison: Comparison) -> dict[str, object]:
    return {
        "first": list(comparison.first),
        "second": list(comparison.second),
        "held_out": comparison.fold,
        "difference": comparison.difference.value,
        "interval": _interval(comparison.difference.interval),
        "p": comparison.difference.p_value,
        "p_corrected": comparison.corrected,
        "verdict": comparison.verdict,
        "shown": comparison.is_shown,
    }


def _robustness(robustness: Robustness) -> Mapping[str, object]:
    return {
        "treatment": robustness.treatment,
        "unit": robustness.unit,
        "strengths": list(robustness.strengths),
        "figures": {
            metric: {
                of: {name: list(values) for name, values in lines.items()}
                for of, lines in sets.items()
            }
            for metric, sets in robustness.metrics.items()
        },
    }


def _interval(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]
