"""Everything that a report says, computed once for all its forms."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deepfake_mtl.evaluation import table
from deepfake_mtl.evaluation.statistics import FEW_GROUPS, MetricName
from deepfake_mtl.experiments.report.cells import Cells
from deepfake_mtl.experiments.report.comparisons import Comparisons
from deepfake_mtl.experiments.report.curves import Robustness, read_robustness
from deepfake_mtl.experiments.report.features import Projection, read_projections
from deepfake_mtl.experiments.report.matrix import Matrix, elsewhere_matrix, train_by_test
from deepfake_mtl.experiments.report.questions import Answer, answer, further_sides
from deepfake_mtl.experiments.report.runs import Benchmark, read_benchmark
from deepfake_mtl.experiments.report.setup import Setup, read_setup
from deepfake_mtl.experiments.report.tables import Table, make_tables

PARTLY_SYNTHETIC: Final = "Some runs are of a synthetic corpus, others are not."


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What a benchmark says.

    Attributes:
        benchmark: The runs.
        metric: The one that is compared.
        groups: Number of groups of people in the tests.
        resamples: Number of resamples of them.
        tables: Configuration x fold; the first is the metric on the held-out tests.
        comparisons: Comparisons of the metric on the held-out tests.
        answers: Answers to the questions that the paper's claims are.
        matrices: Train x test, one for each configuration.
        elsewhere: Further tests, or None.
        robustness: A curve for each treatment.
        projections: Features of test videos.
        setup: With what the runs were made.
        synthetic: What to say where a corpus is synthetic, or None.
        warnings: What else a reader must know, a sentence each.
    """

    benchmark: Benchmark
    metric: MetricName
    groups: int
    resamples: int
    tables: Sequence[Table]
    comparisons: Comparisons
    answers: Sequence[Answer]
    matrices: Sequence[Matrix]
    elsewhere: Matrix | None
    robustness: Sequence[Robustness]
    projections: Sequence[Projection]
    setup: Setup
    synthetic: str | None
    warnings: Sequence[str]

    @property
    def corpora(self) -> list[str]:
        """Which corpora were tested on, with their compression."""
        corpora = [run.test.results["corpus"] for run in self.benchmark.finished if run.test]
        return list(dict.fromkeys(f"{each['name']} {each['compression']}" for each in corpora))

    @property
    def progress(self) -> str:
        """How many runs are finished, failed and missing, in words."""
        states = [run.state for run in self.benchmark.runs]
        parts = [f"{states.count('finished')} of {len(states)} runs are finished"]
        if states.count("failed"):
            parts.append(f"{states.count('failed')} failed")
        if states.count("missing"):
            parts.append(f"{states.count('missing')} are missing")
        return ", ".join(parts) + "."

    @property
    def is_whole(self) -> bool:
        """Whether every run is finished."""
        return len(self.benchmark.finished) == len(self.benchmark.runs)


def make_report(folder: Path, metric: MetricName, resamples: int = 2000) -> Report:
    """Read a benchmark and compute everything.

    Args:
        folder: Folder of the benchmark.
        metric: What is compared.
        resamples: Number of resamples of the test people.

    Raises:
        DeepfakeMTLError: If there is no plan in the folder.
    """
    benchmark = read_benchmark(folder)
    cells = Cells(benchmark, resamples)
    comparisons = Comparisons(benchmark, cells, metric, further_sides(benchmark))
    tables = make_tables(benchmark, cells, metric, comparisons)
    robustness, spoiled = read_robustness(benchmark)
    projections, unreadable = read_projections(benchmark)
    setup = read_setup(benchmark)
    unreadable += spoiled + [message for run in benchmark.runs for message in run.unreadable]
    return Report(
        benchmark,
        metric,
        cells.bootstrap.groups,
        resamples,
        tables,
        comparisons,
        answer(benchmark, comparisons),
        train_by_test(benchmark),
        elsewhere_matrix(benchmark, metric),
        robustness,
        projections,
        setup,
        _synthetic(benchmark),
        [
            *_warnings(benchmark, tables[0], cells.bootstrap.groups, setup),
            *(f"Left out: {message}" for message in unreadable),
        ],
    )


def _synthetic(benchmark: Benchmark) -> str | None:
    found = {run.test.results["corpus"]["synthetic"] for run in benchmark.finished if run.test}
    if True not in found:
        return None
    return table.SYNTHETIC if found == {True} else f"{PARTLY_SYNTHETIC} {table.SYNTHETIC}"


def _warnings(benchmark: Benchmark, main: Table, groups: int, setup: Setup) -> list[str]:
    found = []
    cells = [entry.cell for row in main.rows.values() for entry in row if entry.cell]
    if cells and groups < FEW_GROUPS:
        found.append(
            f"The test videos show only {groups} groups of people who share no video: the "
            "intervals are too narrow, and hardly any difference can be shown."
        )
    if any(cell.seeds == 1 for cell in cells):
        found.append(
            "Some metrics are of a single seed: their intervals leave out what another seed would "
            "give, and no difference to them can be shown."
        )
    dropped = max((cell.estimate.dropped for cell in cells), default=0)
    if dropped:
        found.append(
            f"Up to {dropped} of {len(cells[0].estimate.draws)} resamples had no original or no "
            "fake, and were dropped."
        )
    for fold in benchmark.folds:
        tests = [
            frozenset(each.key for each in run.test.predictions)
            for run in benchmark.finished
            if run.test and run.fold == fold
        ]
        if len(set(tests)) > 1:
            some = len(frozenset.union(*tests)) - len(frozenset.intersection(*tests))
            found.append(
                f"Without {fold}, the runs were not tested on the same videos: {some} are missing "
                "in some of them."
            )
    others = [name for name, versions in setup.versions.items() if len(versions) > 1]
    if others:
        found.append(f"The runs differ in versions: {', '.join(others)}.")
    return found
