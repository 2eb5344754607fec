import multiprocessing
import pickle
import random

import cv2
import numpy as np
import pytest

from deepfake_mtl.data.transforms import (
    Augmentation,
    AugmentationSettings,
    ClipAugmentation,
    EvaluationTransform,
)
from deepfake_mtl.errors import ConfigurationError
from tests.data.videos import frame_pattern

PARTS = ("flip", "brightness", "hue", "blur", "noise", "downscale", "jpeg")
OFF = dict.fromkeys(PARTS, 0.0) | {"crop_scale": (1.0, 1.0)}
EVERYTHING = AugmentationSettings(**dict.fromkeys(PARTS, 1.0))


def global_state():
    return pickle.dumps((np.random.get_state(), random.getstate()))  # noqa: NPY002 (the global one)


@pytest.fixture(scope="module")
def clip():
    return frame_pattern(6, 40, 56)


@pytest.fixture(scope="module")
def still(clip):
    return np.repeat(clip[:1], 5, axis=0)


def test_all_frames_are_treated_alike(still):
    settings = AugmentationSettings(**dict.fromkeys(PARTS, 1.0) | {"noise": 0.0})
    augment = Augmentation(32, settings)
    for seed in range(40):
        result = augment(still, (seed, 7))
        assert np.array_equal(result, np.repeat(result[:1], len(still), axis=0))


def test_noise_is_fresh_in_every_frame_and_has_the_deviation_asked_for():
    grey = np.full((8, 64, 64, 3), 128, np.uint8)
    settings = AugmentationSettings(**OFF | {"noise": 1.0, "noise_deviation": (5.0, 5.0)})
    noise = Augmentation(64, settings)(grey, (1,)).astype(float) - 128
    assert noise.std() == pytest.approx(5, rel=0.02)
    assert abs(noise.mean()) < 0.1
    correlations = np.corrcoef(noise.reshape(8, -1))
    assert np.abs(correlations - np.eye(8)).max() < 0.05
    channels = np.corrcoef(noise.reshape(-1, 3).T)
    assert np.abs(channels - np.eye(3)).max() < 0.05


def test_the_seed_decides_and_nothing_else(clip):
    augment = Augmentation(32, EVERYTHING)
    first = augment(clip, (3, 1, 4))
    before = global_state()
    others = [augment(clip, (3, 1, i)) for i in range(5, 9)]
    assert global_state() == before
    assert len({other.tobytes() for other in [first, *others]}) == 5
    np.random.seed(0)  # noqa: NPY002 (the global state must not matter)
    random.seed(0)
    cv2.setRNGSeed(5)
    assert np.array_equal(augment(clip, (3, 1, 4)), first)
    assert np.array_equal(Augmentation(32, EVERYTHING)(clip, [3, 1, 4]), first)
    assert np.array_equal(pickle.loads(pickle.dumps(augment))(clip, (3, 1, 4)), first)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert np.array_equal(pool.apply(augment, (clip, (3, 1, 4))), first)


@pytest.mark.parametrize("part", PARTS)
def test_each_part_alone_changes_the_clip_and_off_means_off(clip, part):
    square = np.ascontiguousarray(clip[:, :, 8:48])
    plain = EvaluationTransform(32)(square, (0,))
    without = Augmentation(32, AugmentationSettings(**OFF))
    only = Augmentation(32, AugmentationSettings(**OFF | {part: 1.0}))
    assert np.array_equal(without(square, (2,)), plain)
    assert not np.array_equal(only(square, (2,)), plain)


def test_a_part_meets_the_share_of_clips_that_its_probability_says():
    ramp = np.tile(np.arange(16, dtype=np.uint8)[None, None, :, None], (1, 16, 1, 3))
    augment = Augmentation(16, AugmentationSettings(**OFF | {"flip": 0.25}))
    flipped = [augment(ramp, (0, i))[0, 0, 0, 0] == 15 for i in range(800)]
    assert np.mean(flipped) == pytest.approx(0.25, abs=0.05)


def test_crops_are_square_undistorted_and_everywhere():
    # Each pixel tells its place: red its column, green its row.
    rows, columns = np.mgrid[:40, :100]
    frame = np.stack([columns, rows, np.zeros_like(rows)], axis=-1).astype(np.uint8)[None]
    settings = AugmentationSettings(**OFF | {"crop_scale": (0.5, 1.0)})
    lefts, tops = [], []
    for seed in range(200):
        crop = Augmentation(64, settings)(frame, (seed,))[0].astype(int)
        across, down = crop[0, -1, 0] - crop[0, 0, 0], crop[-1, 0, 1] - crop[0, 0, 1]
        assert across == down
        assert 18 <= across < 40
        lefts.append(crop[0, 0, 0])
        tops.append(crop[0, 0, 1])
    assert min(lefts) < 5
    assert max(lefts) > 65
    assert min(tops) == 0
    assert max(tops) > 12


@pytest.mark.parametrize("shape", [(1, 37, 51, 3), (3, 51, 37, 3), (2, 20, 20, 3), (1, 1, 1, 3)])
def test_any_frame_becomes_a_square(shape):
    frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for transform in (EvaluationTransform(32), Augmentation(32, EVERYTHING), Augmentation(32)):
        result = transform(frames, (0, 0))
        assert result.shape == (shape[0], 32, 32, 3)
        assert result.dtype == np.uint8
        assert result.flags.c_contiguous


def test_evaluation_takes_the_square_in_the_middle(clip):
    assert np.array_equal(EvaluationTransform(40)(clip, (0,)), clip[:, :, 8:48])
    halved = EvaluationTransform(20)(clip, (5,)).astype(float)
    means = clip[:, :, 8:48].reshape(6, 20, 2, 20, 2, 3).mean((2, 4))
    assert np.abs(halved - means).max() <= 0.5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("flip", -0.1),
        ("jpeg", 1.5),
        ("noise", float("nan")),
        ("crop_scale", (0.0, 1.0)),
        ("crop_scale", (0.9, 0.8)),
        ("jpeg_quality", (0, 50)),
        ("hue_shift", 181.0),
    ],
)
def test_settings_out_of_range_are_named(name, value):
    with pytest.raises(ConfigurationError, match=f"augmentation.{name}"):
        AugmentationSettings(**{name: value})


def test_a_size_below_one_is_refused():
    for transform in (Augmentation, EvaluationTransform):
        with pytest.raises(ConfigurationError, match="size"):
            transform(0)


class Brighter(ClipAugmentation):
    def __call__(self, clip, generator):
        return clip + np.uint8(generator.integers(1, 20))


class Half(ClipAugmentation):
    def __call__(self, clip, generator):  # noqa: ARG002
        return clip[:, ::2]


def test_augmentations_of_ones_own_follow_and_draw_from_the_seed(clip):
    plain = Augmentation(32, EVERYTHING)
    augment = pickle.loads(pickle.dumps(Augmentation(32, EVERYTHING, [Brighter(), Brighter()])))
    shifts = {}
    for seed in range(8):
        (shift,) = np.unique(augment(clip, (seed, 1)) - plain(clip, (seed, 1)))
        assert np.array_equal(augment(clip, (seed, 1)), plain(clip, (seed, 1)) + shift)
        shifts[seed] = shift
    assert len(set(shifts.values())) > 2
    with pytest.raises(ConfigurationError, match=r"Half made a clip of shape \(6, 16, 32, 3\)"):
        Augmentation(32, EVERYTHING, [Half()])(clip, (0, 1))
