from itertools import pairwise

import cv2
import numpy as np
import pytest

from deepfake_mtl.data.degradations import Degraded
from deepfake_mtl.data.transforms import EvaluationTransform
from deepfake_mtl.data.treatments import TREATMENTS, parse_degradation
from deepfake_mtl.errors import ConfigurationError
from tests.data.videos import frame_pattern

SIZE = 64


def clip() -> np.ndarray:
    frames = frame_pattern(8, SIZE, SIZE)
    return np.stack([cv2.GaussianBlur(frame, (0, 0), 1) for frame in frames])


def degraded(name: str, strength: float, seed=(3, 1)) -> np.ndarray:
    return Degraded(EvaluationTransform(SIZE), f"{name}:{strength}")(clip(), seed)


@pytest.mark.parametrize("name", TREATMENTS)
def test_strengths_rise_and_leave_the_shape(name: str) -> None:
    strengths = [s for s in TREATMENTS[name].strengths if name != "downscale" or s < SIZE]
    errors = []
    for strength in strengths:
        result = degraded(name, strength)
        assert result.shape == clip().shape
        assert result.dtype == np.uint8
        np.testing.assert_array_equal(result, degraded(name, strength))  # by the seed alone
        errors.append(np.abs(result.astype(float) - clip()).mean())
    assert errors == sorted(errors)
    assert errors[0] > 0
    assert errors[-1] > 1.3 * errors[0]


def test_what_each_treatment_does() -> None:
    noise = degraded("noise", 4).astype(float) - clip()
    inside = (clip() > 30) & (clip() < 225)
    assert noise[inside].std() == pytest.approx(4, rel=0.05)
    assert not np.array_equal(degraded("noise", 4), degraded("noise", 4, seed=(3, 2)))

    frozen = degraded("drop", 0.5)
    still = [np.array_equal(a, b) for a, b in pairwise(frozen)]
    assert sum(still) == round(0.5 * 7)
    shown = [i for i in range(8) if np.array_equal(frozen[i], clip()[i])]
    assert 0 in shown
    np.testing.assert_array_equal(degraded("drop", 0), clip())

    np.testing.assert_array_equal(degraded("downscale", SIZE), clip())
    static = np.random.default_rng(0).integers(0, 256, clip().shape, np.uint8)
    for name, strength, left in (("downscale", SIZE // 2, 0.5), ("blur", 2.0, 0.2)):
        result = Degraded(EvaluationTransform(SIZE), f"{name}:{strength}")(static, (0,))
        assert 0.05 * static.std() < result.std() < left * static.std()


def test_odd_sizes_go_through_a_codec_of_even_ones() -> None:
    transform = Degraded(EvaluationTransform(33), "h264:18")
    result = transform(clip(), (0, 0))
    assert result.shape == (8, 33, 33, 3)
    expected = EvaluationTransform(33)(clip(), (0, 0))
    error = result.astype(float) - expected
    assert np.abs(error).mean() < 6
    assert abs(error.mean()) < 1  # neither darker nor brighter


@pytest.mark.parametrize(
    "text", ["jpg:50", "jpeg", "jpeg:high", "jpeg:101", "jpeg:nan", "drop:1.1", ":5", "h264:-1"]
)
def test_a_degradation_that_is_none(text: str) -> None:
    with pytest.raises(ConfigurationError, match="degradation"):
        parse_degradation(text)
