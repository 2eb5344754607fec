"""Faces that are followed on the way are where the whole video says that they are."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from deepfake_mtl.data.video import Frame
from deepfake_mtl.faces.boxes import Detections
from deepfake_mtl.faces.tracks import TrackSettings, find_main_track, frames_to_look_at
from deepfake_mtl.inference.tracking import FaceTracker
from deepfake_mtl.inference.views import View
from tests.faces.test_tracks import found, walk


class Script:
    """Finds what is written down, frame by frame that it is asked about."""

    digest = "script"

    def __init__(self, script: dict[int, Detections]) -> None:
        self._script = iter(sorted(script.items()))
        self.asked: list[int] = []

    def detect(self, frame: Frame) -> Detections:
        number, found_there = next(self._script)
        self.asked.append(number)
        assert frame.rgb()[0, 0, 0] == number % 256
        return found_there


def frames(count: int) -> Iterator[Frame]:
    for number in range(count):
        yield Frame(np.full((4, 4, 3), number % 256, np.uint8), number / 25)


def uncropped(frame: Frame, square: np.ndarray) -> tuple[np.ndarray, tuple[float, float, float]]:
    return frame.rgb(), tuple(square)


def follow(
    script: dict[int, Detections], count: int, settings: TrackSettings, **options: int
) -> list[list[View]]:
    tracker = FaceTracker(Script(script), settings, uncropped, **options)
    followed = list(tracker.views(frames(count)))
    assert [time for time, _ in followed] == [number / 25 for number in range(count)]
    for number, (_, faces) in enumerate(followed):
        for view in faces:
            assert (view.number, view.picture[0, 0, 0]) == (number, number % 256)
            assert view.side == view.square[2]
    return [faces for _, faces in followed]


@pytest.mark.parametrize("seed", range(3))
def test_squares_are_those_of_the_whole_video(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, settings = 700, TrackSettings()
    truth = walk(rng, count, 90.0)
    looks = frames_to_look_at(count)
    script = {
        n: found((*(truth[n] + rng.normal(0, 2.0, 3)), 0.9)) if rng.random() < 0.9 else found()
        for n in looks
    }
    for n in [n for n in looks if 300 <= n < 340]:  # a gap that is bridged
        script[n] = found()
    whole = find_main_track(Path("video.mp4"), script, count, settings)
    followed = follow(script, count, settings)
    for number, faces in enumerate(followed):
        assert bool(faces) == bool(whole.present[number])
        for face in faces:
            np.testing.assert_allclose(face.square, whole.squares[number], atol=1e-6)
    assert any(not faces for faces in followed) == (not whole.present.all())


def test_each_of_several_faces_keeps_its_number() -> None:
    count = 300
    script = {
        n: found((100, 100, 50, 0.9), *([(300 + n / 10, 120, 60, 0.8)] if n >= 100 else []))
        for n in frames_to_look_at(count)
    }
    followed = follow(script, count, TrackSettings())
    assert [[face.face for face in faces] for faces in followed[:100]] == [[0]] * 100
    assert [[face.face for face in faces] for faces in followed[100:]] == [[0, 1]] * 200
    assert followed[0][0].found
    assert followed[1][0].found is None
    # With hardly any memory frames wait for less, and none is lost.
    hurried = follow(script, count, TrackSettings(), kept_bytes=100)
    for one, other in zip(followed, hurried, strict=True):
        assert [face.face for face in one] == [face.face for face in other]
        for face, same in zip(one, other, strict=True):
            np.testing.assert_allclose(face.square, same.square, atol=2)


def test_a_face_that_goes_is_gone_and_counts_anew_after_a_minute() -> None:
    count = 2000
    here = found((100, 100, 50, 0.9))
    script = {n: here if n < 200 or n >= 1900 else found() for n in frames_to_look_at(count)}
    seen = [[face.face for face in faces] for faces in follow(script, count, TrackSettings())]
    assert seen[195] == [0]
    assert not any(seen[n] for n in range(196, 1900))
    assert seen[1950] == [1]
    assert seen[1999] == [1]


def test_no_more_frames_wait_than_the_squares_need() -> None:
    count = 1000

    class Counted(Frame):
        __slots__ = ("__weakref__",)

    import weakref  # noqa: PLC0415

    living: weakref.WeakSet[Counted] = weakref.WeakSet()

    def source() -> Iterator[Frame]:
        for number in range(count):
            frame = Counted(np.full((4, 4, 3), number % 256, np.uint8), 0.0)
            living.add(frame)
            yield frame

    script = {n: found((100, 100, 50, 0.9)) for n in frames_to_look_at(count)}
    tracker = FaceTracker(Script(script), TrackSettings(), uncropped)
    assert max(len(living) for _ in tracker.views(source())) < 130
