import json

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.decomposition import PCA

from deepfake_mtl.data.records import MANIPULATIONS
from deepfake_mtl.experiments.report.curves import (
    FALSE_ALARMS,
    mean_conflict,
    mean_roc,
    read_robustness,
)
from deepfake_mtl.experiments.report.features import (
    MOST_VIDEOS,
    principal_components,
    read_projections,
    shown,
)
from deepfake_mtl.experiments.report.matrix import elsewhere_matrix, train_by_test
from deepfake_mtl.experiments.report.report import make_report
from deepfake_mtl.experiments.report.runs import read_benchmark
from deepfake_mtl.experiments.report.setup import read_setup
from tests.experiments.report import made_up


def scores(run, methods=None):
    chosen = [each for each in run.test.predictions if methods is None or each.method in methods]
    return [each.label for each in chosen], [each.score for each in chosen]


def test_the_mean_roc_is_that_of_scikit_learn(finished):
    runs = read_benchmark(finished).of("binary_con", "FaceSwap")
    curves = []
    for run in runs:
        fpr, tpr, _ = sk.roc_curve(*scores(run, {"original", "FaceSwap"}), drop_intermediate=False)
        curves.append(np.interp(FALSE_ALARMS, fpr, tpr))
    assert len(curves) == 2
    assert mean_roc(runs) == pytest.approx(np.mean(curves, axis=0))
    assert mean_roc([]) is None


def test_the_matrix_is_of_single_manipulations(finished):
    benchmark = read_benchmark(finished)
    matrices = train_by_test(benchmark)
    assert [each.title for each in matrices] == benchmark.configurations
    matrix = matrices[1]
    assert list(matrix.columns) == list(MANIPULATIONS)
    assert [row.name for row in matrix.rows] == ["without FaceSwap", "without Deepfakes"]
    for row, fold in zip(matrix.rows, benchmark.folds, strict=True):
        assert row.held_out == {fold}
        for method, value in zip(matrix.columns, row.values, strict=True):
            expected = [
                sk.roc_auc_score(*scores(run, {"original", method}))
                for run in benchmark.of("binary_con", fold)
            ]
            assert value == pytest.approx(np.mean(expected))


def test_a_training_on_one_manipulation_is_named_after_it(tmp_path):
    three = "+".join(MANIPULATIONS[1:])
    runs = made_up.write_benchmark(
        tmp_path, ("binary_ce",), (three,), seeds=(0,), finished=lambda _: False
    )
    folder = runs / f"binary_ce/{three}/seed-0"
    made_up.write_run(folder, {"losses": "binary_ce", "held_out": "FaceSwap", "seed": 0}, 6)
    results = json.loads((folder / "results.json").read_text())
    results["held_out"] = list(MANIPULATIONS[1:])
    for method, recall in results["figures"]["recall"].items():
        recall["held_out"] = method in MANIPULATIONS[1:]
    (folder / "results.json").write_text(json.dumps(results))
    (matrix,) = train_by_test(read_benchmark(runs))
    assert [row.name for row in matrix.rows] == ["trained on Deepfakes"]


def test_other_tests_are_of_all_their_videos(finished):
    benchmark = read_benchmark(finished)
    matrix = elsewhere_matrix(benchmark, "auc")
    assert matrix.columns == ["c40", "celeb-df"]
    assert len(matrix.rows) == 6
    row = matrix.rows[2]
    assert row.name == "binary_con, without FaceSwap"
    expected = [sk.roc_auc_score(*scores(run)) for run in benchmark.of("binary_con", "FaceSwap")]
    assert row.values == pytest.approx([np.mean(expected)] * 2)


def test_robustness_is_the_mean_over_folds_and_seeds(finished):
    benchmark = read_benchmark(finished)
    found, unreadable = read_robustness(benchmark)
    assert unreadable == []
    assert [(each.treatment, each.unit) for each in found] == [
        ("jpeg", "quality"),
        ("downscale", "px"),
        ("noise", ""),
    ]
    jpeg = found[0]
    assert jpeg.strengths == [None, 90, 50, 20]
    for of in ("held_out", "seen"):
        values = []
        for run in benchmark.runs:
            if run.settings["losses"] == "binary_con":
                points = json.loads((run.folder / "robustness.json").read_text())["points"]
                chosen = [each for each in points if each["treatment"] in ("none", "jpeg")]
                values.append([each[of]["auc"] for each in chosen])
        assert jpeg.metrics["auc"][of]["binary_con"] == pytest.approx(np.mean(values, axis=0))


