import getpass
import json
import math
import platform
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from deepfake_mtl.errors import DeepfakeMTLError
from deepfake_mtl.evaluation import (
    Prediction,
    Results,
    choose_examples,
    evaluate,
    read_predictions,
    write_predictions,
    write_results,
)
from deepfake_mtl.evaluation.conflict import conflict_series
from deepfake_mtl.evaluation.environment import environment
from tests.evaluation import world

THRESHOLD = 0.431


def rows(made, methods):
    chosen = [each for each in made if each.method in methods]
    return [each.label for each in chosen], np.array([each.score for each in chosen])


def test_held_out_and_seen_manipulations_each_stand_against_the_originals():
    made = world.predictions()
    metrics = evaluate(made, world.HELD_OUT, THRESHOLD)
    sets = {
        "held_out": {"original", "NeuralTextures"},
        "seen": {"original", "Deepfakes", "Face2Face", "FaceSwap"},
    }
    for name, methods in sets.items():
        labels, scores = rows(made, methods)
        expected = {
            "accuracy": sk.accuracy_score(labels, scores >= 0.5),
            "auc": sk.roc_auc_score(labels, scores),
            "average_precision": sk.average_precision_score(labels, scores),
            "balanced_accuracy_calibrated": sk.balanced_accuracy_score(labels, scores >= THRESHOLD),
            "real": 40,
            "fake": 40 * (len(methods) - 1),
        }
        assert {key: metrics[name][key] for key in expected} == pytest.approx(expected, abs=1e-9)

    for method in sets["held_out"] | sets["seen"]:
        labels, scores = rows(made, {method})
        assert metrics["recall"][method] == {
            "videos": 40,
            "recall": sk.accuracy_score(labels, scores >= 0.5),
            "recall_calibrated": sk.accuracy_score(labels, scores >= THRESHOLD),
            "held_out": method == "NeuralTextures",
        }
    confusion = metrics["readouts"]["manipulation"]["confusion"]
    names = confusion["labels"]
    taken_for = [max(names, key=lambda name: each.outputs[f"manipulation/{name}"]) for each in made]
    truth = [each.method for each in made]
    expected = sk.confusion_matrix(truth, taken_for, labels=names).tolist()
    assert confusion["counts"] == expected


def test_every_predictor_is_scored_as_scikit_learn_would():
    made = world.read_out(world.predictions())
    predictors = evaluate(made, world.HELD_OUT, THRESHOLD)["readouts"]
    assert list(predictors) == [
        *("binary", "binary_neighbours", "manipulation", "manipulation_neighbours"),
    ]
    sets = {
        "held_out": {"original", "NeuralTextures"},
        "seen": {"original", "Deepfakes", "Face2Face", "FaceSwap"},
    }
    for predictor, metrics in predictors.items():
        classes = metrics["classes"]
        binary = classes == ["real", "fake"]
        for name, methods in sets.items():
            chosen = [each for each in made if each.method in methods]
            labels = [each.label for each in chosen]
            scores = np.array([1 - each.outputs[f"{predictor}/{classes[0]}"] for each in chosen])
            expected = {
                "auc": sk.roc_auc_score(labels, scores),
                "accuracy": sk.accuracy_score(labels, scores >= 0.5),
                "accuracy_calibrated": None,
            }
            assert {key: metrics[name][key] for key in expected} == pytest.approx(expected)
        trained_on = [each for each in made if each.method in sets["seen"]]
        truth = [
            classes[each.label] if binary else each.method  # not those that were held out
            for each in trained_on
        ]
        taken_for = [
            max(classes, key=lambda name: each.outputs[f"{predictor}/{name}"])
            for each in trained_on
        ]
        recalls = sk.recall_score(truth, taken_for, labels=sorted(set(truth)), average="macro")
        assert metrics["class_accuracy"] == pytest.approx(recalls)
        assert metrics["chance"] == (1 / 2 if binary else 1 / 4)
        assert (metrics["confusion"] is None) == binary


