from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from deepfake_mtl.errors import ConfigurationError, VideoError
from deepfake_mtl.faces.boxes import Detections
from deepfake_mtl.faces.tracks import (
    SteadyTrack,
    TrackSettings,
    find_main_track,
    frames_to_look_at,
)

VIDEO = Path("video.mp4")
Face = tuple[float, float, float, float]  # centre x, centre y, side, score


def found(*faces: Face) -> Detections:
    boxes = [[x - 0.4 * s, y - s / 2, x + 0.4 * s, y + s / 2] for x, y, s, _ in faces]
    return Detections.of(boxes, [score for *_, score in faces])


def track(detections: dict[int, Detections], frames: int, **options: float) -> SteadyTrack:
    result = find_main_track(VIDEO, detections, frames, TrackSettings(**options))
    assert result.squares.shape == (frames, 3)
    assert result.scores.shape == result.present.shape == (frames,)
    assert np.isfinite(result.squares).all()
    return result


def walk(rng: np.random.Generator, frames: int, size: float) -> NDArray[np.float64]:
    """A face that moves and nods at random: centre and side in each frame."""
    t = np.arange(frames)[:, None] / 25
    phases, speeds = rng.uniform(0, (6, 3), (3, 3, 2)).transpose(2, 0, 1)
    waves = np.sin(t[..., None] * speeds + phases).sum(axis=-1)
    path = rng.uniform(2, 4, 2) * size + 0.1 * size * waves[:, :2]
    return np.column_stack([path, size * np.exp(0.05 * waves[:, 2])])


def test_every_fifth_frame_and_the_last_are_looked_at() -> None:
    assert frames_to_look_at(12) == [0, 5, 10, 11]
    assert frames_to_look_at(11) == [0, 5, 10]
    assert frames_to_look_at(1) == [0]
    assert frames_to_look_at(0) == []
    assert frames_to_look_at(3, step=1) == [0, 1, 2]