def test_gradients_are_averaged_step_by_step(finished):
    benchmark = read_benchmark(finished)
    runs = benchmark.of("binary_ce_manipulation_ce", "FaceSwap")
    rows = [run.test.results["gradient_conflict"] for run in runs]
    rows[1][0].update(cosine=0.9, norm_ratio=8.0)
    rows[0][0].update(cosine=0.1, norm_ratio=2.0)
    rows[0][1].update(cosine=None)
    mean = mean_conflict(runs)
    assert len(mean) == len(rows[0])
    assert mean[0]["cosine"] == pytest.approx(0.5)
    assert mean[0]["norm_ratio"] == pytest.approx(4)
    assert mean[1]["cosine"] == rows[1][1]["cosine"]
    gap = next(place for place, row in enumerate(mean) if row["step"] == 50)
    assert mean[gap] == {**rows[0][gap], "cosine": None, "norm_ratio": None}


def test_principal_components_are_those_of_scikit_learn():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(50, 12)) * np.linspace(3, 0.2, 12)
    points, explained = principal_components(features)
    truth = PCA(n_components=2).fit(features)
    assert np.abs(points) == pytest.approx(np.abs(truth.transform(features)))
    assert explained == pytest.approx(truth.explained_variance_ratio_)
    again, _ = principal_components(features[::-1])
    assert again[::-1] == pytest.approx(points)
    points, explained = principal_components(np.ones((3, 1)))
    assert points.tolist() == [[0, 0]] * 3
    assert explained == (0, 0)


def test_features_of_the_first_seed_are_shown(finished):
    projections, unreadable = read_projections(read_benchmark(finished))
    assert unreadable == []
    assert len(projections) == 6
    assert {each.seed for each in projections} == {"0"}
    assert projections[0].held_out == ["FaceSwap"]
    assert projections[0].points.shape == (70, 2)
    methods = ["original"] * 1000 + ["FaceSwap"] * 3
    assert shown(methods, "FaceSwap") == [1000, 1001, 1002]
    assert len(set(shown(methods, "original"))) == MOST_VIDEOS


def test_what_differs_is_told_from_what_is_the_same(finished):
    setup = read_setup(read_benchmark(finished))
    differing = {each.key: each.values for each in setup.differing}
    assert differing == {
        "seed_everything": {"0": 6, "1": 6},
        "data.held_out": {'"FaceSwap"': 6, '"Deepfakes"': 6},
        "model.tasks": {'["binary_ce"]': 4, '["binary_con"]': 4, '["binary_ce", "ce"]': 4},
    }
    assert setup.same == {"data.root": '"corpus"', "model.learning_rate": "0.001"}
    assert setup.versions["torch"] == {"2.14.1": 12}
    assert setup.counts["FaceSwap"] == [{"train": (719, 2153), "val": (141, 417), "test": (14, 56)}]


def test_what_cannot_be_read_is_named(tmp_path):
    runs = made_up.write_benchmark(tmp_path, ("binary_ce",), ("FaceSwap",), videos=6, extras=True)
    first, second = (runs / f"binary_ce/FaceSwap/seed-{seed}" for seed in (0, 1))
    (first / "robustness.json").write_text('{"schema_version": 1, "points": [{}]}')
    (first / "features.npz").write_bytes(b"PK")
    (second / "tests/c40/results.json").write_text("{}")
    predictions = (second / "predictions.csv").read_text().splitlines()
    (second / "predictions.csv").write_text("\n".join(predictions[:-1]) + "\n")
    results = json.loads((second / "results.json").read_text())
    results["versions"]["torch"] = "2.15.0"
    (second / "results.json").write_text(json.dumps(results))
    report = make_report(runs, "auc", resamples=50)
    for text in (
        *("robustness.json: cannot be read", "features.npz: cannot be read", "c40/results.json"),
        *("not tested on the same videos: 1 are missing", "differ in versions: torch"),
    ):
        assert any(text in warning for warning in report.warnings), text
    assert [each.seed for each in report.projections] == ["1"]
    assert report.elsewhere.columns == ["c40", "celeb-df"]
