from dataclasses import replace

import pytest

from deepfake_mtl.data.records import MANIPULATIONS
from deepfake_mtl.evaluation import format_table
from deepfake_mtl.html.numbers import ABSENT
from tests.evaluation import world


def cells(text):
    """Lines of the table by name, split where two or more blanks are."""
    lines = [line.split("  ") for line in text.splitlines()]
    parts = [[part.strip() for part in line if part.strip()] for line in lines]
    return {line[0]: line[1:] for line in parts if len(line) > 1}


def test_the_table_holds_all_figures_side_by_side():
    made = world.predictions()
    results = world.results(made)
    text = format_table(results)
    assert text.splitlines()[0].startswith("Synthetic corpus")
    assert max(map(len, text.splitlines())) <= 80
    table = cells(text)
    names = {
        "accuracy": "Accuracy at 0.5",
        "balanced_accuracy": "Balanced accuracy at 0.5",
        "recall": "Recall of fakes at 0.5",
        "auc": "AUC",
        "average_precision": "Average precision",
        "eer": "Equal error rate",
        "accuracy_calibrated": "Accuracy at 0.431",
        "balanced_accuracy_calibrated": "Balanced accuracy at 0.431",
    }
    metrics = results["figures"]
    for key, name in names.items():
        sides = metrics["held_out"][key], metrics["seen"][key]
        assert table[name] == [f"{100 * side:.1f}" for side in sides]
    assert table["Videos, real / fake"] == ["40 / 40", "40 / 120"]
    recall = metrics["recall"]["NeuralTextures"]
    assert table["NeuralTextures (40), held out"] == [
        f"{100 * recall['recall']:.1f}",
        f"{100 * recall['recall_calibrated']:.1f}",
    ]


def test_predictors_stand_below_each_other_where_there_are_several():
    made = world.read_out(world.predictions())
    results = world.results(made)
    text = format_table(results)
    assert max(map(len, text.splitlines())) <= 80
    table = cells(text)
    for name, title in {
        "binary": "binary, probe",
        "binary_neighbours": "binary, neighbours",
        "manipulation": "manipulation, probe",
        "manipulation_neighbours": "manipulation, neighbours",
    }.items():
        predictor = results["figures"]["readouts"][name]
        shares = [predictor[of][key] for of in ("held_out", "seen") for key in ("auc", "accuracy")]
        shares += [predictor["class_accuracy"], predictor["chance"]]
        assert table[title] == [f"{100 * share:.1f}" for share in shares]
    assert "first one, binary, probe." in text

    long = "a_task_with_a_name_that_is_longer_than_any_table_is_wide"
    made = [
        replace(each, outputs={f"{long}/real": 0.5, f"{long}/fake": 0.5} | each.outputs)
        for each in world.predictions(videos=2)
    ]
    text = format_table(world.results(made))
    assert max(map(len, text.splitlines())) <= 80
    assert "Neighbours:" not in text
    assert cells(text)["manipulation"][-1] == "25.0"
    assert "Predictors" not in format_table(world.results(world.predictions(videos=2)))


def test_a_real_corpus_is_not_called_synthetic():
    corpus = {"name": "faceforensics", "compression": "c40", "synthetic": False}
    text = format_table(world.results(world.predictions(videos=2), corpus=corpus))
    assert text.startswith("Held out: NeuralTextures\n")
    assert "ynthetic" not in text


@pytest.mark.parametrize(
    ("made", "held_out", "threshold", "reasons"),
    [
        (
            world.predictions(videos=3, methods=("original",)),
            (),
            None,
            ["no manipulation was held out", "Seen: the test set has no fake", "no threshold"],
        ),
        (
            world.predictions(videos=3, methods=MANIPULATIONS),
            MANIPULATIONS,
            0.5,
            ["Held out: the test set has no real videos", "every manipulation was held out"],
        ),
        ([], world.HELD_OUT, None, ["Held out: the test set has no real and no fake videos"]),
    ],
)
def test_figures_that_do_not_exist_have_a_reason(made, held_out, threshold, reasons):
    text = format_table(world.results(made, held_out, threshold))
    for reason in reasons:
        assert reason in text
    assert cells(text)["AUC"] == [ABSENT, ABSENT]
    assert max(map(len, text.splitlines())) <= 80
    assert "nan" not in text.lower().split()


def test_a_whole_table_needs_no_reasons():
    assert ABSENT not in format_table(world.results(world.predictions()))