def test_noise_of_the_detector_goes_and_motion_stays() -> None:
    rng = np.random.default_rng(0)
    frames, size = 500, 100.0
    truth = walk(rng, frames, size)
    looks = frames_to_look_at(frames)
    noisy = truth[looks] + rng.normal(0, 0.03 * size, (len(looks), 3))
    noisy[rng.choice(len(looks), 5, replace=False), 2] *= 1.4  # single bad boxes
    result = track({n: found((*row, 0.9)) for n, row in zip(looks, noisy, strict=True)}, frames)
    plain = np.column_stack([np.interp(range(frames), looks, column) for column in noisy.T])

    def jitter(squares: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.diff(squares - truth, 2, axis=0).std(axis=0)

    assert (jitter(result.squares) < jitter(plain) * (0.1, 0.1, 0.01)).all()
    error = np.sqrt(np.mean((result.squares - truth) ** 2, axis=0))
    assert (error < 0.03 * size).all()
    assert (error < 0.9 * np.sqrt(np.mean((plain - truth) ** 2, axis=0))).all()
    assert result.present.all()
    assert (np.flatnonzero(~np.isnan(result.scores)) == looks).all()


def test_steady_motion_is_left_as_it_is_even_at_the_ends() -> None:
    frames = 83
    truth = np.array([[300 + 2.5 * t, 200 - 1.5 * t, 90 * 1.004**t] for t in range(frames)])
    result = track({n: found((*truth[n], 0.9)) for n in frames_to_look_at(frames)}, frames)
    assert np.abs(result.squares - truth).max() < 1e-3


def test_two_faces_that_cross_keep_their_tracks() -> None:
    frames = 250
    detections = {}
    for n in frames_to_look_at(frames):
        ours, other = (100 + 2 * n, 200.0, 80.0, 0.9), (600 - 2 * n, 206.0, 78.0, 0.9)
        hidden = abs(ours[0] - other[0]) < 30
        detections[n] = found(ours) if hidden else found(other, ours)
    result = track(detections, frames)
    assert np.abs(result.squares[:, 0] - (100 + 2 * np.arange(frames))).max() < 10
    assert np.abs(result.squares[:, 1] - 200).max() < 3


def test_a_track_lost_long_ago_takes_no_box_of_another() -> None:
    frames = 301
    looks = frames_to_look_at(frames)
    detections = {n: [(100 + 2 * n + n % 2 * 8.0, 200.0, 80.0, 0.9)] for n in looks}
    for n in (0, 5):
        detections[n].append((400.0, 200.0, 80.0, 0.9))  # where the other one is in frame 150
    result = track({n: found(*faces) for n, faces in detections.items()}, frames)
    assert np.isfinite(result.scores[looks]).all()


def test_the_face_that_stays_wins_over_larger_and_surer_ones() -> None:
    frames = 300
    looks = frames_to_look_at(frames)
    detections = {n: [(400.0, 200.0, 100.0, 0.8)] for n in looks}
    for n in looks[:12]:
        detections[n].insert(0, (900.0, 300.0, 320.0, 0.95))  # large, for a fifth of the time
    for n in looks:
        detections[n].insert(0, (100.0, 100.0, 40.0, 0.95))  # a small one behind
    for n in looks[::3]:
        detections[n].append((410.0, 215.0, 75.0, 0.7))  # half of the face once more
    result = track({n: found(*faces) for n, faces in detections.items()}, frames)
    assert np.abs(result.squares - (400, 200, 100)).max() < 1e-3


def test_gaps_are_bridged_and_marked_if_they_are_long() -> None:
    frames = 401
    detections = {n: found((200 + n / 10, 100, 60, 0.9)) for n in frames_to_look_at(frames)}
    for gone in (range(20), range(60, 85), range(150, 300), range(390, 401)):
        detections.update({n: Detections.of() for n in gone if n in detections})
    detections[220] = found((500, 300, 60, 0.9))  # a blip while it is gone
    result = track(detections, frames)
    assert np.abs(result.squares[20:386, 0] - (200 + np.arange(20, 386) / 10)).max() < 0.1
    assert (result.squares[:20] == result.squares[20]).all()
    assert (result.squares[385:] == result.squares[385]).all()
    expected = np.ones(frames, bool)
    for begin, end in ((0, 20), (146, 300), (386, frames)):
        expected[begin:end] = False
    assert (result.present == expected).all()


def test_a_cut_ends_the_track() -> None:
    frames = 300
    before, after = (200.0, 150.0, 80.0, 0.9), (500.0, 200.0, 90.0, 0.9)
    detections = {n: found(before if n < 200 else after) for n in frames_to_look_at(frames)}
    result = track(detections, frames)
    assert np.abs(result.squares - before[:3]).max() < 1e-3
    assert (result.present == (np.arange(frames) <= 195)).all()
    later = track({n: d for n, d in detections.items() if n >= 100}, frames)
    assert np.abs(later.squares[299] - before[:3]).max() > 80  # about 20 of each; the larger wins


def test_the_side_never_jumps_nor_is_smaller_than_the_face() -> None:
    frames = 200
    detections = {
        n: found((300, 300, 100 if n < 100 else 155, 0.9)) for n in frames_to_look_at(frames)
    }
    free = track(detections, frames, zoom=1.0).squares[:, 2]
    result = track(detections, frames).squares[:, 2]
    assert np.abs(np.diff(np.log(free))).max() > 0.012
    assert np.abs(np.diff(np.log(result))).max() < np.log(1.01) + 1e-9
    assert (result >= free - 1e-9).all()
    assert result[[0, -1]] == pytest.approx([100, 155], rel=1e-3)


@given(st.integers(0, 2**32 - 1), st.integers(1, 120), st.floats(0.3, 20), st.integers(-3000, 3000))
@settings(deadline=None, max_examples=40)
def test_squares_move_and_scale_with_the_picture(
    seed: int, frames: int, scale: float, shift: int
) -> None:
    rng = np.random.default_rng(seed)
    paths = [walk(rng, frames, 100 * factor) for factor in (1.0, 0.8)]
    plain, changed = {}, {}
    for n in frames_to_look_at(frames):
        faces = [path[n] + rng.normal(0, 4, 3) for path in paths if rng.random() < 0.9]
        scores = rng.uniform(0.6, 1, len(faces))
        plain[n] = found(*[(*face, s) for face, s in zip(faces, scores, strict=True)])
        moved = [face * scale + (shift, -shift, 0) for face in faces]
        changed[n] = found(*[(*face, s) for face, s in zip(moved, scores, strict=True)])
    try:
        first = track(plain, frames)
    except VideoError:
        with pytest.raises(VideoError):
            track(changed, frames)
        return
    second = track(changed, frames)
    expected = first.squares * scale + (shift, -shift, 0)
    assert np.abs(second.squares - expected).max() < 1e-3 * (100 * scale + abs(shift) / 100)
    assert (first.present == second.present).all()
    assert np.array_equal(first.scores, second.scores, equal_nan=True)


@given(st.integers(0, 2**32 - 1), st.integers(2, 40))
@settings(deadline=None, max_examples=30)
def test_backwards_in_time_gives_the_same_squares(seed: int, looks: int) -> None:
    rng = np.random.default_rng(seed)
    frames = 5 * (looks - 1) + 1
    faces = walk(rng, frames, 100.0) + rng.normal(0, 3, (frames, 3))
    ahead = {5 * i: found((*faces[5 * i], 0.9)) for i in range(looks)}
    back = {frames - 1 - n: detections for n, detections in ahead.items()}
    difference = track(ahead, frames).squares - track(back, frames).squares[::-1]
    assert np.abs(difference).max() < 1e-9


def test_why_there_is_no_track() -> None:
    with pytest.raises(VideoError) as caught:
        track({0: Detections.of(), 5: Detections.of()}, 8)
    assert str(caught.value) == (
        f"{VIDEO}: no usable face: no face was found in the 2 frames looked at"
    )
    looks = frames_to_look_at(96)
    detections = {n: found((50, 50, 30, 0.9)) if n < 20 else Detections.of() for n in looks}
    with pytest.raises(VideoError, match="found in 4 of the 20 frames looked at, 6 are needed"):
        track(detections, 96)
    with pytest.raises(VideoError, match=r"too small: 12\.0 pixels, 16 are needed"):
        track({0: found((50, 50, 12, 0.9))}, 1)
    assert track({0: found((50, 50, 20, 0.9))}, 1).squares == pytest.approx(
        np.array([[50, 50, 20]])
    )
    with pytest.raises(VideoError, match="no face was found in the 0 frames"):
        track({}, 0)
    with pytest.raises(ConfigurationError, match="frame 96, but the video has 96 frames"):
        track({96: Detections.of()}, 96)
    with pytest.raises(ConfigurationError, match="step must be at least 1"):
        TrackSettings(step=0)
