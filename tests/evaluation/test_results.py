import getpass
import json
import math
import platform
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk

from deepfake_mtl.errors import DeepfakeMTLError
from deepfake_mtl.evaluation import (
    Prediction,
    choose_examples,
    environment,
    evaluate,
    read_predictions,
    write_predictions,
    write_results,
)
from tests.evaluation import world

THRESHOLD = 0.431


def rows(made, methods):
    chosen = [each for each in made if each.method in methods]
    return [each.label for each in chosen], np.array([each.score for each in chosen])


def test_held_out_and_seen_manipulations_each_stand_against_the_originals():
    made = world.predictions()
    figures = evaluate(made, world.HELD_OUT, THRESHOLD)
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
        assert {key: figures[name][key] for key in expected} == pytest.approx(expected, abs=1e-9)

    for method in sets["held_out"] | sets["seen"]:
        labels, scores = rows(made, {method})
        assert figures["recall"][method] == {
            "videos": 40,
            "recall": sk.accuracy_score(labels, scores >= 0.5),
            "recall_calibrated": sk.accuracy_score(labels, scores >= THRESHOLD),
            "held_out": method == "NeuralTextures",
        }
    names = figures["confusion"]["labels"]
    taken_for = [max(names, key=lambda name: each.outputs[f"manipulation/{name}"]) for each in made]
    truth = [each.method for each in made]
    expected = sk.confusion_matrix(truth, taken_for, labels=names).tolist()
    assert figures["confusion"]["counts"] == expected


def test_a_method_that_the_head_does_not_know_has_a_row():
    made = world.predictions(videos=2, methods=("original",))
    made.append(Prediction("x/FaceShifter/c23/1", "FaceShifter", True, 0.7, 1, made[0].outputs))
    confusion = evaluate(made, ["FaceShifter"], None)["confusion"]
    assert confusion["labels"][-1] == "FaceShifter"
    assert sum(confusion["counts"][-1]) == 1
    assert [row[-1] for row in confusion["counts"]] == [0] * 6


def test_what_does_not_exist_is_none():
    real = world.predictions(methods=("original",), head=False)
    figures = evaluate(real, [], None)
    assert figures["held_out"] is None
    assert figures["confusion"] is None
    assert figures["seen"]["auc"] is None
    assert list(figures["recall"]) == ["original"]
    fakes = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
    assert evaluate(world.predictions(), fakes, 0.5)["seen"] is None
    nothing = evaluate([], world.HELD_OUT, 0.5)
    assert (nothing["held_out"]["real"], nothing["recall"]) == (0, {})


def test_results_are_written_in_the_order_of_the_schema(tmp_path):
    results = world.results(world.predictions(videos=5))
    config = {"data": {"root": tmp_path, "size": 128}}
    shuffled = dict(sorted({**results, "config": config, "another": 1}.items()))
    path = write_results(tmp_path / "run", shuffled)
    read = json.loads(path.read_text(encoding="utf-8"))
    assert list(read) == [*results, "another"]
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
        "key,method,label,score,clips,manipulation/original,manipulation/Deepfakes,"
    )
    write_predictions(tmp_path, [])
    assert read_predictions(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "first line must begin with key,method"),
        ("key,label\n", "first line must begin with key,method"),
        ("key,method,label,score,clips\na,b,1,0.5\n", "line 2"),
        ("key,method,label,score,clips\na,b,1,0.5,1\na,b,maybe,0.5,1\n", "line 3"),
        ("key,method,label,score,clips\na,b,1,0.5,1,7\n", "line 2"),
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
    found = environment()
    assert {"python", "torch", "pytorch-lightning", "torchvision", "av", "deepfake-mtl"} <= set(
        found
    )
    assert all(isinstance(value, str) and value for value in found.values())
    text = " ".join(found.values()).split()
    assert platform.node() not in text
    assert getpass.getuser() not in text
