import random
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepfake_mtl.data.video import decoding, iterate_frames, probe, read_clip, sources
from deepfake_mtl.data.video.colours import to_rgb
from deepfake_mtl.data.video_info import VideoInfo
from deepfake_mtl.errors import ConfigurationError, VideoError
from tests.data.videos import copy_packets, frame_pattern, write_video

SAMPLE = Path(__file__).resolve().parents[3].parent / "shared" / "ffpp_sample"


def decoded_from_start(path):
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        return np.stack([to_rgb(frame) for frame in container.decode(video=0)])


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "a.mp4"
    write_video(path, frame_pattern(60), gop=20)
    return path


def test_all_frames_in_one_pass_are_those_of_clips(video: Path, tmp_path: Path) -> None:
    frames = list(iterate_frames(video))
    assert len(frames) == probe(video).frames == 60
    np.testing.assert_array_equal([f.rgb() for f in frames], read_clip(video, 0, 60))
    np.testing.assert_allclose([f.time for f in frames], np.arange(60) / 25)

    folder = tmp_path / "frames"
    folder.mkdir()
    for number in (0, 1, 10, 2):
        cv2.imwrite(str(folder / f"{number}.png"), frames[number].rgb()[..., ::-1])
    images = [f.rgb() for f in iterate_frames(folder)]
    np.testing.assert_array_equal(images, read_clip(folder, 0, 4))

    broken = tmp_path / "broken.mp4"
    content = bytearray(video.read_bytes())
    middle = content.index(b"mdat") + len(content) // 2
    content[middle : middle + 2000] = bytes(2000)
    broken.write_bytes(content)
    with pytest.raises(VideoError, match=r"broken\.mp4: cannot be decoded at frame"):
        list(iterate_frames(broken))


