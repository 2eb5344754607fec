import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import special, stats

from deepfake_mtl.evaluation import Prediction
from deepfake_mtl.evaluation.statistics.risk import (
    CONFIDENCE,
    MOST_FACES,
    ClassVideos,
    calibrate_decisions,
    least_threshold,
    people_needed,
    risk_bound,
)
from tests.evaluation.statistics import simulation

WORLDS = 200
DEVIATIONS = (1.0, 0.6)  # of people and of their videos
SPREAD = math.hypot(*DEVIATIONS)


def video(number, score, *, fake=False, people=None):
    people = (f"p{number}",) if people is None else people
    return Prediction(f"{fake}/{number}", "x", fake, score, 1, identities=people)


def each_alone(made):
    """The same videos (or clips), taken for those of as many people."""
    return [Prediction(each.key, each.method, each.label, each.score, each.clips) for each in made]


def true_share(threshold, shift, *, fake):
    """How many videos of a person drawn at random score at least this; see the simulation."""
    centre = (1 if fake else -1) * 0.5 * shift
    return special.ndtr((centre - special.logit(np.minimum(threshold, 1))) / SPREAD)


def true_risks(rule, shift):
    """The true shares of originals called fake and of fakes called real."""
    fake, real = rule.fake[0].threshold, rule.real.threshold
    return (
        0.0 if fake is None else true_share(fake, shift, fake=False),
        0.0 if real is None else 1 - true_share(real, shift, fake=True),
    )


def calibrated(predictions):
    return calibrate_decisions(*classes(predictions))


def classes(predictions):
    return [ClassVideos.of(predictions, fake=fake) for fake in (False, True)]


def logits(generator, people, videos, shift):
    """Those of the originals of many worlds, and those of the fakes of the same people."""
    shape = WORLDS, people, videos
    faces = generator.normal(0, DEVIATIONS[0], (WORLDS, people, 1))
    for centre in (-shift / 2, shift / 2):
        yield (faces + centre + generator.normal(0, DEVIATIONS[1], shape)).reshape(WORLDS, -1)


def rules(people, videos, shift, seed, change=list):
    """Rules of many worlds, each of people of its own."""
    generator = np.random.default_rng(seed)
    made = simulation.predictions(generator, people, videos, shift, DEVIATIONS)
    originals, fakes = classes(change(made))
    scores = map(special.expit, logits(generator, people, videos, shift))
    for of_originals, of_fakes in zip(*scores, strict=True):
        yield calibrate_decisions(
            replace(originals, scores=of_originals), replace(fakes, scores=of_fakes)
        )


@pytest.mark.parametrize(
    ("people", "videos", "shift"), [(60, 20, 4.0), (150, 1, 3.0), (400, 3, 2.0)]
)
def test_promises_hold_in_95_of_100_worlds(people, videos, shift):
    risks = np.array([true_risks(rule, shift) for rule in rules(people, videos, shift, people)])
    assert (risks > 0).all(axis=1).mean() > 0.9  # it does decide
    assert ((risks <= 0.05).mean(axis=0) >= CONFIDENCE).all()


def test_promises_break_if_calibrated_by_clips_instead_of_people():
    """What the test above would show: each person's videos for so many people."""
    broken = rules(60, 20, 4.0, 60, each_alone)
    risks = np.array([true_risks(rule, 4.0) for rule in broken])
    assert ((risks <= 0.05).mean(axis=0) < 0.85).all()


def test_a_plain_threshold_accuses_more_often_than_the_promise():
    """The threshold of equal errors of a good detector is above the risk in half of the worlds."""
    shift = 2 * SPREAD * stats.norm.isf(0.05)
    both = np.concatenate([*logits(np.random.default_rng(3), 80, 2, shift)], axis=1)
    plain = true_share(special.expit(np.median(both, axis=1)), shift, fake=False)
    stated = np.array([true_risks(rule, shift)[0] for rule in rules(80, 2, shift, 3)])
    assert np.mean(plain > 0.05) > 0.3
    assert np.mean(stated > 0.05) <= 1 - CONFIDENCE


def test_a_detector_that_has_learnt_nothing_cannot_tell():
    told = [rule.can_tell for rule in rules(100, 2, 0.0, 4)]
    assert np.mean(told) <= 1 - CONFIDENCE
    same = [video(i, 0.5, fake=fake) for i in range(300) for fake in (False, True)]
    rule = calibrated(same)
    assert not rule.can_tell
    assert rule.decide([0.5]) == rule.decide([0.999]) == rule.decide([0.0]) == "undecided"


def test_a_detector_that_turns_classes_around_cannot_tell():
    assert not any(rule.can_tell for rule in rules(100, 1, -3.0, 5))


def test_a_good_detector_decides_most_videos():
    shares = []
    for rule in rules(100, 2, 6.0, 6):
        fake, real = rule.fake[0].threshold, rule.real.threshold
        right = true_share(fake, 6.0, fake=True), 1 - true_share(real, 6.0, fake=False)
        shares.append(np.mean(right))
    assert np.mean(shares) > 0.95
    assert min(shares) > 0.8


@pytest.mark.parametrize(("people", "missing"), [(59, 0), (58, 1), (10, 49), (0, 59)])
def test_few_people_promise_nothing_and_the_missing_are_counted(people, missing):
    originals = [video(i, 0.1) for i in range(people)]
    fakes = [video(1000 + i, 0.9, fake=True) for i in range(70)]
    rule = calibrated([*originals, *fakes])
    assert (rule.fake[0].people, rule.fake[0].missing) == (people, missing)
    assert (rule.real.people, rule.real.missing) == (70, 0)
    assert rule.decide([0.9]) == ("undecided" if missing else "fake")
    assert rule.decide([0.1]) == ("undecided" if people == 0 else "real")


