import numpy as np
import pytest
from scipy import stats

from deepfake_mtl.evaluation.statistics import (
    SIGNIFICANCE,
    ClusterBootstrap,
    Difference,
    Estimate,
    Interval,
    ScoreSet,
    combine,
    compare,
    holm,
    interval,
    over_seeds,
)
from tests.evaluation.statistics import simulation
from tests.evaluation.statistics.simulation import TRAINING, estimate, true_auc


def people_of(made, resamples=400):
    return ClusterBootstrap({each.key: each.identities for each in made}, resamples)


def holds(found, truth):
    return found.low <= truth <= found.high


@pytest.mark.parametrize(
    ("people", "shift", "least"),
    [(40, 1.2, 0.91), (70, 2.5, 0.91), (8, 1.2, 0.8)],
    ids=["40 people", "70 people, high AUC", "8 people are too few"],
)
def test_the_interval_holds_the_truth_as_often_as_it_says(people, shift, least):
    generator = np.random.default_rng(people)
    hits, naive = [], []
    for _ in range(200):
        made = simulation.predictions(generator, people, shift=shift)
        scored = [ScoreSet.of(made, None)]
        hits.append(holds(interval(estimate(scored, people_of(made))), true_auc(shift)))
        alone = ClusterBootstrap({each.key: () for each in made}, 400)
        naive.append(holds(interval(estimate(scored, alone)), true_auc(shift)))
    assert least <= np.mean(hits) <= 0.99
    if shift == 2.5:  # videos are not independent: it matters who is drawn
        assert np.mean(naive) < np.mean(hits)


def trainings(generator, faces, shift, seeds):
    """Tests of several trainings, some better than others, on the same people."""
    made = [
        simulation.predictions(
            generator, videos=2, shift=shift + generator.normal(0, TRAINING), faces=faces
        )
        for _ in range(seeds)
    ]
    return made[0], [ScoreSet.of(each, None) for each in made]


@pytest.mark.parametrize("seeds", [2, 3])
def test_the_interval_of_a_mean_over_seeds_is_of_other_trainings_too(seeds):
    generator = np.random.default_rng(2)
    # The truth of a random training: the logit's shift is spread by people, videos and training.
    truth = np.mean([true_auc(1.2 + TRAINING * z) for z in generator.normal(size=4000)])
    hits = []
    for _ in range(300):
        faces = generator.normal(0, simulation.PERSON, 40)
        made, scored = trainings(generator, faces, 1.2, seeds)
        hits.append(holds(interval(estimate(scored, people_of(made))), truth))
    assert 0.9 <= np.mean(hits) <= 0.995


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "folds", "people"), [(2, 1, 40), (2, 4, 40), (3, 1, 8)])
def test_equal_configurations_are_seldom_told_apart(seeds, folds, people):
    generator = np.random.default_rng(10 * seeds + folds)
    p_values, covered, blind = [], [], []
    for _ in range(200):
        faces = generator.normal(0, simulation.PERSON, people)
        sides, alone = [], []
        for _ in range(2):
            cells = []
            for fold in range(folds):
                made, scored = trainings(generator, faces, 1.2, seeds)
                cells.append(estimate(scored, people_of(made, 200), seed=fold))
                alone.append(estimate(scored[:1], people_of(made, 200)))
            sides.append(combine([(1 / folds, cell) for cell in cells]))
        difference = compare(*sides)
        p_values.append(difference.p_value)
        covered.append(holds(difference.interval, 0))
        blind.append(compare(alone[0], alone[-1]).p_value)
    assert 0.005 <= np.mean(np.array(p_values) < 0.05) <= 0.09
    assert np.mean(covered) > 0.91
    if people == 40:  # who forgets about seeds finds differences where there are none
        assert np.mean(np.array(blind) < 0.05) > 0.2