@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv422p", "yuv420p", "yuv420p10le"])
def test_a_window_has_the_bits_of_the_whole_picture(tmp_path: Path, pix_fmt: str) -> None:
    generator = random.Random(0)
    path, height, width = tmp_path / "a.mkv", 51, 67
    write_video(path, frame_pattern(2, height, width), pix_fmt=pix_fmt, codec="ffv1", bframes=0)
    (frame, _) = iterate_frames(path)
    assert (frame.height, frame.width) == (height, width)
    whole = frame.rgb()
    for _ in range(200):
        top, left = generator.randrange(height), generator.randrange(width)
        rows = range(top, generator.randint(top + 1, height))
        columns = range(left, generator.randint(left + 1, width))
        expected = whole[top : rows.stop, left : columns.stop]
        np.testing.assert_array_equal(frame.rgb((rows, columns)), expected)
        part = frame.part((rows, columns))
        assert (part.height, part.width, part.nbytes) == (height, width, expected.nbytes)
        np.testing.assert_array_equal(part.rgb(), expected)
        inner = range(rows[len(rows) // 2], rows.stop), range(left, left + 1)
        np.testing.assert_array_equal(
            part.rgb(inner), whole[inner[0].start : rows.stop, left][:, None]
        )
    with pytest.raises(ValueError, match="not inside"):
        frame.part((range(5, 9), range(5, 9))).rgb((range(4, 9), range(5, 9)))


@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("turn", [0, 90])
@pytest.mark.parametrize("factor", [0.4, 1.0, 2.5])
def test_a_scaled_frame_is_the_picture_scaled(
    tmp_path: Path, pix_fmt: str, turn: int, factor: float
) -> None:
    path, height, width = tmp_path / "a.mp4", 50, 80
    y, x = np.mgrid[:height, :width]
    slopes = np.stack([2 * x + 40, 3 * y + 50, x + y + 60], axis=-1)
    colours = np.stack([slopes, slopes[::-1]]).astype(np.uint8)
    write_video(path, colours, pix_fmt=pix_fmt, rotation=turn)
    frame = next(iterate_frames(path))
    size = round(frame.width * factor), round(frame.height * factor)
    found = frame.scaled(*size)
    assert found.shape == (size[1], size[0], 3)
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    expected = cv2.resize(frame.rgb(), size, interpolation=method).astype(int)
    # Beyond what is rounded: chroma of 4:2:0 is interpolated once less.
    assert np.abs(found - expected).mean() < 1
    assert np.abs(found - expected).max() <= (3 if pix_fmt == "yuv444p" else 8)


def forbid_decoding_from_start(monkeypatch):
    def fail(*_):
        raise AssertionError("the clip was not reached by a seek")

    monkeypatch.setattr(decoding.ClipDecoder, "from_start", fail)


X264 = st.fixed_dictionaries(
    {
        "open-gop": st.sampled_from([0, 1]),
        "b-pyramid": st.sampled_from(["none", "strict", "normal"]),
        "ref": st.integers(1, 4),
        "scenecut": st.sampled_from([0, 40]),
        "b-adapt": st.integers(0, 2),
        "interlaced": st.sampled_from([0, 0, 0, 1]),
        "intra-refresh": st.sampled_from([0, 0, 0, 1]),
        "min-keyint": st.integers(1, 3),
    }
)


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_every_frame_equals_a_decode_from_the_start(tmp_path, data):
    draw = data.draw
    count = draw(st.integers(1, 50), "frames")
    gaps = draw(st.none() | st.lists(st.sampled_from([1, 1, 2, 7]), min_size=count, max_size=count))
    container = draw(st.sampled_from(["mp4", "mp4", "mp4", "mov", "mkv", "avi", "ts"]))
    fragmented = draw(st.booleans()) and container == "mp4"
    path = tmp_path / f"a.{container}"
    write_video(
        path,
        frame_pattern(count, 32, 48),
        gop=draw(st.sampled_from([1, 2, 5, 12, 250]), "gop"),
        bframes=draw(st.integers(0, 4), "b-frames"),
        pix_fmt=draw(st.sampled_from(["yuv444p", "yuv420p"])),
        codec_options={"x264-params": ":".join(f"{k}={v}" for k, v in draw(X264).items())},
        container_options={"movflags": "frag_keyframe"} if fragmented else {},
        times=None if gaps is None else np.cumsum(gaps).tolist(),
        time_base=Fraction(1, 25),
    )
    truth = decoded_from_start(path)
    assert probe(path).frames == len(truth) == count
    for _ in range(4):
        stride = draw(st.integers(1, 3))
        length = draw(st.integers(1, (count - 1) // stride + 1))
        start = draw(st.integers(0, count - 1 - (length - 1) * stride))
        clip = read_clip(path, start, length, stride)
        assert np.array_equal(clip, truth[start : start + length * stride : stride])


@pytest.mark.parametrize(
    ("codec", "container"),
    [("libx265", "mp4"), ("mpeg4", "mp4"), ("mpeg4", "avi"), ("libvpx-vp9", "webm")],
)
def test_other_codecs(tmp_path, codec, container):
    if codec not in av.codecs_available:
        pytest.skip(f"PyAV was built without {codec}")
    path = tmp_path / f"a.{container}"
    options = {"libx265": {"x265-params": "log-level=0:pools=1"}}.get(codec)
    write_video(
        path, frame_pattern(30), gop=8, pix_fmt="yuv420p", codec=codec, codec_options=options
    )
    truth = decoded_from_start(path)
    assert probe(path).frames == 30
    for start in (0, 7, 17, 26):
        assert np.array_equal(read_clip(path, start, 4), truth[start : start + 4])


@pytest.mark.parametrize("offset", [-5120, -512, 0, 5120])
def test_files_that_begin_elsewhere_than_at_time_zero(tmp_path, monkeypatch, video, offset):
    # Cut at a key frame and shifted; before zero, an edit list hides frames that must be decoded.
    path = tmp_path / "b.mp4"
    with av.open(str(video)) as container:
        packets = list(container.demux(video=0))
    second = [i for i, packet in enumerate(packets) if packet.is_keyframe][1]
    copy_packets(video, path, first=second, offset=offset - packets[second].pts)
    truth = decoded_from_start(path)
    assert probe(path).frames == len(truth)
    hidden = max(0, -offset // 512)  # a frame lasts 512 units
    assert len(truth) == 60 - second - hidden
    forbid_decoding_from_start(monkeypatch)
    for start in range(0, len(truth) - 4, 5):
        assert np.array_equal(read_clip(path, start, 4), truth[start : start + 4])


def test_clips_of_ordinary_files_are_reached_by_seeking(monkeypatch, video):
    truth = decoded_from_start(video)
    forbid_decoding_from_start(monkeypatch)
    for start in range(0, 56, 3):
        assert np.array_equal(read_clip(video, start, 4), truth[start : start + 4])


@pytest.mark.parametrize(
    ("codec", "parameters"), [("libx264", "x264-params"), ("libx265", "x265-params")]
)
def test_open_groups_are_entered_by_seeking(tmp_path, monkeypatch, codec, parameters):
    # What follows the key frame in the file but is shown before it cannot be decoded from there.
    path = tmp_path / "a.mp4"
    options = {
        parameters: "open-gop=1:keyint=10:min-keyint=1:scenecut=0:b-pyramid=0:ref=1:bframes=3"
    }
    write_video(
        path, frame_pattern(50), gop=10, codec=codec, pix_fmt="yuv420p", codec_options=options
    )
    truth = decoded_from_start(path)
    forbid_decoding_from_start(monkeypatch)
    for start in range(0, 46, 3):
        assert np.array_equal(read_clip(path, start, 4), truth[start : start + 4])


@pytest.mark.slow
@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the FaceForensics++ sample is not there")
def test_the_real_sample(monkeypatch):
    # Written by x264 148, whose 4:4:4 is garbage to a decoder that has not seen the first packet.
    generator = random.Random(0)
    for path in sorted(SAMPLE.rglob("*.mp4")):
        total = probe(path).frames
        last = min(total, 340)
        with av.open(str(path)) as container:
            truth = [
                to_rgb(frame)
                for i, frame in zip(range(last), container.decode(video=0), strict=False)
                if i >= 240
            ]
        with monkeypatch.context() as patched:
            forbid_decoding_from_start(patched)
            for start in (240, generator.randrange(250, last - 16)):
                clip = read_clip(path, start, 8, 2)
                assert np.array_equal(clip, truth[start - 240 : start - 240 + 16 : 2])


def test_probe_reads_the_header(tmp_path, video, monkeypatch):
    monkeypatch.setattr(sources, "timeline_of", None)
    assert probe(video) == VideoInfo(60, 64, 48, 25.0, "h264")
    write_video(tmp_path / "b.mp4", frame_pattern(5, 36, 50), fps=Fraction(30000, 1001))
    info = probe(tmp_path / "b.mp4")
    assert (info.frames, info.width, info.height) == (5, 50, 36)
    assert info.fps == pytest.approx(30000 / 1001)


@pytest.mark.parametrize(
    ("start", "length", "stride"), [(-1, 2, 1), (0, 0, 1), (0, 1, 0), (59, 2, 1), (0, 31, 2)]
)
def test_frames_that_the_video_does_not_have(video, start, length, stride):
    with pytest.raises(ConfigurationError, match=r"a\.mp4: (frames|a clip needs)"):
        read_clip(video, start, length, stride)


def no_such_file(path):
    pass


def empty(path):
    path.touch()


def text(path):
    path.write_text("This is a page of text. " * 500)


def sound_only(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate = 16000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())


def cut_short(path):
    write_video(path, frame_pattern(20))
    path.write_bytes(path.read_bytes()[:-3000])


def cut_short_with_index_first(path):
    write_video(path, frame_pattern(20), container_options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[:-1000])


def cut_short_fragments(path):
    write_video(path, frame_pattern(20), gop=5, container_options={"movflags": "frag_keyframe"})
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"mdat") + 50])


def folder_without_images(path):
    path.mkdir()
    (path / "notes.txt").touch()
    (path / "._001.png").touch()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_such_file, "check the path"),
        (empty, "is an empty file; copy it again"),
        (text, "cannot be opened as a video|has no video stream"),
        (sound_only, "has no video stream"),
        (cut_short, r"is cut short: .* bytes; copy it again"),
        (cut_short_with_index_first, r"is cut short: its index lists 20 frames and \d+ bytes"),
        (cut_short_fragments, "is cut short"),
        (folder_without_images, "is a folder without frames"),
    ],
)
def test_what_is_no_video_is_named(tmp_path, spoil, message):
    path = tmp_path / "spoilt.mp4"
    spoil(path)
    for act in (probe, lambda path: read_clip(path, 0, 1)):
        with pytest.raises(VideoError, match=message) as raised:
            act(path)
        assert str(raised.value).startswith(f"{path}: ")