def test_a_predictor_without_originals_has_no_auc_but_a_class_accuracy():
    made = world.read_out(world.predictions(methods=("Deepfakes", "FaceSwap", "NeuralTextures")))
    made.append(replace(made[0], key="k", method="FaceShifter"))  # which no detector is trained on
    metrics = evaluate(made, world.HELD_OUT, None)["readouts"]
    assert metrics["manipulation"]["chance"] == 1 / 2
    assert metrics["manipulation"]["class_accuracy"] > 0.8
    assert metrics["manipulation"]["held_out"]["auc"] is None
    fakes = [each.score for each in made if each.method in ("Deepfakes", "FaceSwap")]
    assert metrics["binary"]["class_accuracy"] == np.mean(np.array(fakes) > 0.5)
    held_out = [each for each in made if each.method == "NeuralTextures"]
    alone = evaluate(held_out, world.HELD_OUT, None)["readouts"]["binary"]
    assert (alone["class_accuracy"], alone["chance"]) == (None, None)


def test_a_method_that_the_head_does_not_know_has_a_row():
    made = world.predictions(videos=2, methods=("original",))
    made.append(Prediction("x/FaceShifter/c23/1", "FaceShifter", True, 0.7, 1, made[0].outputs))
    confusion = evaluate(made, ["FaceShifter"], None)["readouts"]["manipulation"]["confusion"]
    assert confusion["labels"][-1] == "FaceShifter"
    assert sum(confusion["counts"][-1]) == 1
    assert [row[-1] for row in confusion["counts"]] == [0] * 6


def test_what_does_not_exist_is_none():
    real = world.predictions(methods=("original",), head=False)
    metrics = evaluate(real, [], None)
    assert metrics["held_out"] is None
    assert metrics["readouts"] == {}
    assert metrics["seen"]["auc"] is None
    assert list(metrics["recall"]) == ["original"]
    fakes = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
    assert evaluate(world.predictions(), fakes, 0.5)["seen"] is None
    nothing = evaluate([], world.HELD_OUT, 0.5)
    assert (nothing["held_out"]["real"], nothing["recall"]) == (0, {})


def test_measured_conflicts_are_sorted_into_lines_with_gaps():
    rows = world.conflict(groups=("stem", "late"), steps=range(1, 8), gaps=(2, 3, 4))
    rows += [{**row, "tasks": ["binary", "third"]} for row in rows]
    series = conflict_series(rows[::-1])
    assert list(series) == [("binary", "third"), ("binary", "manipulation")]
    assert list(series["binary", "third"]) == ["late", "stem"]
    stem = series["binary", "manipulation"]["stem"]
    assert stem.steps == (1, 2, 3, 4, 5, 6, 7)
    cosines = np.array([row["cosine"] for row in rows[:14:2]], dtype=float)
    np.testing.assert_array_equal(stem.cosines, cosines)
    assert np.isnan(cosines).tolist() == [False, True, True, True, False, False, False]
    assert stem.mean_cosine == pytest.approx(np.nanmean(cosines))
    assert stem.share_below_zero == np.sum(cosines < 0) / 4

    blocks = stem.blocks(2)
    assert blocks.steps == (2, 4, 6, 7)
    ratios = stem.norm_ratios
    expected = [cosines[0], math.nan, np.mean(cosines[4:6]), cosines[6]]
    np.testing.assert_allclose(blocks.cosines, expected)
    expected = [ratios[0], math.nan, (ratios[4] * ratios[5]) ** 0.5, ratios[6]]
    np.testing.assert_allclose(blocks.norm_ratios, expected)
    nothing = conflict_series([{**row, "cosine": None} for row in rows])["binary", "third"]["stem"]
    assert (nothing.mean_cosine, nothing.share_below_zero) == (None, None)


def test_results_are_written_in_the_order_of_the_schema(tmp_path):
    results = world.results(world.predictions(videos=5))
    config = {"data": {"root": tmp_path, "size": 128}}
    results = {**results, "gradient_conflict": world.conflict()}
    shuffled = dict(sorted({**results, "config": config, "another": 1}.items()))
    path = write_results(tmp_path / "run", shuffled)
    read = json.loads(path.read_text(encoding="utf-8"))
    names = list(Results.__annotations__)
    assert list(read) == [*(name for name in names if name in results), "another"]
    assert names.index("gradient_conflict") == names.index("figures") + 1
    assert read["gradient_conflict"] == results["gradient_conflict"]
    assert read["figures"] == results["figures"]
    assert read["config"]["data"] == {"root": str(tmp_path), "size": 128}


