"""The paper's claims (arXiv 2308.13503) as questions to a benchmark."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from deepfake_mtl.experiments.plan import LOSSES
from deepfake_mtl.experiments.report.comparisons import Comparison, Comparisons, Side
from deepfake_mtl.experiments.report.runs import Benchmark


@dataclass(frozen=True, slots=True)
class Question:
    """A claim of the paper.

    Attributes:
        text: The claim as a question.
        first: The losses that are claimed to differ; of several, the mean.
        second: From these.
        per_fold: Whether the claim is about single manipulations, not about their mean.
        better: The answer where the first is shown to be above the second.
        worse: The answer where it is shown to be below.
    """

    text: str
    first: Side
    second: Side
    per_fold: bool
    better: str
    worse: str


QUESTIONS: Final = (
    Question(
        "Does naming the manipulation by cross-entropy as a second task help binary cross-entropy?",
        ("binary_ce_manipulation_ce",),
        ("binary_ce",),
        per_fold=False,
        better="Yes.",
        worse="No, it hurts.",
    ),
    Question(
        "Does contrast help with some manipulations and not with others, against cross-entropy?",
        ("binary_con",),
        ("binary_ce",),
        per_fold=True,
        better="It helps",
        worse="It hurts",
    ),
    Question(
        "Does mixing the two kinds of loss hurt?",
        ("binary_ce_manipulation_con", "binary_con_manipulation_ce"),
        ("binary_ce_manipulation_ce", "binary_con_manipulation_con"),
        per_fold=False,
        better="No, it helps.",
        worse="Yes.",
    ),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a benchmark says to a question.

    Attributes:
        question: The question.
        context: What else is the same on both sides, such as ``separate_encoders=true``;
            empty if there are no further axes.
        text: The answer, in words.
        comparisons: What it rests on; none if it cannot be answered.
    """

    question: Question
    context: str
    text: str
    comparisons: Sequence[Comparison]


def further_sides(benchmark: Benchmark) -> list[tuple[Side, Side]]:
    """Return the sides that the questions compare beyond pairs of configurations."""
    return [
        (_named(question.first, names), _named(question.second, names))
        for names in _contexts(benchmark).values()
        for question in QUESTIONS
        if len(question.first) > 1 and {*question.first, *question.second} <= names.keys()
    ]


def answer(benchmark: Benchmark, comparisons: Comparisons) -> list[Answer]:
    """Answer every question, as far as the runs allow.

    Args:
        benchmark: The runs.
        comparisons: Comparisons of the configurations, and those of `further_sides`.

    Returns:
        For each setting of the further axes the answers in the order of `QUESTIONS`.
    """
    return [
        _answer(benchmark, comparisons, question, context, names)
        for context, names in _contexts(benchmark).items()
        for question in QUESTIONS
    ]


def _answer(
    benchmark: Benchmark,
    comparisons: Comparisons,
    question: Question,
    context: str,
    names: Mapping[str, str],
) -> Answer:
    absent = [name for name in (*question.first, *question.second) if name not in names]
    if absent:
        text = f"Cannot be answered: {', '.join(absent)} {_is(absent)} not in the plan."
        return Answer(question, context, text, ())
    sides = _named(question.first, names), _named(question.second, names)
    several = question.per_fold and len(benchmark.folds) > 1
    folds: list[str | None] = [*benchmark.folds] if several else [None]
    found = [comparisons.find(*sides, fold) for fold in folds]
    rests_on = [each for each in found if each is not None]
    if len(rests_on) < len(found):
        missing = [
            f"{configuration} without {fold}"
            for configuration in (*sides[0], *sides[1])
            for fold in benchmark.folds
            if not any(run.test for run in benchmark.of(configuration, fold))
        ]
        why = f"runs missing: {'; '.join(missing)}" if missing else "the metric does not exist"
        return Answer(question, context, f"Cannot be answered: {why}.", ())
    text = _per_fold(question, sides[0], rests_on) if several else _one(question, *sides, rests_on)
    return Answer(question, context, text, rests_on)


def _one(question: Question, first: Side, second: Side, found: Sequence[Comparison]) -> str:
    (comparison,) = found
    if comparison.above == first:
        return question.better
    return question.worse if comparison.above == second else f"{_sentence(comparison.verdict)}."


def _per_fold(question: Question, first: Side, found: Sequence[Comparison]) -> str:
    better = [str(each.fold) for each in found if each.above == first]
    worse = [str(each.fold) for each in found if each.is_shown and each.above != first]
    rest = [str(each.fold) for each in found if not each.is_shown]
    parts = [
        f"{verb} with {', '.join(folds)}."
        for verb, folds in (
            (question.better, better),
            (question.worse, worse),
            ("No difference shown", rest),
        )
        if folds
    ]
    if better and worse:
        return f"Yes. {' '.join(parts)}"
    if better and rest:
        parts.append("That nothing is shown does not mean that there is nothing.")
    return " ".join(parts)


def _contexts(benchmark: Benchmark) -> dict[str, dict[str, str]]:
    """Return the configuration with each loss, for each setting of the further axes."""
    found: dict[str, dict[str, str]] = {}
    if LOSSES not in benchmark.axes:
        return found
    for run in benchmark.runs:
        names = found.setdefault(", ".join(benchmark.further(run)), {})
        names[run.settings[LOSSES]] = benchmark.configuration(run)
    return found


def _named(losses: Side, names: Mapping[str, str]) -> Side:
    return tuple(names[name] for name in losses)


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