def test_damage_inside_is_an_error_and_not_a_picture(tmp_path, video):
    truth = decoded_from_start(video)
    data = bytearray(video.read_bytes())
    with av.open(str(video)) as container:
        entries = list(container.streams.video[0].index_entries)
    for entry in entries[22:25]:  # just after the second of three key frames
        data[entry.pos + 12 : entry.pos + entry.size] = bytes(entry.size - 12)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    for start in (0, 8, 40, 52):  # before the damage, and behind the third key frame
        assert np.array_equal(read_clip(path, start, 8), truth[start : start + 8])
    for start in (22, 28, 34):
        with pytest.raises(VideoError, match=r"damaged.mp4: cannot be decoded at frame 2\d of 60"):
            read_clip(path, start, 4)


def test_a_container_that_promises_more_frames_than_it_decodes_to(tmp_path, video, monkeypatch):
    original = decoding.Decoder.pictures

    def lose_the_rest(self, packet, begin):
        for frame in original(self, packet, begin):
            if frame.pts < 22 * 512:  # a frame lasts 512 units
                yield frame

    monkeypatch.setattr(decoding.Decoder, "pictures", lose_the_rest)
    with pytest.raises(VideoError, match=r"at frame 2\d of 60 \(decoding ended before it\)"):
        read_clip(video, 20, 4)
    with pytest.raises(VideoError, match=r"at frame 22 of 60 \(decoding ended before it\)"):
        list(iterate_frames(video))


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_no_descriptor_stays_open(tmp_path, video):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(video.read_bytes()[:2000])
    read_clip(video, 0, 1)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for i in range(200):
        read_clip(video, i % 60, 1)
        probe(video)
        with pytest.raises(VideoError):
            read_clip(broken, 0, 1)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.fixture
