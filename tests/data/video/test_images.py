"""Folders of frames: what is a frame, at which size, and what is damaged."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepfake_mtl.data.video import iterate_frames, probe, read_clip
from deepfake_mtl.errors import VideoError
from tests.data.videos import frame_pattern


def encoded(ending: str, picture) -> bytes:
    return cv2.imencode(ending, picture[..., ::-1])[1].tobytes()


@pytest.mark.parametrize("other", ["1.png", "01.png", "1.JPEG"])
def test_two_images_of_one_number_are_no_two_frames(tmp_path: Path, other: str) -> None:
    (picture,) = frame_pattern(1)
    (tmp_path / "1.jpg").write_bytes(encoded(".jpg", picture))
    (tmp_path / "2.jpg").write_bytes(encoded(".jpg", picture))
    assert probe(tmp_path).frames == 2
    (tmp_path / other).write_bytes(encoded(".png", picture))
    for act in (probe, lambda path: read_clip(path, 0, 1), lambda path: list(iterate_frames(path))):
        with pytest.raises(VideoError, match=r"would both be the same frame; remove one"):
            act(tmp_path)


def test_images_of_other_sizes_are_scaled_to_the_first(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    y, x = np.mgrid[0:1:48j, 0:1:64j]
    slopes = np.stack([200 * x + 20, 180 * y + 30, 100 * (x + y) + 20], -1).astype(np.uint8)
    sizes = [(64, 48), *generator.integers(40, 90, (6, 2)).tolist()]
    for number, size in enumerate(sizes):
        image = cv2.resize(slopes, size, interpolation=cv2.INTER_LINEAR)
        (tmp_path / f"{number}.png").write_bytes(encoded(".png", image))
    info = probe(tmp_path)
    assert (info.frames, info.width, info.height, info.codec) == (7, 64, 48, "png")
    clip = read_clip(tmp_path, 0, 7)
    assert clip.shape == (7, 48, 64, 3)
    assert np.abs(clip.astype(int) - slopes).max() <= 8
    np.testing.assert_array_equal(clip[0], slopes)
    # A frame has the same bits in every clip.
    np.testing.assert_array_equal(read_clip(tmp_path, 3, 2, 2), clip[3:6:2])
    np.testing.assert_array_equal([f.rgb() for f in iterate_frames(tmp_path)], clip)


@pytest.mark.parametrize("content", [".png", ".jpg"])
@pytest.mark.parametrize("name", ["0.png", "0.jpg", "0.jpeg"])
def test_the_content_and_not_the_name_says_what_an_image_is(
    tmp_path: Path, name: str, content: str
) -> None:
    (picture,) = frame_pattern(1)
    data = encoded(content, picture)
    (tmp_path / name).write_bytes(data)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(read_clip(tmp_path, 0, 1)[0], expected)
    assert probe(tmp_path).codec == {".png": "png", ".jpg": "jpeg"}[content]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    ending=st.sampled_from([".png", ".jpg"]),
    size=st.tuples(st.integers(8, 40), st.integers(8, 40)),
    appended=st.binary(max_size=3000),
    cut=st.floats(0.1, 0.999),
    progressive=st.booleans(),
    restarts=st.integers(0, 3),
)
def test_bytes_behind_the_end_are_no_damage_and_missing_ones_are(
    tmp_path: Path, ending: str, size, appended: bytes, cut: float, *, progressive, restarts
) -> None:
    picture = np.random.default_rng(size[0]).integers(0, 256, (*size, 3), np.uint8)
    options = [
        cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive), cv2.IMWRITE_JPEG_RST_INTERVAL, restarts,
    ]  # fmt: skip
    data = cv2.imencode(ending, picture, options if ending == ".jpg" else [])[1].tobytes()
    file = tmp_path / "0.png"
    file.write_bytes(data + appended)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(read_clip(tmp_path, 0, 1)[0], expected)
    file.write_bytes(data[: int(len(data) * cut)])
    with pytest.raises(VideoError, match=r"0\.png: cannot be decoded as an image"):
        read_clip(tmp_path, 0, 1)


def test_a_preview_with_an_end_mark_of_its_own_does_not_end_a_jpeg(tmp_path: Path) -> None:
    (picture,) = frame_pattern(1)
    data, preview = encoded(".jpg", picture), encoded(".jpg", picture[:16, :16])
    segment = b"\xff\xe1" + (len(preview) + 2).to_bytes(2, "big") + preview
    whole = data[:2] + segment + data[2:]
    file = tmp_path / "0.jpg"
    file.write_bytes(whole)
    assert read_clip(tmp_path, 0, 1).shape == (1, 48, 64, 3)
    file.write_bytes(whole[: len(whole) - len(data) // 3])
    with pytest.raises(VideoError, match="is cut short"):
        read_clip(tmp_path, 0, 1)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"RIFF....WEBP", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "0.png").write_bytes(data)
    with pytest.raises(VideoError, match=r"0\.png: cannot be decoded as an image"):
        probe(tmp_path)