def test_many_videos_of_few_people_are_few_people():
    made = [video(i, 0.1, people=(f"p{i % 20}",)) for i in range(400)]
    fakes = [video(i, 0.9, fake=True, people=(f"p{i % 20}", f"p{i % 2}")) for i in range(400)]
    rule = calibrated([*made, *fakes])
    assert (rule.fake[0].people, rule.fake[0].missing) == (20, 39)
    assert (rule.real.people, rule.real.missing) == (2, 57)  # fakes join the people that they show
    assert not rule.can_tell


def test_what_lies_between_is_undecided():
    made = [video(i, 0.3 + 0.001 * i) for i in range(100)]
    made += [video(i, 0.3505 + 0.003 * i, fake=True) for i in range(100)]
    rule = calibrated(made)
    fake, real = rule.fake[0].threshold, rule.real.threshold
    assert 0.353 < real < 0.354
    assert 0.398 < fake < 0.399
    assert rule.decide([fake]) == "fake"
    assert rule.decide([math.nextafter(fake, 0)]) == "undecided"
    assert rule.decide([math.nextafter(real, 1)]) == "undecided"
    assert rule.decide([real]) == "real"
    assert rule.decide([]) == "undecided"
    # Of 100 people one may be wrong at 5 % (Clopper and Pearson), not two.
    assert rule.fake[0].error == pytest.approx(0.01)
    assert rule.fake[0].bound == pytest.approx(stats.beta.ppf(0.95, 2, 99))
    assert rule.fake[0].found == pytest.approx(0.84)


def test_classes_far_apart_are_cut_in_the_middle():
    made = [video(i, 0.002 * i) for i in range(100)]
    made += [video(i, 1 - 0.002 * i, fake=True) for i in range(100)]
    rule = calibrated(made)
    assert rule.fake[0].threshold == pytest.approx(0.5)
    assert rule.real.threshold == math.nextafter(rule.fake[0].threshold, 0)
    assert rule.fake[0].error == rule.real.error == 0
    assert rule.fake[0].found == rule.real.found == pytest.approx(1)


def test_the_risk_is_of_the_video_not_of_each_face():
    faces, broken, alone = 3, [], []
    for rule in rules(250, 1, 4.0, 7):
        one, three = (
            true_share(rule.fake[number - 1].threshold, 4.0, fake=False) for number in (1, faces)
        )
        alone.append(1 - (1 - one) ** faces > 0.05)
        broken.append(1 - (1 - three) ** faces > 0.05)
    assert np.mean(broken) <= 1 - CONFIDENCE < np.mean(alone)
    score = (rule.fake[0].threshold + rule.fake[2].threshold) / 2
    assert rule.decide([score]) == "fake"
    assert rule.decide([0.01, score, 0.01]) == "undecided"
    assert rule.decide([0.01] * 3) == "real"
    assert rule.decide([0.01, score]) != "real"
    assert rule.decide([1.0] * (MOST_FACES + 1)) == "undecided"
    assert rule.fake[2].missing == 0
    assert rule.fake[5].missing == people_needed(0.05 / 6) - 250 > 0


def test_thresholds_keep_what_ties_share():
    """Scores that tie are decided together: 10 of 100 wrong ones are too many, none is fine."""
    wronged = ClassVideos.of([video(i, 0.7 if i < 10 else 0.2) for i in range(100)], fake=False)
    assert least_threshold(wronged, 0.05) == math.nextafter(0.7, 1)
    assert least_threshold(wronged, 0.2) == math.nextafter(0.2, 1)
    assert wronged.share(0.7) == pytest.approx(0.1)


@pytest.mark.parametrize("people", [20, 59, 200])
def test_bounds_of_single_videos_are_those_of_clopper_and_pearson(people):
    for wrong in (0, 1, people // 3, people - 1):
        expected = stats.beta.ppf(CONFIDENCE, wrong + 1, people - wrong)
        assert risk_bound(wrong / people, people, single=True) == pytest.approx(expected)
    assert risk_bound(1.0, people, single=True) == 1


def test_bounds_of_shares_hold_for_any_distribution():
    """Shares that are not 0 or 1; and no bound is above that of Hoeffding's inequality."""
    generator = np.random.default_rng(8)
    shares = generator.beta(0.2, 1.8, (400, 80))  # mean 0.1
    bounds = np.array([risk_bound(each, 80, single=False) for each in shares.mean(axis=1)])
    assert np.mean(bounds >= 0.1) >= CONFIDENCE
    assert np.mean(bounds) < 0.25
    for error in (0.0, 0.02, 0.3):
        bound = risk_bound(error, 80, single=False)
        assert bound <= error + math.sqrt(math.log(1 / (1 - CONFIDENCE)) / 160) + 1e-9
    assert risk_bound(0.0, 0, single=False) == 1
    assert risk_bound(0.0, 59, single=False) <= 0.05 < risk_bound(0.0, 58, single=False)


@pytest.mark.parametrize("risk", [0.0, 1.0, -0.1, math.nan])
def test_risks_out_of_range_are_refused(risk):
    with pytest.raises(ValueError, match="above 0 and below 1"):
        calibrate_decisions(*classes([video(1, 0.5)]), fake_risk=risk)
