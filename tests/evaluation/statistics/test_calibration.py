from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import special
from sklearn.linear_model import LogisticRegression
from torchmetrics.functional.classification import binary_calibration_error

from deepfake_mtl.evaluation import Prediction
from deepfake_mtl.evaluation.statistics.calibration import (
    BINS,
    LogitScaling,
    calibration_error,
    fit_scaling,
    reliability,
)
from deepfake_mtl.evaluation.statistics.risk import ClassVideos


def classes(logits, fake, people=None):
    people = [(f"p{number}",) for number in range(len(logits))] if people is None else people
    made = [
        Prediction(str(number), "x", bool(label), float(special.expit(score)), 1, identities=who)
        for number, (score, label, who) in enumerate(zip(logits, fake, people, strict=True))
    ]
    return [ClassVideos.of(made, fake=label) for label in (False, True)]


def world(number=400, shift=1.5, seed=0):
    fake = np.arange(number) % 2 == 1
    return np.random.default_rng(seed).normal((fake - 0.5) * shift), fake


def test_the_scaling_is_that_of_a_logistic_regression():
    logits, fake = world()
    share = 1 / (200 + 2)  # of each class that is taken for the other
    rows = np.tile(logits, 2)[:, None]
    labels = np.concatenate([fake, ~fake])
    weights = np.repeat([1 - share, share], len(logits))
    truth = LogisticRegression(C=1e12, tol=1e-10, max_iter=1000).fit(rows, labels, weights)
    found = fit_scaling(*classes(logits, fake))
    assert found.slope == pytest.approx(truth.coef_.item(), rel=1e-4)
    assert found.offset == pytest.approx(truth.intercept_.item(), abs=1e-4)


def test_a_scaling_makes_wrong_scores_right():
    """Scores three times too sure, and too high: the truth is a logit of shift times place."""
    logits, fake = world(4000)
    originals, fakes = classes(3 * logits + 2, fake)
    found = fit_scaling(originals, fakes)
    assert 1 / found.slope == pytest.approx(3 / 1.5, rel=0.1)
    scaled = [replace(each, scores=found.scale(each.scores)) for each in (originals, fakes)]
    assert calibration_error(reliability(originals, fakes)) > 0.15
    assert calibration_error(reliability(*scaled)) < 0.03


def test_people_count_the_same_however_many_videos_they_have():
    logits, fake = world(200)
    people = [(f"p{number}",) for number in range(200)]
    found = fit_scaling(*classes(logits, fake, people))
    again = np.concatenate([logits, np.repeat(logits[:10], 50)])
    labels = np.concatenate([fake, np.repeat(fake[:10], 50)])
    others = [*people, *(who for who in people[:10] for _ in range(50))]
    more = fit_scaling(*classes(again, labels, others))
    assert more.slope == pytest.approx(found.slope, rel=1e-4)
    assert more.offset == pytest.approx(found.offset, abs=1e-4)


def test_scores_that_tell_nothing_become_a_coin():
    logits, fake = world(200)
    found = fit_scaling(*classes(-logits, fake))  # worse than a coin
    assert found.slope == 0
    assert found.scale(np.array([0.01, 0.99])) == pytest.approx(0.5)


def test_classes_without_overlap_stay_uncertain_as_they_are_few():
    logits, fake = np.array([-40.0, 40.0] * 10), np.array([False, True] * 10)
    scaled = fit_scaling(*classes(logits, fake)).scale(np.array([0.0, 1.0]))
    assert scaled == pytest.approx([1 / 12, 11 / 12], rel=1e-3)
    with pytest.raises(ValueError, match="originals and fakes"):
        fit_scaling(*classes(logits, np.ones(20)))


def test_the_error_is_that_of_torchmetrics():
    logits, fake = world(600)
    logits[:2] = -50, 50  # the outermost bins
    found = calibration_error(reliability(*classes(logits, fake)))
    scores = torch.from_numpy(special.expit(logits))
    truth = binary_calibration_error(scores, torch.from_numpy(fake).long(), n_bins=BINS)
    assert found == pytest.approx(truth.item(), abs=1e-6)
    assert found > 0.01


def test_bins_add_up():
    bins = reliability(*classes(*world(300)))
    assert sum(each.weight for each in bins) == pytest.approx(1)
    assert sum(each.weight * each.fake for each in bins) == pytest.approx(0.5)
    assert [each.predicted for each in bins] == sorted(each.predicted for each in bins)


def test_a_scaling_keeps_the_order():
    scores = np.linspace(0, 1, 11)
    assert (np.diff(LogitScaling(0.3, -1.0).scale(scores)) > 0).all()
