from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from deepfake_mtl.data import reading
from deepfake_mtl.data.reading import Frame, iterate_frames
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.faces.crops import covered, crop, crop_each, looked_at
from tests.data.videos import write_video

SIZE = 64


def square(x: float, y: float, side: float) -> NDArray[np.float64]:
    return np.array([x, y, side])


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def plaid(height: int, width: int, dx: float, dy: float, period: float) -> NDArray[np.uint8]:
    """A smooth pattern at any place, by its formula."""
    x, y = np.arange(width) + 0.5 - dx, np.arange(height)[:, None] + 0.5 - dy
    waves = [np.sin(2 * np.pi * (x + k * y) / (period * (1 + k / 5))) for k in (0.0, 0.6, -0.8)]
    return np.rint(128 + 40 * np.stack(waves, axis=-1)).astype(np.uint8)


def test_a_square_of_the_final_size_on_whole_pixels_is_copied() -> None:
    frame = noise(100, 120)
    assert (crop(frame, square(60, 50, SIZE), SIZE, margin=1) == frame[18:82, 28:92]).all()
    whole = crop(frame[:SIZE, :SIZE], square(32, 32, SIZE / 1.3), SIZE)
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
    result = crop(frame, square(x, y, side), SIZE, margin=1).astype(float)
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
                crop(frame, square(x, y, side), SIZE, margin=1)
                for frame, (x, y) in zip(frames, places, strict=True)
            ]
        ).astype(float)

    steady = film(moves=True).std(axis=0).mean()
    assert steady < 0.75  # levels; rounding to 8 bits twice makes 0.4
    assert steady < 0.15 * film(moves=False).std(axis=0).mean() * max(ratio, 1)


def test_the_sharpness_changes_little_as_the_square_drifts_and_grows() -> None:
    frame = np.asarray(cv2.GaussianBlur(noise(200, 200), (0, 0), 0.8), np.uint8)

    def sharpness(offset: float, side: float) -> float:
        cut = crop(frame, square(100 + offset, 100 + offset, side), SIZE, margin=1)
        return float(cv2.Laplacian(cut, cv2.CV_32F).std())

    drift = [sharpness(offset, 0.9 * SIZE) for offset in np.linspace(0, 1, 9)]
    assert np.ptp(drift) < 0.03 * np.mean(drift)
    growth = [sharpness(0.3, SIZE + d) for d in (-0.02, 0, 0.02)]  # where shrinking begins
    assert np.ptp(growth) < 0.02 * np.mean(growth)


def test_shrinking_does_not_alias() -> None:
    board = np.indices((600, 600)).sum(axis=0) % 2 * 255
    frame = np.repeat(board[..., None], 3, axis=2).astype(np.uint8)
    result = crop(frame, square(300.2, 299.7, 64 * 4.4), SIZE, margin=1)
    assert np.abs(result.astype(float) - 127.5).max() < 10


@pytest.mark.parametrize("side", [40.0, 150.5])
def test_beyond_the_border_its_pixels_go_on(side: float) -> None:
    frame = noise(90, 110)
    padded = np.pad(frame, ((200, 200), (200, 200), (0, 0)), mode="edge")
    for x, y in ((3.3, 5.1), (108.2, 87.9), (55.0, 45.0)):
        outside = crop(frame, square(x, y, side), SIZE)
        inside = crop(padded, square(x + 200, y + 200, side), SIZE)
        assert np.abs(outside.astype(int) - inside).max() <= 1
    corner = crop(frame, square(-500.0, -400.0, side), SIZE)
    assert (corner == frame[0, 0]).all()