def test_a_large_difference_is_found_with_its_size():
    generator = np.random.default_rng(4)
    found = []
    for _ in range(40):
        faces = generator.normal(0, simulation.PERSON, 40)
        (made, better), (_, worse) = (trainings(generator, faces, shift, 3) for shift in (2.6, 0.8))
        people = people_of(made)
        difference = compare(estimate(better, people, seed=1), estimate(worse, people, seed=2))
        found.append(difference.is_shown(difference.p_value))
        assert difference.value > 0
    assert np.mean(found) > 0.8


def test_the_same_people_are_drawn_for_both_sides():
    generator = np.random.default_rng(5)
    made = simulation.predictions(generator, 30)
    people = people_of(made)
    once, twice = (estimate([ScoreSet.of(made, None)] * 2, people, seed=seed) for seed in (1, 2))
    difference = compare(once, twice)
    assert difference.value == 0
    assert difference.interval.high == pytest.approx(0, abs=1e-12)
    assert difference.p_value == 1
    assert interval(once).high - interval(once).low > 0.05


def spread(values, draws=None, groups=50):
    draws = np.zeros((len(values), 10)) if draws is None else draws
    return over_seeds(values, draws, groups, seed=0)


def test_one_seed_or_few_people_show_nothing():
    first = spread([0.9], np.full((1, 10), 0.9))
    second = spread([0.5], np.full((1, 10), 0.5))
    difference = compare(first, second)
    assert difference.p_value == 2.0**-49
    assert not difference.knows_seeds
    assert not difference.is_shown(difference.p_value)
    for groups, least in ((4, 1 / 8), (1, 1)):
        pair = [spread([v, v], np.full((2, 10), v), groups) for v in (0.9, 0.5)]
        assert compare(*pair).p_value == least
        assert (compare(*pair).interval is None) == (groups == 1)
        assert compare(*pair).knows_seeds
        assert not compare(*pair).is_shown(least)
    assert interval(spread([0.9], groups=1)) is None


def test_the_spread_of_seeds_adds_up():
    mean = combine([(0.5, spread([0.6, 0.8])), (0.5, spread([0.5, 0.5, 0.8]))])
    assert mean.value == pytest.approx(0.65)
    variances = np.array([np.var([0.6, 0.8], ddof=1) / 2, np.var([0.5, 0.5, 0.8], ddof=1) / 3]) / 4
    assert mean.standard_error == pytest.approx(np.sqrt(variances.sum()))
    degrees = variances.sum() ** 2 / (variances[0] ** 2 / 1 + variances[1] ** 2 / 2)
    assert mean.degrees == pytest.approx(degrees)
    assert mean.people_degrees == 49


def test_one_single_seed_hides_the_spread_of_all():
    several, single = spread([0.6, 0.8]), spread([0.7])
    assert several.knows_seeds
    assert not combine([(0.5, several), (0.5, single)]).knows_seeds
    assert not combine([(0.5, single), (0.5, several)]).knows_seeds


def test_too_few_resamples_tell_nothing_of_people():
    draws = np.array([[0.7, np.nan, np.nan]] * 2)
    assert spread([0.6, 0.8], draws).standard_error == pytest.approx(0.1)
    draws = np.array([[0.7, 0.8, np.nan]] * 2)
    both = np.sqrt(0.1**2 + np.var([0.7, 0.8], ddof=1))
    assert spread([0.6, 0.8], draws).standard_error == pytest.approx(both)


@pytest.mark.parametrize("degrees", [8, 69, 4000])
def test_intervals_and_p_values_are_those_of_student(degrees):
    draws = np.random.default_rng(0).normal(0.8, 0.02, 999)
    first = Estimate(0.8, draws, draws, degrees, ())
    second = Estimate(0.76, np.full(999, 0.76), np.full(999, 0.76), degrees, ())
    difference, error = compare(first, second), draws.std(ddof=1)
    chance = 2 * stats.t.sf(0.04 / error, degrees)
    assert difference.p_value == pytest.approx(max(chance, 2.0**-degrees), rel=1e-6)
    assert compare(second, first).p_value == difference.p_value
    margin = stats.t.ppf(0.975, degrees) * error
    bounds = difference.interval
    assert (bounds.low, bounds.high) == pytest.approx((0.04 - margin, 0.04 + margin))
    tail = stats.norm.sf(stats.t.ppf(0.975, degrees))
    found = interval(first)
    assert (found.low, found.high) == pytest.approx(np.quantile(draws, [tail, 1 - tail]))


