import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk

from deepfake_mtl import metrics
from deepfake_mtl.errors import DeepfakeMTLError

SCORES = st.one_of(
    st.floats(0, 1),
    st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),  # ties, and ties at the default threshold
    st.floats(0, 1, width=32),
)


@st.composite
def two_classes(draw):
    size = draw(st.integers(2, 40))
    scores = draw(hnp.arrays(np.float64, size, elements=SCORES))
    labels = draw(hnp.arrays(np.int64, size, elements=st.integers(0, 1)))
    labels[:2] = 0, 1
    return scores, labels


def tensors(case):
    return torch.from_numpy(case[0]), torch.from_numpy(case[1])


def crossing_by_bisection(fpr, tpr):
    """Where 1 - TPR = FPR on the polyline, found by walking along its arc."""
    arc = np.arange(len(fpr))
    low, high = 0.0, float(arc[-1])
    for _ in range(100):
        middle = (low + high) / 2
        excess = 1 - np.interp(middle, arc, tpr) - np.interp(middle, arc, fpr)
        low, high = (middle, high) if excess > 0 else (low, middle)
    return np.interp(low, arc, fpr)


@given(two_classes(), st.one_of(st.just(0.5), st.floats(0, 1)))
@settings(max_examples=150, deadline=None)
def test_figures_agree_with_scikit_learn(case, threshold):
    scores, labels = case
    called = scores >= threshold
    report = metrics.binary_report(*tensors(case), threshold)

    fpr, tpr, thresholds = sk.roc_curve(labels, scores, drop_intermediate=False)
    curve = metrics.roc_curve(*tensors(case))
    np.testing.assert_allclose(curve.fpr, fpr, atol=1e-12)
    np.testing.assert_allclose(curve.tpr, tpr, atol=1e-12)
    np.testing.assert_array_equal(curve.thresholds, thresholds)

    expected = {
        "accuracy": sk.accuracy_score(labels, scores >= 0.5),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, scores >= 0.5),
        "recall": sk.recall_score(labels, scores >= 0.5),
        "auc": sk.roc_auc_score(labels, scores),
        "average_precision": sk.average_precision_score(labels, scores),
        "eer": crossing_by_bisection(fpr, tpr),
        "accuracy_calibrated": sk.accuracy_score(labels, called),
        "balanced_accuracy_calibrated": sk.balanced_accuracy_score(labels, called),
        "threshold": threshold,
        "real": (labels == 0).sum(),
        "fake": (labels == 1).sum(),
    }
    assert report == pytest.approx(expected, abs=1e-9)
    assert list(report) == list(expected)


@given(two_classes())
@settings(max_examples=150, deadline=None)
def test_calibrated_threshold_is_the_best_midpoint_nearest_to_a_half(case):
    scores, labels = case
    threshold = metrics.calibrate_threshold(*tensors(case))

    levels = sorted({0.0, 1.0, *scores.tolist()})
    midpoints = [(a + b) / 2 if (a + b) / 2 > a else b for a, b in pairwise(levels)]
    quality = {m: sk.balanced_accuracy_score(labels, scores >= m) for m in midpoints}
    best = [m for m in midpoints if quality[m] > max(quality.values()) - 1e-9]
    assert threshold == min(best, key=lambda m: (abs(m - 0.5), m))


def test_calibration_separates_what_can_be_separated():
    scores = torch.tensor([0.1, 0.2, 0.6, 0.9], dtype=torch.float64)
    assert metrics.calibrate_threshold(scores, torch.tensor([0, 0, 1, 1])) == pytest.approx(0.4)
    low = math.nextafter(0.5, 0)  # the midpoint to 0.5 cannot be told from one of the two
    scores = torch.tensor([low, 0.5], dtype=torch.float64)
    threshold = metrics.calibrate_threshold(scores, torch.tensor([0, 1]))
    assert metrics.accuracy(scores, torch.tensor([0, 1]), threshold) == 1