@settings(deadline=None)
@given(st.floats(-150, 300), st.floats(-150, 300), st.floats(1, 400), st.sampled_from([1.0, 1.3]))
def test_the_rest_of_the_frame_does_not_matter(
    x: float, y: float, side: float, margin: float
) -> None:
    frame = noise(110, 150)
    where = square(x, y, side)
    rows, columns = looked_at(where, SIZE, 110, 150, margin)
    other = 255 - frame
    other[rows.start : rows.stop, columns.start : columns.stop] = frame[
        rows.start : rows.stop, columns.start : columns.stop
    ]
    whole = crop(frame, where, SIZE, margin)
    np.testing.assert_array_equal(crop(other, where, SIZE, margin), whole)
    part = Frame(frame).part((rows, columns))
    np.testing.assert_array_equal(crop(part, where, SIZE, margin), whole)


def test_masks_are_cut_alike_and_tell_how_much_is_covered() -> None:
    y, x = np.ogrid[:300, :300]
    mask = np.where(np.hypot(x + 0.5 - 150, y + 0.5 - 140) < 60, 255, 0).astype(np.uint8)
    for side in (130.0, 260.0):
        cut = crop(mask, square(148.3, 141.9, side), SIZE, margin=1)
        colour = crop(np.dstack([mask] * 3), square(148.3, 141.9, side), SIZE, margin=1)
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
        crop(noise(10, 10), square(*place), size, margin)