def test_predictions_are_read_back_to_the_last_bit(tmp_path):
    made = world.predictions(videos=3)
    odd = 'a "quoted", <b>name</b>\nof two lines & more'
    made.append(Prediction(odd, "Face,2", True, 1e-300, 1, made[0].outputs))
    path = write_predictions(tmp_path, made[::-1])
    assert read_predictions(path) == sorted(made, key=lambda each: each.key)
    assert read_predictions(tmp_path) == read_predictions(path)
    assert path.read_text(encoding="utf-8").startswith(
        "key,method,identities,label,score,clips,manipulation/original,manipulation/Deepfakes,"
    )
    write_predictions(tmp_path, [])
    assert read_predictions(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "first line must begin with key,method"),
        ("key,label\n", "first line must begin with key,method"),
        ("key,method,identities,label,score,clips\na,b,c,1,0.5\n", "line 2"),
        ("key,method,identities,label,score,clips\na,b,c d,1,0.5,1\na,b,c,maybe,0.5,1\n", "line 3"),
        ("key,method,identities,label,score,clips\na,b,c,1,0.5,1,7\n", "line 2"),
        ("key,method,identities,label,score,clips\na,b,c,1,nan,1\n", "line 2"),
        ("key,method,identities,label,score,clips,a/b\na,b,c,1,0.5,1,inf\n", "line 2"),
    ],
)
def test_what_is_no_predictions_file_is_named(tmp_path, content, message):
    path = tmp_path / "predictions.csv"
    with pytest.raises(DeepfakeMTLError, match="no such file"):
        read_predictions(path)
    path.write_text(content)
    with pytest.raises(DeepfakeMTLError, match=message) as error:
        read_predictions(path)
    assert str(error.value).startswith(str(path))


def test_nothing_is_left_half_written(tmp_path, monkeypatch):
    made = world.predictions(videos=2)
    results = world.results(made)
    bad = Prediction("synthetic/original/c23/999", "original", False, math.nan, 1, made[0].outputs)
    with pytest.raises(DeepfakeMTLError, match="999"):
        write_predictions(tmp_path, [*made, bad])
    with pytest.raises(ValueError, match="two predictions"):
        write_predictions(tmp_path, [*made, made[0]])
    with pytest.raises(ValueError, match="other outputs"):
        write_predictions(tmp_path, [*made, Prediction("k", "original", False, 0.5, 1)])
    with pytest.raises(DeepfakeMTLError, match=r"nan at config\.lr\[1\]"):
        write_results(tmp_path, {**results, "config": {"lr": [1.0, math.nan]}})
    with pytest.raises(TypeError, match="no counterpart"):
        write_results(tmp_path, {**results, "config": object()})
    assert not list(tmp_path.iterdir())

    write_results(tmp_path, results)
    before = (tmp_path / "results.json").read_bytes()

    def full(self, target):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", full)
    for write, content in ((write_results, {}), (write_predictions, made)):
        with pytest.raises(OSError, match="disk full"):
            write(tmp_path, content)
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
    assert (tmp_path / "results.json").read_bytes() == before


def test_examples_are_chosen_by_the_rule():
    made = world.predictions(videos=30)
    chosen = choose_examples(made[::-1], world.HELD_OUT, per_class=2)
    expected = []
    seen = {"Deepfakes", "Face2Face", "FaceSwap"}
    for methods in ({"original"}, seen, {"NeuralTextures"}):
        fake = methods != {"original"}
        by_score = sorted((e for e in made if e.method in methods), key=lambda e: e.score)
        called_real = [e for e in by_score if e.score < 0.5][:2]
        called_fake = [e for e in by_score[::-1] if e.score >= 0.5][:2]
        expected += called_fake + called_real if fake else called_real + called_fake
    assert chosen == expected
    ties = [Prediction(key, "original", False, 0.1, 1) for key in "cab"]
    assert [each.key for each in choose_examples(ties, (), per_class=2)] == ["a", "b"]


def test_environment_names_versions_and_no_person():
    found = environment(torch.device("cpu"))
    assert {"python", "torch", "pytorch-lightning", "torchvision", "av", "deepfake-mtl"} <= set(
        found
    )
    assert all(isinstance(value, str) and value for value in found.values())
    text = " ".join(found.values()).split()
    assert platform.node() not in text
    assert getpass.getuser() not in text
