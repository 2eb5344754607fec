import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.faces.crops import Square, covered, crop, looked_at

SIZE = 64


def square(x: float, y: float, side: float, margin: float = 1.0) -> Square:
    """The square around a centre."""
    left, top, covering = covered(np.array([x, y, side]), margin).tolist()
    return left, top, covering


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def plaid(height: int, width: int, dx: float, dy: float, period: float) -> NDArray[np.uint8]:
    """A smooth pattern at any place, by its formula."""
    x, y = np.arange(width) + 0.5 - dx, np.arange(height)[:, None] + 0.5 - dy
    waves = [np.sin(2 * np.pi * (x + k * y) / (period * (1 + k / 5))) for k in (0.0, 0.6, -0.8)]
    return np.rint(128 + 40 * np.stack(waves, axis=-1)).astype(np.uint8)


def test_a_square_of_the_final_size_on_whole_pixels_is_copied() -> None:
    frame = noise(100, 120)
    assert (crop(frame, square(60, 50, SIZE), SIZE) == frame[18:82, 28:92]).all()
    whole = crop(frame[:SIZE, :SIZE], square(32, 32, SIZE / 1.3, 1.3), SIZE)
    assert (whole == frame[:SIZE, :SIZE]).all()
    assert covered(np.array([[60, 50, 20], [32, 32, 10]]), 1.5).tolist() == [
        [45, 35, 30],
        [24.5, 24.5, 15],
    ]


@pytest.mark.parametrize("side", [20.3, 48.0, 63.9, 64.0, 64.1, 100.7, 311.0, 1500.5])
def test_every_pixel_shows_the_middle_of_what_it_covers(side: float) -> None:
    height, width = 2160, 3840
    x, y = 1000.37, 1100.81
    ramps = np.zeros((height, width, 3), np.float32)
    scale = 200 / side  # the ramps pass through 128 at the centre of the square
    ramps[..., 0] = 128 + (np.arange(width) + 0.5 - x) * scale
    ramps[..., 1] = (128 + (np.arange(height) + 0.5 - y) * scale)[:, None]
    frame = np.rint(ramps.clip(0, 255)).astype(np.uint8)
    places = 128 + ((np.arange(SIZE) + 0.5) / SIZE - 0.5) * 200
    result = crop(frame, square(x, y, side), SIZE).astype(float)
    assert result.shape == (SIZE, SIZE, 3)
    for error in (result[..., 0] - places, result[..., 1] - places[:, None]):
        assert np.abs(error).max() < 1.3  # half a pixel of the crop would be 1.6
        assert np.abs(error.mean()) < 0.5  # what rounding can make


@pytest.mark.parametrize("ratio", [0.7, 0.97, 1.3, 1.9, 4.4])
def test_what_moves_with_the_square_stands_still(ratio: float) -> None:
    side = SIZE * ratio
    extent = int(side) + 30
    shifts = np.linspace(0, 3, 13)
    centre = extent / 2 - 1.5

    def film(moves: bool) -> NDArray[np.float64]:
        frames = [plaid(extent, extent, t, 0.6 * t, 12 * max(ratio, 1)) for t in shifts]
        places = [(centre + t, centre + 0.6 * t) for t in shifts]
        if not moves:  # what whole pixels would give
            places = [(round(x), round(y)) for x, y in places]
        return np.stack(
            [
                crop(frame, square(x, y, side), SIZE)
                for frame, (x, y) in zip(frames, places, strict=True)
            ]
        ).astype(float)

    steady = film(moves=True).std(axis=0).mean()
    assert steady < 0.75  # levels; rounding to 8 bits twice makes 0.4
    assert steady < 0.15 * film(moves=False).std(axis=0).mean() * max(ratio, 1)


