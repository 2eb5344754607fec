"""Which metrics of which predictor are computed, and what they are called."""

import torch

from deepfake_mtl.metrics import VideoTable, binary_report, fake_probability
from deepfake_mtl.metrics.predictors import (
    OF_TWO_CLASSES,
    metric_names,
    named_metrics,
    report_predictors,
)

CLASSES = {
    "binary": ("real", "fake"),
    "scene": ("indoors", "outdoors", "elsewhere"),
    "manipulation": ("original", "swap", "reenactment"),
}


def table() -> VideoTable:
    generator = torch.Generator().manual_seed(0)
    outputs = torch.rand(6, 9, generator=generator, dtype=torch.float64)
    label = torch.tensor([0, 1, 2, 0, 1, 2])
    return VideoTable(torch.arange(6), label, torch.full((6,), 2), outputs)


def test_each_predictor_that_tells_fakes_has_the_metrics_of_its_columns() -> None:
    videos = table()
    reports = report_predictors(videos, CLASSES, threshold=0.4)
    assert reports == {
        "binary": binary_report(videos.scores, videos.fake, 0.4),
        "manipulation": binary_report(1 - videos.outputs[:, 6], videos.fake, None),
    }
    assert reports["binary"]["accuracy_calibrated"] is not None
    assert reports["manipulation"]["accuracy_calibrated"] is None


def test_all_metrics_of_the_first_predictor_are_logged_and_three_of_others() -> None:
    names = [
        "accuracy",
        "balanced_accuracy",
        "auc",
        "average_precision",
        "eer",
        "accuracy_calibrated",
        "other/accuracy",
        "other/balanced_accuracy",
        "other/auc",
    ]
    assert metric_names(["first", "other"]) == names
    reports = {
        name: {metric.rpartition("/")[2]: factor * place for place, metric in enumerate(names)}
        for name, factor in (("first", 1.0), ("other", 10.0))
    }
    named = named_metrics(["first", "other"], reports)
    assert list(named) == names
    assert named["eer"] == 4
    assert named["other/auc"] == 80
    lacking = named_metrics(["first", "other"], {"first": None})
    assert lacking == dict.fromkeys(names)


def test_metrics_that_one_class_alone_does_not_have() -> None:
    ones = torch.ones(3, dtype=torch.bool)
    report = binary_report(torch.tensor([0.1, 0.6, 0.8]), ones, 0.5)
    lacking = {name for name in metric_names(["first"]) if report[name] is None}
    assert lacking == set(OF_TWO_CLASSES)


def test_a_probability_of_fake_is_one_whatever_rounding_adds() -> None:
    probabilities = torch.tensor([[-1e-3, 1.0], [1.001, 0.0], [0.25, 0.75]])
    assert fake_probability(probabilities).tolist() == [1.0, 0.0, 0.75]
