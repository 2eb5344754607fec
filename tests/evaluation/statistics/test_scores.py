import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from deepfake_mtl.evaluation.statistics import (
    METRICS,
    ClusterBootstrap,
    ScoreSet,
    identity_groups,
    weighted_accuracy,
    weighted_auc,
)
from tests.evaluation import world


@pytest.mark.parametrize("levels", [5, 10**6], ids=["many ties", "no ties"])
def test_weighted_metrics_are_those_of_scikit_learn(levels):
    generator = np.random.default_rng(1)
    scores = generator.integers(0, levels, 60) / levels
    fake = generator.random(60) < 0.6
    weights = generator.integers(0, 4, (25, 60)) * generator.random((25, 1))
    expected = [sk.roc_auc_score(fake, scores, sample_weight=each) for each in weights]
    assert weighted_auc(scores, fake, weights) == pytest.approx(expected, abs=1e-12)
    expected = [sk.accuracy_score(fake, scores >= 0.4, sample_weight=each) for each in weights]
    assert weighted_accuracy(scores, fake, weights, 0.4) == pytest.approx(expected, abs=1e-12)


def test_a_class_without_weight_has_no_metric():
    scores, fake = np.array([0.1, 0.9, 0.4]), np.array([False, True, True])
    weights = np.array([[1.0, 0, 2], [0, 1, 1], [1, 0, 0], [0, 0, 0]])
    for shares in (
        weighted_auc(scores, fake, weights),
        weighted_accuracy(scores, fake, weights, 0),
    ):
        assert np.isnan(shares).tolist() == [False, True, True, True]


def test_people_who_share_a_video_are_one_group():
    shown = {
        "real/a": ("a",),
        "fake/b_c": ("b", "c"),
        "real/nobody": (),
        "fake/c_d": ("c", "d"),
        "fake/nobody": (),
        "real/d": ("d",),
        "fake/e_a": ("e", "a"),
    }
    expected = [
        {"fake/b_c", "fake/c_d", "real/d"},
        {"fake/e_a", "real/a"},
        {"fake/nobody"},
        {"real/nobody"},
    ]
    for keys in (list(shown), list(reversed(shown))):
        numbers = identity_groups({key: shown[key] for key in keys})
        found = [{key for key in shown if numbers[key] == number} for number in range(4)]
        assert sorted(found, key=min) == expected
        assert numbers == identity_groups(shown)


def test_of_two_groups_one_is_drawn():
    weights = ClusterBootstrap({"a": ("1",), "b": ("2",)}, resamples=50).weights(["a", "b"])
    assert (weights.sum(axis=1) == 1).all()
    assert 0 < weights[:, 0].sum() < 50
    assert (ClusterBootstrap({"a": ("1",)}, resamples=3).weights(["a"]) == 0).all()


def test_groups_are_drawn_whole_and_evenly():
    shown = {f"{person}/{video}": (f"{person}",) for person in range(5) for video in range(3)}
    people = ClusterBootstrap(shown, resamples=4000)
    weights = people.weights(shown).reshape(-1, 5, 3)
    assert people.groups == 5
    assert (weights == weights[:, :, :1]).all()
    assert (weights[:, :, 0].sum(axis=1) == 4).all()  # one fewer than there are
    assert weights[:, :, 0].mean(axis=0) == pytest.approx(np.full(5, 4 / 5), abs=0.04)
    # The variance of a mean over the draws is that of the mean.
    values = np.array([3.0, 1, 4, 1, 5])
    means = (weights[:, :, 0] @ values) / 4
    assert means.var() == pytest.approx(values.var(ddof=1) / 5, rel=0.1)


@given(st.randoms(use_true_random=False))
def test_the_order_of_predictions_does_not_matter(random):
    made = world.predictions(videos=8)
    results = []
    for _ in range(2):
        people = ClusterBootstrap({each.key: each.identities for each in made}, resamples=20)
        score_set = ScoreSet.of(made, 0.43)
        results.append([score_set.draws(metric, people) for metric in METRICS])
        random.shuffle(made)
    assert np.array_equal(results[0], results[1])


def test_resamples_are_many_and_the_same_unless_told_otherwise():
    shown = {f"{person}": (f"{person}",) for person in range(5)}
    weights = ClusterBootstrap(shown).weights(shown)
    assert weights.shape == (2000, 5)
    assert np.array_equal(weights, ClusterBootstrap(shown, 2000, seed=0).weights(shown))
    assert not np.array_equal(weights, ClusterBootstrap(shown, seed=1).weights(shown))
    alone = ClusterBootstrap({"a": ("x",), "b": ("x",)}, resamples=3)
    assert alone.groups == 1
    assert not alone.weights(["a", "b"]).any()
    with pytest.raises(KeyError):
        alone.weights(["c"])


def test_each_accuracy_is_at_its_threshold():
    made = world.predictions(videos=8)
    scores = np.array([each.score for each in made])
    fake = np.array([each.label for each in made])
    score_set = ScoreSet.of(made, 0.9)
    assert score_set.fake.dtype == np.bool_
    accuracies = [np.mean((scores >= at) == fake) for at in (0.5, 0.9)]
    assert accuracies[0] != accuracies[1]
    assert score_set.value("accuracy") == pytest.approx(accuracies[0])
    assert score_set.value("accuracy_calibrated") == pytest.approx(accuracies[1])
    assert ScoreSet.of(made, None).value("accuracy") == pytest.approx(accuracies[0])


def test_a_metric_that_does_not_exist_is_none():
    real = world.predictions(videos=5, methods=("original",))
    assert ScoreSet.of(real, 0.5).value("auc") is None
    for metric in METRICS:
        assert ScoreSet.of([], 0.5).value(metric) is None
    both = ScoreSet.of(world.predictions(videos=5), None)
    assert both.value("accuracy_calibrated") is None
    people = ClusterBootstrap({each.key: () for each in world.predictions(videos=5)}, resamples=10)
    assert np.isnan(both.draws("accuracy_calibrated", people)).all()