def test_the_sharpness_changes_little_as_the_square_drifts_and_grows() -> None:
    frame = np.asarray(cv2.GaussianBlur(noise(200, 200), (0, 0), 0.8), np.uint8)

    def sharpness(offset: float, side: float) -> float:
        cut = crop(frame, square(100 + offset, 100 + offset, side), SIZE)
        return float(cv2.Laplacian(cut, cv2.CV_32F).std())

    drift = [sharpness(offset, 0.9 * SIZE) for offset in np.linspace(0, 1, 9)]
    assert np.ptp(drift) < 0.03 * np.mean(drift)
    growth = [sharpness(0.3, SIZE + d) for d in (-0.02, 0, 0.02)]  # where shrinking begins
    assert np.ptp(growth) < 0.02 * np.mean(growth)


def test_shrinking_does_not_alias() -> None:
    board = np.indices((600, 600)).sum(axis=0) % 2 * 255
    frame = np.repeat(board[..., None], 3, axis=2).astype(np.uint8)
    result = crop(frame, square(300.2, 299.7, 64 * 4.4), SIZE)
    assert np.abs(result.astype(float) - 127.5).max() < 10


@pytest.mark.parametrize("side", [40.0, 150.5])
def test_beyond_the_border_its_pixels_go_on(side: float) -> None:
    frame = noise(90, 110)
    padded = np.pad(frame, ((200, 200), (200, 200), (0, 0)), mode="edge")
    for x, y in ((3.3, 5.1), (108.2, 87.9), (55.0, 45.0)):
        outside = crop(frame, square(x, y, side, 1.3), SIZE)
        inside = crop(padded, square(x + 200, y + 200, side, 1.3), SIZE)
        assert np.abs(outside.astype(int) - inside).max() <= 1
    corner = crop(frame, square(-500.0, -400.0, side, 1.3), SIZE)
    assert (corner == frame[0, 0]).all()


@given(st.floats(-150, 300), st.floats(-150, 300), st.floats(1, 400), st.sampled_from([1.0, 1.3]))
def test_the_rest_of_the_frame_does_not_matter(
    x: float, y: float, side: float, margin: float
) -> None:
    frame = noise(110, 150)
    where = square(x, y, side, margin)
    rows, columns = looked_at(where, SIZE, 110, 150)
    other = 255 - frame
    other[rows.start : rows.stop, columns.start : columns.stop] = frame[
        rows.start : rows.stop, columns.start : columns.stop
    ]
    whole = crop(frame, where, SIZE)
    np.testing.assert_array_equal(crop(other, where, SIZE), whole)
    part = frame[rows.start : rows.stop, columns.start : columns.stop]
    moved = (where[0] - columns.start, where[1] - rows.start, where[2])
    # Places are rounded to 1 / 32 of a pixel, which may turn out otherwise after a subtraction.
    assert np.abs(crop(part, moved, SIZE).astype(int) - whole).mean() < 0.5


def test_masks_are_cut_alike_and_tell_how_much_is_covered() -> None:
    y, x = np.ogrid[:300, :300]
    mask = np.where(np.hypot(x + 0.5 - 150, y + 0.5 - 140) < 60, 255, 0).astype(np.uint8)
    for side in (130.0, 260.0):
        cut = crop(mask, square(148.3, 141.9, side), SIZE)
        colour = crop(np.dstack([mask] * 3), square(148.3, 141.9, side), SIZE)
        assert (colour == cut[..., None]).all()
        area = cut.mean() / 255 * side**2
        assert area == pytest.approx(np.pi * 60**2, rel=0.01)


@pytest.mark.parametrize(
    ("place", "size", "margin"),
    [((5, 5, 0), 8, 1.3), ((5, 5, 4), 0, 1.3), ((5, 5, 4), 8, -1), ((np.nan, 5, 4), 8, 1.3)],
)
def test_a_crop_without_pixels_is_refused(
    place: tuple[float, float, float], size: int, margin: float
) -> None:
    with pytest.raises(ConfigurationError, match="greater than 0"):
        crop(noise(10, 10), square(*place, margin), size)