def folder(tmp_path):
    frames = frame_pattern(12)
    for i, frame in enumerate(frames):
        cv2.imwrite(str(tmp_path / f"{i}.png"), frame[..., ::-1])
    return tmp_path, frames


def test_a_folder_of_frames_in_the_order_of_its_numbers(folder):
    path, frames = folder
    info = probe(path)
    assert (info.frames, info.width, info.height) == (12, 64, 48)
    assert np.isnan(info.fps)
    assert np.array_equal(read_clip(path, 1, 4, 3), frames[1:12:3])
    with pytest.raises(ConfigurationError, match="has 12 frames"):
        read_clip(path, 11, 2)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_images_that_are_cut_short(folder, suffix):
    path, frames = folder
    broken = path / f"3{suffix}"
    (path / "3.png").unlink()
    data = cv2.imencode(suffix, frames[3])[1].tobytes()
    broken.write_bytes(data[: len(data) // 2])
    with pytest.raises(VideoError, match=f"3{suffix}: cannot be decoded as an image"):
        read_clip(path, 0, 5)


def exact_rgb(planes, weights, *, full_range):
    """Float64 RGB of 4:4:4 planes (height, width, 3), from the definition in ITU-T H.273."""
    red, blue = weights
    y, cb, cr = np.moveaxis(planes.astype(np.float64), -1, 0)
    y, cb, cr = (
        (y / 255, (cb - 128) / 255, (cr - 128) / 255)
        if full_range
        else ((y - 16) / 219, (cb - 128) / 224, (cr - 128) / 224)
    )
    r = y + 2 * (1 - red) * cr
    b = y + 2 * (1 - blue) * cb
    g = (y - red * r - blue * b) / (1 - red - blue)
    return np.clip(255 * np.stack([r, g, b], -1), 0, 255)


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize(
    ("colorspace", "weights"),
    [(2, (0.299, 0.114)), (5, (0.299, 0.114)), (1, (0.2126, 0.0722)), (9, (0.2627, 0.0593))],
)
def test_444_is_converted_exactly(colorspace, weights, full_range):
    planes = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(planes.transpose(2, 0, 1)), "yuv444p")
    frame.colorspace = colorspace
    frame.color_range = 2 if full_range else 0
    difference = to_rgb(frame) - exact_rgb(planes, weights, full_range=full_range)
    assert np.abs(difference).max() <= 1
    assert np.abs(difference.mean((0, 1))).max() < 0.1


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuvj420p"])
@pytest.mark.parametrize("size", [(64, 96), (37, 51)])
def test_subsampled_chroma(pix_fmt, size):
    # Chroma varies slowly, so that how it is upsampled does not matter.
    rows, columns = np.mgrid[: size[0], : size[1]]
    luma = np.random.default_rng(0).integers(30, 220, size)
    planes = np.stack([luma, 100 + columns // 2, 160 - rows // 2], -1).astype(np.uint8)
    full_range = pix_fmt == "yuvj420p"
    down = 1 if pix_fmt == "yuv422p" else 2
    frame = av.VideoFrame(size[1], size[0], pix_fmt)
    for plane, values in zip(
        frame.planes,
        [planes[..., 0], planes[::down, ::2, 1], planes[::down, ::2, 2]],
        strict=True,
    ):
        padded = np.zeros((plane.height, plane.line_size), np.uint8)
        padded[:, : plane.width] = values
        plane.update(padded)
    difference = to_rgb(frame) - exact_rgb(planes, (0.299, 0.114), full_range=full_range)
    assert np.abs(difference).max() < 4
    assert np.abs(np.median(difference, (0, 1))).max() < 1


def test_other_pixel_formats(tmp_path):
    rgb = frame_pattern(1)[0]
    frame = av.VideoFrame.from_ndarray(rgb, "rgb24")
    assert np.array_equal(to_rgb(frame), rgb)
    assert np.array_equal(to_rgb(frame.reformat(format="bgra")), rgb)
    deep = to_rgb(frame.reformat(format="yuv444p10le")).astype(int) - rgb
    assert np.abs(deep).max() <= 3
    assert np.abs(deep.mean((0, 1))).max() < 0.5


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_rotated_video_is_read_upright(degrees: int, tmp_path: Path) -> None:
    plain, turned = tmp_path / "plain.mp4", tmp_path / "turned.mp4"
    frames = frame_pattern(6, 32, 48)
    for path in (plain, turned):
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"crf": "0"})
            stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv444p"
            if path == turned:
                stream.set_display_rotation(degrees)
            for picture in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
            container.mux(stream.encode(None))
    upright, expected = read_clip(turned, 1, 3, 2), read_clip(plain, 1, 3, 2)
    quarter = degrees // 90
    np.testing.assert_array_equal(upright, np.rot90(expected, quarter, axes=(1, 2)))
    assert upright.flags.c_contiguous
    capture = cv2.VideoCapture(str(turned))  # OpenCV turns by itself
    _, first = capture.read()
    shown = cv2.cvtColor(first, cv2.COLOR_BGR2RGB).astype(int)
    assert np.abs(shown - read_clip(turned, 0, 1)[0]).mean() < 3
