"""A benchmark as one HTML file that needs nothing beside it."""

import re
from collections.abc import Mapping, Sequence
from typing import Final, TypedDict

from markupsafe import Markup, escape

from deepfake_mtl.data.protocol import group_of
from deepfake_mtl.data.records import ORIGINAL
from deepfake_mtl.evaluation import table
from deepfake_mtl.evaluation.conflict_views import Conflict, conflict_views
from deepfake_mtl.evaluation.pictures import stage_svg
from deepfake_mtl.evaluation.predictions import sort_methods
from deepfake_mtl.evaluation.statistics import SIGNIFICANCE
from deepfake_mtl.experiments.plan import SEED
from deepfake_mtl.experiments.report import pictures, table_files
from deepfake_mtl.experiments.report.curves import (
    CurveMetric,
    Robustness,
    mean_conflict,
    mean_roc,
)
from deepfake_mtl.experiments.report.features import MOST_VIDEOS, Projection
from deepfake_mtl.experiments.report.matrix import Matrix, Row
from deepfake_mtl.experiments.report.published import CAVEAT, INCOMPARABLE, PUBLISHED
from deepfake_mtl.experiments.report.report import Report
from deepfake_mtl.experiments.report.tables import METRIC_TITLES, SET_TITLES
from deepfake_mtl.html.environment import template_environment
from deepfake_mtl.html.numbers import ABSENT


class _Line(TypedDict):
    name: str
    sample: Markup


class _Picture(TypedDict):
    title: str
    picture: Markup


class _Curves(TypedDict):
    title: str
    pictures: list[_Picture]


class _Conflicts(TypedDict):
    configuration: str
    conflicts: list[Conflict]


class _Cloud(TypedDict):
    fold: str
    marks: list[_Line]
    pictures: list[_Picture]


def render_page(report: Report, title: str) -> str:
    """Render the page.

    Args:
        report: What the benchmark says.
        title: The heading of the page.

    Returns:
        HTML in which every name is escaped.
    """
    benchmark = report.benchmark
    environment = template_environment("deepfake_mtl.experiments.report", "deepfake_mtl.evaluation")
    environment.filters["points"] = points
    environment.filters["p_value"] = p_value
    environment.filters["shade"] = shade
    environment.filters["breakable"] = breakable
    return environment.get_template("benchmark.html").render(
        title=title,
        report=report,
        benchmark=benchmark,
        absent=ABSENT,
        metric=METRIC_TITLES[report.metric],
        seeds=benchmark.axes.get(SEED, ["0"]),
        unfinished=[run for run in benchmark.runs if run.test is None],
        key=table_files.KEY,
        untested=table_files.UNTESTED,
        significance=SIGNIFICANCE,
        heat=_heat(report),
        averaged=[each for each in report.comparisons.all if each.fold is None],
        single=[each for each in report.comparisons.all if each.fold is not None],
        rocs=_rocs(report),
        lines=lambda name: _lines(benchmark.configurations, name),
        robustness=[_robustness(report, each) for each in report.robustness],
        conflicts=_conflicts(report),
        clouds=_clouds(report.projections),
        most_videos=MOST_VIDEOS,
        published=PUBLISHED,
        caveat=CAVEAT,
        incomparable=INCOMPARABLE if report.synthetic else None,
    )


def points(difference: float) -> str:
    """Return a difference of shares in percentage points, with its sign and one decimal."""
    return f"{100 * difference:+.1f}".replace("-", "\N{MINUS SIGN}")


def p_value(chance: float) -> str:
    """Return a p value with three decimals."""
    return "< 0.001" if chance < 0.001 else f"{chance:.3f}"


def breakable(name: str) -> Markup:
    """Escape a name, and let lines break behind its underscores, dots and commas."""
    return Markup(re.sub(r"([_.,=])", r"\1<wbr>", str(escape(name))))  # noqa: S704


def shade(share: float) -> str:
    """Return how dark a place of a heat map is: 0 up to 0.5, which is chance, and 1 at 1."""
    return f"{max(0.0, min(1.0, 2 * share - 1)):.3f}"


def _heat(report: Report) -> Matrix:
    main = report.tables[0]
    rows = [
        Row(name, [entry.cell.mean if entry.cell else None for entry in entries], frozenset())
        for name, entries in main.rows.items()
    ]
    return Matrix(main.title, main.heads, rows)


def _rocs(report: Report) -> list[_Picture]:
    benchmark = report.benchmark
    found: list[_Picture] = []
    for number, fold in enumerate(benchmark.folds):
        rates = {
            place: mean_roc(benchmark.of(name, fold))
            for place, name in enumerate(benchmark.configurations)
        }
        curves = {place: rate for place, rate in rates.items() if rate is not None}
        if curves:
            svg = pictures.rocs_svg(curves, len(rates), f"roc-{number}")
            found.append({"title": f"{fold} held out", "picture": _markup(svg)})
    return found


_CURVE_TITLES: Final[Mapping[CurveMetric, str]] = {
    "auc": "AUC",
    "recall": "Fakes called fake at 0.5",
}


def _robustness(report: Report, robustness: Robustness) -> _Curves:
    ticks = ["none" if each is None else f"{each:g}" for each in robustness.strengths]
    label = f"{robustness.treatment}, {robustness.unit}".removesuffix(", ")
    place = report.robustness.index(robustness)
    return {
        "title": table.words(robustness.treatment),
        "pictures": [
            {
                "title": f"{_CURVE_TITLES[metric]}, {SET_TITLES[of]}",
                "picture": _markup(
                    pictures.robustness_svg(
                        list(lines.values()), ticks, label, f"robustness-{place}-{metric}-{of}"
                    )
                ),
            }
            for metric, sets in robustness.metrics.items()
            for of, lines in sets.items()
        ],
    }


def _conflicts(report: Report) -> list[_Conflicts]:
    benchmark = report.benchmark
    views: list[_Conflicts] = [
        {
            "configuration": name,
            "conflicts": conflict_views(
                mean_conflict(
                    [run for fold in benchmark.folds for run in benchmark.of(name, fold)]
                ),
                f"conflict-{place}",
            ),
        }
        for place, name in enumerate(benchmark.configurations)
    ]
    return [view for view in views if view["conflicts"]]


def _clouds(projections: Sequence[Projection]) -> list[_Cloud]:
    clouds: list[_Cloud] = []
    for number, fold in enumerate(dict.fromkeys(each.fold for each in projections)):
        members = [each for each in projections if each.fold == fold]
        methods = sort_methods({method for each in members for method in each.methods})
        held_out = members[0].held_out
        clouds.append(
            {
                "fold": fold,
                "marks": [
                    {
                        "name": "originals"
                        if method == ORIGINAL
                        else method
                        + (", held out" if group_of(method, held_out) == "held_out" else ""),
                        "sample": _markup(
                            pictures.mark_svg(method, methods, held_out, f"mark-{number}-{place}")
                        ),
                    }
                    for place, method in enumerate(methods)
                ],
                "pictures": [
                    {
                        "title": f"{each.configuration}, seed {each.seed}",
                        "picture": _markup(
                            pictures.projection_svg(each, f"features-{number}-{place}")
                        ),
                    }
                    for place, each in enumerate(members)
                ],
            }
        )
    return clouds


def _lines(names: Sequence[str], name: str) -> list[_Line]:
    return [
        {"name": each, "sample": _markup(stage_svg(place, len(names), f"{name}-{place}"))}
        for place, each in enumerate(names)
    ]


def _markup(svg: str) -> Markup:
    # Drawn by this package, which escapes the names in it.
    return Markup(svg)  # noqa: S704