def test_resamples_without_a_class_are_dropped_and_counted():
    made = simulation.predictions(np.random.default_rng(0), people=3, videos=1)
    lonely = [each for each in made if not each.label or each.identities == ("000",)]
    people = people_of(lonely, 3000)
    found = estimate([ScoreSet.of(lonely, None)], people)
    # Two groups of three are drawn; the only one with a fake is in none of them in 4 of 9 cases.
    assert found.dropped / 3000 == pytest.approx(4 / 9, abs=0.03)
    assert 0 <= interval(found).low <= interval(found).high <= 1
    half = np.repeat([0.7, np.nan], 5)
    assert interval(Estimate(0.5, half, half, 3, ())) is not None
    rare = np.repeat([0.7, np.nan], [4, 6])
    assert interval(Estimate(0.5, rare, rare, 3, ())) is None


def test_weights_of_a_sum_are_those_of_its_draws():
    draws = np.random.default_rng(0).random((2, 10))
    first, second = (spread([value], draws[[n]], 9 - n) for n, value in enumerate((0.4, 0.8)))
    summed = combine([(0.25, first), (-3, second)])
    assert summed.value == pytest.approx(0.1 - 2.4)
    assert summed.draws == pytest.approx(0.25 * draws[0] - 3 * draws[1])
    assert summed.people_draws == pytest.approx(0.25 * draws[0] - 3 * draws[1])
    assert summed.people_degrees == 7
    assert [(noise.variance, noise.degrees) for noise in summed.seeds] == [(0, 0), (0, 0)]


def test_seeds_are_drawn_again_around_their_mean():
    values = np.array([0.6, 0.7, 0.95])
    found = spread(values, np.repeat(values[:, None], 20_000, axis=1))
    assert found.people_draws == pytest.approx(values.mean())
    assert found.draws.mean() == pytest.approx(values.mean(), abs=0.005)
    # The variance of a mean over the draws is that of the mean.
    assert found.draws.var() == pytest.approx(values.var(ddof=1) / 3, rel=0.05)
    assert found.standard_error == pytest.approx(values.std(ddof=1) / np.sqrt(3))
    assert found.seeds[0].degrees == 2
    again, other = (
        over_seeds(values, np.repeat(values[:, None], 50, axis=1), 50, seed) for seed in (0, 1)
    )
    assert not np.array_equal(again.draws, other.draws)


def test_a_difference_is_shown_by_all_that_speaks_for_it():
    assert SIGNIFICANCE == 0.05
    up, down = Interval(0.01, 0.2), Interval(-0.2, -0.01)
    shown = Difference(0.1, up, 0.01, knows_seeds=True)
    assert shown.is_shown(0.049)
    assert not shown.is_shown(0.05)
    turned = shown.turned()
    assert turned == Difference(-0.1, Interval(-0.2, -0.01), 0.01, knows_seeds=True)
    assert turned.interval == down
    assert turned.is_shown(0.049)
    assert turned.turned() == shown
    for interval_ in (None, Interval(0, 0.2), Interval(-0.2, 0), Interval(-0.1, 0.1)):
        assert not Difference(0.1, interval_, 0.01, knows_seeds=True).is_shown(0.01)
    assert not Difference(0.1, up, 0.01, knows_seeds=False).is_shown(0.01)
    assert Difference(0.1, None, 1.0, knows_seeds=True).turned().interval is None


def test_holm_as_by_hand():
    # Sorted: 0.005 * 4, 0.01 * 3, 0.03 * 2, and 0.04, which must not fall below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1, 1]
    assert holm([]) == []
