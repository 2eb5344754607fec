"""Pictures are shown upright, unmirrored, and with square pixels."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from deepfake_mtl.data.video import iterate_frames, probe, read_clip
from deepfake_mtl.data.video.geometry import Geometry
from tests.data.videos import frame_pattern, write_video

ONE = 1 << 16


def write(path: Path, frames, *, matrix=None, aspect=None) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "0"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv444p"
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if matrix is not None:
            stream.set_display_matrix(matrix)
        for picture in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


# (x, y) is shown at (a x + c y, b x + d y): a, b, c, d, and what NumPy calls it.
MATRICES = {
    "as it is": ((1, 0, 0, 1), lambda picture: picture),
    "mirrored": ((-1, 0, 0, 1), np.fliplr),
    "upside down, mirrored": ((1, 0, 0, -1), np.flipud),
    "half a turn": ((-1, 0, 0, -1), lambda picture: np.rot90(picture, 2)),
    "a quarter turn clockwise": ((0, 1, -1, 0), lambda picture: np.rot90(picture, -1)),
    "a quarter turn back": ((0, -1, 1, 0), np.rot90),
    "transposed": ((0, 1, 1, 0), lambda picture: picture.swapaxes(0, 1)),
    "the other diagonal": (
        (0, -1, -1, 0),
        lambda picture: np.rot90(picture, 2).swapaxes(0, 1),
    ),
}


@pytest.mark.parametrize("name", MATRICES)
def test_all_turns_and_flips(tmp_path: Path, name: str) -> None:
    (a, b, c, d), expected = MATRICES[name]
    plain, turned = tmp_path / "plain.mp4", tmp_path / "turned.mp4"
    frames = frame_pattern(3, 32, 48)
    write(plain, frames)
    # The shift keeps the picture in sight; it changes nothing.
    shift = [(48 * ONE if a + c < 0 else 0), (32 * ONE if b + d < 0 else 0)]
    matrix = [a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, *shift, 1 << 30]
    write(turned, frames, matrix=matrix)
    truth = [expected(picture) for picture in read_clip(plain, 0, 3)]
    found = read_clip(turned, 0, 3)
    np.testing.assert_array_equal(found, truth)
    assert found.flags.c_contiguous
    for frame, picture in zip(iterate_frames(turned), truth, strict=True):
        assert (frame.height, frame.width) == picture.shape[:2]
        np.testing.assert_array_equal(frame.rgb(), picture)
        rows, columns = range(3, frame.height - 5), range(7, frame.width - 2)
        np.testing.assert_array_equal(
            frame.rgb((rows, columns)), picture[3 : rows.stop, 7 : columns.stop]
        )
        small = cv2.resize(picture, (24, 16), interpolation=cv2.INTER_AREA).astype(int)
        assert np.abs(frame.scaled(24, 16) - small).max() <= 3


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
@pytest.mark.parametrize("aspect", [Fraction(4, 3), Fraction(8, 9), Fraction(64, 45)])
@pytest.mark.parametrize("turned", [False, True])
def test_pixels_become_square(
    tmp_path: Path, aspect: Fraction, suffix: str, *, turned: bool
) -> None:
    if turned and suffix == ".avi":
        pytest.skip("AVI turns nothing")
    # A disc as players show it, squeezed as it is stored.
    height, width = 90, 144
    y, x = np.mgrid[:height, :width] + 0.5
    radius = 30
    distance = np.hypot((x - width / 2) * float(aspect), y - height / 2)
    picture = np.where(distance < radius, 235, 20).astype(np.uint8)
    path = tmp_path / f"a{suffix}"
    matrix = [0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30] if turned else None
    write(path, [np.repeat(picture[..., None], 3, 2)] * 3, aspect=aspect, matrix=matrix)
    size = (height, round(width * aspect))
    clip = read_clip(path, 0, 3)
    assert clip.shape == (3, *(size[::-1] if turned else size), 3)
    for shown in (*clip, *(frame.rgb() for frame in iterate_frames(path))):
        rows, columns = np.nonzero(shown.mean(-1) > 128)
        for places in (rows, columns):
            assert abs(np.ptp(places) + 1 - 2 * radius) <= 2
    frame = next(iterate_frames(path))
    window = range(10, 40), range(20, 75)
    np.testing.assert_array_equal(frame.rgb(window), frame.rgb()[10:40, 20:75])
    info = probe(path)
    assert (info.width, info.height) == (width, height)


def test_an_aspect_that_no_camera_has_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write(path, frame_pattern(2), aspect=Fraction(1000, 1))
    assert read_clip(path, 0, 2).shape == (2, 48, 64, 3)


def test_a_plain_picture_is_converted_once(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, frame_pattern(1))
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    geometry = Geometry.of(frame, Fraction(1))
    assert geometry.is_plain
    out = np.zeros((48, 64, 3), np.uint8)
    assert geometry.to_rgb(frame, out=out) is out
    np.testing.assert_array_equal(out, read_clip(path, 0, 1)[0])
