from dataclasses import replace

import numpy as np
import pytest

from deepfake_mtl.data.records import MANIPULATIONS
from deepfake_mtl.experiments.report.report import make_report
from tests.experiments.report import made_up


def predictor(quality, noise=0.02):
    """Scores whose logits of held-out fakes stand out as given, by losses and fold."""

    def predict(losses, held_out, seed, videos):
        generator = np.random.default_rng([seed, len(losses), MANIPULATIONS.index(held_out)])
        luck = generator.normal(0, noise)
        faces = np.random.default_rng(0).normal(0, 0.5, videos)
        made = []
        for each in made_up.world.predictions(videos=videos):
            shift = quality(losses, held_out) + luck if each.label else 0
            logit = shift + faces[int(each.identities[0])] + generator.normal(0, 0.7) - 1
            made.append(replace(each, score=float(1 / (1 + np.exp(-logit))), outputs={}))
        return made

    return predict


def answers(tmp_path, quality, **options):
    runs = made_up.write_benchmark(
        tmp_path / "runs",
        **{
            "held_out": ("FaceSwap", "Deepfakes"),
            "seeds": (0, 1, 2),
            "videos": 60,
            "predict": predictor(quality),
            **options,
        },
    )
    return make_report(runs, "auc", resamples=300)


def test_claims_are_found_where_they_hold(tmp_path):
    def quality(losses, held_out):
        if losses == "binary_con":  # helps with the one and hurts with the other
            return 3.5 if held_out == "FaceSwap" else 0.2
        mixed = losses in ("binary_ce_manipulation_con", "binary_con_manipulation_ce")
        return 0.3 if mixed else 3.0 if "manipulation" in losses else 1.2

    report = answers(tmp_path, quality)
    assert [each.text for each in report.answers] == [
        "Yes.",
        "Yes. It helps with FaceSwap. It hurts with Deepfakes.",
        "Yes.",
    ]
    (helps,) = report.answers[0].comparisons
    assert helps.above == ("binary_ce_manipulation_ce",)
    assert helps.difference.interval.low > 0
    assert helps.verdict == "binary_ce_manipulation_ce above binary_ce"
    (mixed,) = report.answers[2].comparisons
    assert mixed.difference.interval.high < 0

    # Holm: the least p of a family is multiplied by its size. 15 pairs; the third question's, too.
    for family, size in ((True, 16), (False, 30)):
        members = [c for c in report.comparisons.all if (c.fold is None) == family]
        assert len(members) == size
        least = min(members, key=lambda each: each.difference.p_value)
        assert least.corrected == pytest.approx(min(size * least.difference.p_value, 1))
    assert len(report.comparisons.all) == 15 * 3 + 1
    # Marked is who cannot be told from the best, and nobody else.
    for column in range(3):
        entries = {name: row[column] for name, row in report.tables[0].rows.items()}
        (best,) = [name for name, entry in entries.items() if entry.is_best]
        fold = report.tables[0].folds[column]
        for name, entry in entries.items():
            if name == best:
                assert entry.is_like_best is None
            else:
                shown = report.comparisons.find((best,), (name,), fold).is_shown
                assert entry.is_like_best == (not shown)
        assert any(entry.is_like_best is False for entry in entries.values())


def test_the_opposite_is_found_where_it_holds(tmp_path):
    def quality(losses, _):
        mixed = losses in ("binary_ce_manipulation_con", "binary_con_manipulation_ce")
        return 3.0 if mixed or losses == "binary_ce" else 0.4

    report = answers(tmp_path, quality)
    assert report.answers[0].text == "No, it hurts."
    assert report.answers[1].text == "It hurts with FaceSwap, Deepfakes."
    assert report.answers[2].text == "No, it helps."


def test_nothing_is_claimed_where_there_is_nothing(tmp_path):
    report = answers(tmp_path, lambda *_: 1.2)
    assert [each.text for each in report.answers] == [
        "No difference shown.",
        "No difference shown with FaceSwap, Deepfakes.",
        "No difference shown.",
    ]
    assert not any(each.is_shown for each in report.comparisons.all)


def test_a_single_seed_shows_nothing_however_large(tmp_path):
    report = answers(tmp_path, lambda losses, _: 0.2 + 3 * ("manip" in losses), seeds=(0,))
    (comparison,) = report.answers[0].comparisons
    assert comparison.corrected < 0.05
    assert report.answers[0].text == "No difference shown (a single seed cannot show any)."
    assert not any(each.is_shown for each in report.comparisons.all)


def test_further_axes_make_configurations_and_ask_anew(tmp_path):
    report = answers(
        tmp_path,
        lambda losses, _: 0.2 + 3 * ("manip" in losses),
        losses=("binary_ce", "binary_ce_manipulation_ce"),
        more_axes={"model.separate_encoders": [False, True], "data.size": [64]},
        videos=40,
    )
    benchmark = report.benchmark
    assert benchmark.configurations == [
        f"{losses}, separate_encoders={separate}"
        for losses in ("binary_ce", "binary_ce_manipulation_ce")
        for separate in ("false", "true")
    ]
    assert [(each.context, each.text) for each in report.answers if each.comparisons] == [
        (f"separate_encoders={separate}", "Yes.") for separate in ("false", "true")
    ]


def test_without_an_axis_of_losses_nothing_is_asked(tmp_path):
    runs = made_up.write_benchmark(tmp_path, ("binary_ce",), ("FaceSwap",), seeds=(0, 1), videos=8)
    plan = (runs / "plan.json").read_text().replace('"losses"', '"data.size"')
    (runs / "plan.json").write_text(plan)
    report = make_report(runs, "auc", resamples=50)
    assert report.answers == []
    assert report.benchmark.configurations == ["all runs"]
    assert report.tables[0].folds == ["FaceSwap"]


@pytest.mark.parametrize("metric", ["accuracy", "accuracy_calibrated"])
def test_another_metric_can_be_compared(tmp_path, metric):
    runs = made_up.write_benchmark(tmp_path, made_up.LOSSES[:2], ("FaceSwap",), videos=8)
    report = make_report(runs, metric, resamples=50)
    assert (report.tables[0].metric, report.tables[0].of) == (metric, "held_out")
    assert report.tables[0].is_tested
    assert not report.tables[1].is_tested
    assert len(report.tables) == 6