def ramps(
    pix_fmt: str, height: int, width: int, colorspace: int, *, full_range: bool
) -> av.VideoFrame:
    """A decoded frame whose planes rise evenly."""
    frame = av.VideoFrame(width, height, pix_fmt)
    frame.colorspace, frame.color_range = colorspace, 2 if full_range else 1
    for i, plane in enumerate(frame.planes):
        down, across = -(-height // plane.height), -(-width // plane.width)
        y = (np.arange(plane.height) + 0.5)[:, None] * down
        x = (np.arange(plane.width) + 0.5) * across
        samples = np.zeros((plane.height, plane.line_size), np.uint8)
        samples[:, : plane.width] = np.rint(_ramp(i, y, x))
        plane.update(samples.tobytes())
    return frame


def _ramp(i: int, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    return (90, 120, 130)[i] + (0.3, 0.2, -0.15)[i] * x + (0.2, -0.25, 0.15)[i] * y


def _rgb(yuv: NDArray[np.float64], colorspace: int, *, full_range: bool) -> NDArray[np.float64]:
    red, blue = {1: (0.2126, 0.0722), 6: (0.299, 0.114)}[colorspace]
    luma = yuv[..., 0] / 255 if full_range else (yuv[..., 0] - 16) / 219
    cb, cr = ((yuv[..., i] - 128) / (255 if full_range else 224) for i in (1, 2))
    r, b = luma + 2 * (1 - red) * cr, luma + 2 * (1 - blue) * cb
    g = (luma - red * r - blue * b) / (1 - red - blue)
    return 255 * np.stack([r, g, b], axis=-1)


@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv422p", "yuv420p", "yuvj420p"])
@pytest.mark.parametrize("colorspace", [1, 6])
@pytest.mark.parametrize("side", [40.3, 64.0, 101.7])
def test_planes_are_sampled_where_their_samples_lie(
    pix_fmt: str, colorspace: int, side: float
) -> None:
    height, width = 151, 163  # the last sample of chroma stands for half as many pixels
    full_range = pix_fmt == "yuvj420p"
    frame = Frame(ramps(pix_fmt, height, width, colorspace, full_range=full_range))
    x, y = 82.21, 74.43
    step = side / SIZE
    places = (np.arange(SIZE) + 0.5) * step - side / 2
    across, down = x + places, (y + places)[:, None]
    truth = _rgb(
        np.stack([np.broadcast_to(_ramp(i, down, across), (SIZE, SIZE)) for i in range(3)], -1),
        colorspace,
        full_range=full_range,
    )
    error = crop(frame, square(x, y, side), SIZE, margin=1) - truth
    # Half a pixel of the crop is 0.3 to 0.5 levels and more; what is left comes of rounded samples.
    assert np.abs(error).max() < 2.2
    assert np.abs(error.mean(axis=(0, 1))).max() < 0.12


@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv420p"])
def test_planes_give_what_rgb_gives_but_for_rounding(tmp_path: Path, pix_fmt: str) -> None:
    path = tmp_path / "a.mkv"
    pictures = np.stack([plaid(120, 150, t, t, 24) for t in range(2)])
    write_video(path, pictures, pix_fmt=pix_fmt, codec="ffv1", bframes=0)
    for frame in iterate_frames(path):
        for x, y, side in ((70.3, 61.7, 50.0), (75.5, 60.1, 90.0), (20.0, 110.0, 64.0)):
            planes = crop(frame, square(x, y, side), SIZE, margin=1).astype(int)
            rgb = crop(frame.rgb(), square(x, y, side), SIZE, margin=1)
            assert np.abs(planes - rgb).max() <= (1 if pix_fmt == "yuv444p" else 8)
            assert np.abs((planes - rgb).mean(axis=(0, 1))).max() < 0.25


@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv420p"])
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_turned_frames_are_cut_upright(
    monkeypatch: pytest.MonkeyPatch, pix_fmt: str, turns: int
) -> None:
    picture = ramps(pix_fmt, 120, 150, 6, full_range=False)
    level = Frame(picture)
    monkeypatch.setattr(reading, "quarter_turns", lambda _: turns)
    frame = Frame(picture)
    assert (frame.height, frame.width) == ((150, 120) if turns % 2 else (120, 150))
    np.testing.assert_array_equal(frame.rgb(), np.rot90(level.rgb(), turns))
    x, y = (50.3, 66.1)
    rows, columns = looked_at(square(x, y, 40), SIZE, frame.height, frame.width, margin=1)
    whole = frame.rgb()[rows.start : rows.stop, columns.start : columns.stop]
    part = frame.part((rows, columns))
    np.testing.assert_array_equal(part.rgb(), whole)
    assert not part.holds((range(rows.start - 1, rows.stop), columns))
    cut = crop(part, square(x, y, 40), SIZE, margin=1)
    np.testing.assert_array_equal(cut, crop(frame, square(x, y, 40), SIZE, margin=1))
    assert np.abs(cut.astype(int) - crop(frame.rgb(), square(x, y, 40), SIZE, margin=1)).max() <= 2
    shrunk = cv2.resize(frame.rgb(), (30, 40), interpolation=cv2.INTER_AREA)
    assert np.abs(frame.scaled(30, 40).astype(int) - shrunk).max() <= 3


@settings(deadline=None, max_examples=50)
@given(st.floats(-100, 250), st.floats(-100, 250), st.floats(1, 300), st.booleans())
def test_a_part_of_subsampled_planes_is_enough(x: float, y: float, side: float, odd: bool) -> None:
    frame = Frame(ramps("yuv420p", 110 + odd, 150 + odd, 6, full_range=False))
    where = square(x, y, side)
    part = frame.part(looked_at(where, SIZE, frame.height, frame.width))
    np.testing.assert_array_equal(crop(part, where, SIZE), crop(frame, where, SIZE))


def test_many_at_once_are_cut_as_one_by_one() -> None:
    frame = Frame(ramps("yuv420p", 111, 150, 6, full_range=False))
    # Of sides where boxes are of one, three and five samples, more than are weighed at once.
    squares = np.array([[70 + i / 3, 50 - i / 5, 20 + 6.3 * i] for i in range(40)])
    cuts = list(crop_each([frame] * 40, squares, SIZE))
    np.testing.assert_array_equal(cuts, [crop(frame, each, SIZE) for each in squares])


def test_grey_stays_grey() -> None:
    for level in (0, 1, 127, 254, 255):
        frame = np.full((90, 110, 3), level, np.uint8)
        for side in (13.7, 63.3, 70.1, 300.3):
            assert (crop(frame, square(50.3, 41.7, side), SIZE) == level).all()