def test_neighbouring_numbers_are_separated_whichever_way_their_midpoint_is_rounded():
    numbers = [0.7]
    for _ in range(2):
        numbers.append(math.nextafter(numbers[-1], 1))
    for pair in pairwise(numbers):
        scores, labels = torch.tensor(pair, dtype=torch.float64), torch.tensor([0, 1])
        threshold = metrics.calibrate_threshold(scores, labels)
        assert metrics.accuracy(scores, labels, threshold) == 1


def test_large_sets_of_float32_scores_lose_no_digits():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 200_000)
    scores = (generator.beta(2, 2, len(labels)) * 0.9 + 0.1 * labels).astype(np.float32)
    report = metrics.binary_report(torch.from_numpy(scores), torch.from_numpy(labels), None)
    assert report["auc"] == pytest.approx(sk.roc_auc_score(labels, scores), abs=1e-9)
    precision = sk.average_precision_score(labels, scores)
    assert report["average_precision"] == pytest.approx(precision, abs=1e-9)


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("size", [0, 3])
def test_what_one_class_alone_does_not_have_is_none(label, size):
    scores, labels = torch.full((size,), 0.7), torch.full((size,), label)
    report = metrics.binary_report(scores, labels, 0.8)
    exists = {name for name, figure in report.items() if figure is not None}
    accuracies = {"accuracy", "accuracy_calibrated"} if size else set()
    recall = {"recall"} if size and label else set()
    assert exists == {"threshold", "real", "fake"} | accuracies | recall
    assert (report["real"], report["fake"]) == ((0, size) if label else (size, 0))
    assert metrics.calibrate_threshold(scores, labels) is None
    assert metrics.roc_curve(scores, labels) is None


def test_without_a_calibrated_threshold_its_figures_are_none():
    report = metrics.binary_report(torch.tensor([0.1, 0.9]), torch.tensor([0, 1]), None)
    none = {name for name, figure in report.items() if figure is None}
    assert none == {"threshold", "accuracy_calibrated", "balanced_accuracy_calibrated"}


def test_unusable_scores_are_refused():
    labels = torch.tensor([0, 1])
    with pytest.raises(DeepfakeMTLError, match="1 of 2 scores are not finite"):
        metrics.roc_auc(torch.tensor([0.5, math.nan]), labels)
    with pytest.raises(ValueError, match="sigmoid"):
        metrics.roc_auc(torch.tensor([0.5, 2.0]), labels)
    with pytest.raises(ValueError, match="shape"):
        metrics.roc_auc(torch.tensor([0.5]), labels)
    with pytest.raises(ValueError, match=r"0 \(real\) or 1"):
        metrics.roc_auc(torch.tensor([0.5, 0.5]), torch.tensor([0, 4]))
    with pytest.raises(DeepfakeMTLError, match="2 of 2 scores are not finite"):
        metrics.accuracy(torch.tensor([-math.inf, math.inf]), labels)
    with pytest.raises(ValueError, match="shape"):
        metrics.accuracy(torch.tensor([[0.1], [0.9]]), labels[:, None])


@pytest.mark.parametrize(("score", "usable"), [(1.0009, True), (1.0011, False), (1.0019, False)])
def test_what_rounding_adds_to_a_probability_is_forgiven(score, usable):
    labels = torch.tensor([1, 0])
    for scores in (torch.tensor([score, 0.5]), torch.tensor([0.5, 1 - score])):
        if usable:
            assert metrics.roc_auc(scores.requires_grad_(), labels) == 1
        else:
            with pytest.raises(ValueError, match="sigmoid"):
                metrics.roc_auc(scores, labels)


def test_the_threshold_is_a_half_unless_told_otherwise():
    scores, labels = torch.tensor([0.5, 0.49, 0.4, 0.9]), torch.tensor([1, 1, 0, 0])
    assert metrics.accuracy(scores, labels) == 0.5
    assert metrics.accuracy(scores, labels, 0.45) == 0.75
    assert metrics.balanced_accuracy(scores, labels) == 0.5
    assert metrics.balanced_accuracy(scores, labels, 0.45) == 0.75
