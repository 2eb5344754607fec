"""Readers agree with a plain decode, whatever was done to a container; or all refuse it."""

import random
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from deepfake_mtl.data.clips import EvaluationClips, probe_videos
from deepfake_mtl.data.records import VideoRecord
from deepfake_mtl.data.transforms import EvaluationTransform
from deepfake_mtl.data.video import decoding, iterate_frames, probe, read_clip
from deepfake_mtl.data.video.container import is_hidden
from deepfake_mtl.errors import VideoError
from tests.data.video.containers import Recipe, copy, empty_samples, encode, shown_by_players
from tests.data.videos import frame_pattern, write_video

LENGTH = 26
# x265 writes beyond its buffers where pictures are smaller than 64x48 pixels.


def assert_agreement(path: Path, truth, seed=0) -> None:
    """What `probe`, `iterate_frames` and random clips give is the truth, bit for bit."""
    assert probe(path).frames == len(truth)
    frames = [frame.rgb() for frame in iterate_frames(path)]
    assert len(frames) == len(truth)
    np.testing.assert_array_equal(frames, truth)
    generator = random.Random(seed)
    for _ in range(4):
        start = generator.randrange(len(truth))
        stride = generator.randint(1, 3)
        length = generator.randint(1, min((len(truth) - 1 - start) // stride + 1, 6))
        clip = read_clip(path, start, length, stride)
        np.testing.assert_array_equal(clip, truth[start : start + length * stride : stride])


RECIPES = st.builds(
    Recipe,
    codec=st.sampled_from(["libx264", "libx264", "libx265", "mpeg4", "mpeg2video", "libvpx-vp9"]),
    bframes=st.integers(0, 3),
    open_gop=st.booleans(),
    gop=st.sampled_from([5, 9, 250]),
    times=st.sampled_from(["kept", "kept", "storage"]),
    first=st.sampled_from([0, 0, 1, 5, 7, 9, 10, 13]),
    hidden=st.sampled_from([0, 0, 3]),
    suffix=st.sampled_from([".mp4", ".mov", ".mkv", ".ts", ".avi"]),
)


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
    """Sources by what decides them: encoding takes longest."""
    folder, made, frames = tmp_path_factory.mktemp("encoded"), {}, frame_pattern(LENGTH)

    def source(recipe: Recipe) -> Path:
        key = (recipe.codec, recipe.bframes, recipe.open_gop, recipe.gop)
        if key not in made:
            made[key] = folder / f"{len(made)}.mp4"
            encode(made[key], recipe, frames)
        return made[key]

    return source


@settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(recipe=RECIPES)
def test_readers_agree_with_a_plain_decode_or_all_refuse(tmp_path, encoded, recipe):
    if recipe.codec not in av.codecs_available:
        pytest.skip(f"PyAV was built without {recipe.codec}")
    assume(recipe.suffix != ".ts" or recipe.codec != "libvpx-vp9")
    # Of what has no key frame, decoders make what they like.
    assume(not recipe.first or recipe.gop < LENGTH)
    path = tmp_path / f"a{recipe.suffix}"
    try:
        copy(encoded(recipe), path, recipe)
    except (av.error.FFmpegError, ValueError):
        assume(False)  # the container does not take this codec, or such timestamps
    truth = shown_by_players(path)
    try:
        count = probe(path).frames
    except VideoError:
        # Only where pictures are missing that others refer to, and nothing tells which.
        assert not truth or recipe.first
        with pytest.raises(VideoError):
            list(iterate_frames(path))
        with pytest.raises(VideoError):
            read_clip(path, 0, 1)
        # A cut that keeps its timestamps is shown, as players do.
        assert not truth or recipe.times == "storage" or recipe.suffix == ".avi"
        return
    assert truth
    assert count == len(truth)
    assert_agreement(path, truth)


def numbered(count):
    """Frames whose level is their number, so that any order can be read from the pictures."""
    return np.repeat(np.arange(count, dtype=np.uint8) * 8 + 10, 48 * 64 * 3).reshape(
        count, 48, 64, 3
    )


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg4", "mpeg2video"])
def test_frames_are_in_order_where_timestamps_are_in_that_of_storage(tmp_path, codec, suffix):
    recipe = Recipe(
        codec, 3, open_gop=False, gop=9, times="storage", first=0, hidden=0, suffix=suffix
    )
    source, path = tmp_path / "source.mp4", tmp_path / f"a{suffix}"
    encode(source, recipe, numbered(24))
    copy(source, path, recipe)
    for frames in (read_clip(path, 0, 24), [f.rgb() for f in iterate_frames(path)]):
        levels = np.asarray(frames).mean((1, 2, 3))
        np.testing.assert_allclose(levels, np.arange(24) * 8 + 10, atol=3)
    for start in range(20):
        levels = read_clip(path, start, 3).mean((1, 2, 3))
        np.testing.assert_allclose(levels, np.arange(start, start + 3) * 8 + 10, atol=3)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("first", [1, 9, 10])
def test_what_was_cut_within_an_open_group_is_shown(tmp_path, suffix, first):
    # Reference pictures behind the cut give up others that are gone: no decoder needs those.
    recipe = Recipe(
        "libx264", 3, open_gop=True, gop=9, times="kept", first=first, hidden=0, suffix=suffix
    )
    source, path = tmp_path / "source.mp4", tmp_path / f"a{suffix}"
    encode(source, recipe, frame_pattern(LENGTH))
    copy(source, path, recipe)
    truth = shown_by_players(path)
    assert len(truth) > 5
    assert_agreement(path, truth)


def test_damage_behind_a_cut_is_no_edge(tmp_path):
    recipe = Recipe(
        "libx264", 3, open_gop=True, gop=9, times="kept", first=1, hidden=0, suffix=".mp4"
    )
    source, path = tmp_path / "source.mp4", tmp_path / "a.mp4"
    encode(source, recipe, frame_pattern(LENGTH))
    copy(source, path, recipe)
    with av.open(str(path)) as container:
        entries = list(container.streams.video[0].index_entries)
    data = bytearray(path.read_bytes())
    for entry in entries[-4:-2]:
        data[entry.pos + 12 : entry.pos + entry.size] = bytes(entry.size - 12)
    path.write_bytes(data)
    for act in (probe, lambda path: read_clip(path, 0, 1), lambda path: list(iterate_frames(path))):
        with pytest.raises(VideoError, match="cannot be decoded at frame"):
            act(path)


def test_a_contradiction_that_packets_do_not_show_is_noticed_on_the_way(tmp_path):
    # Timestamps that are reordered, but not as the pictures are.
    recipe = Recipe(
        "libx264", 3, open_gop=False, gop=24, times="kept", first=0, hidden=0, suffix=""
    )
    source, path = tmp_path / "source.mp4", tmp_path / "b.mp4"
    encode(source, recipe, numbered(24))
    with av.open(str(source)) as reader, av.open(str(path), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for number, packet in enumerate(p for p in reader.demux(video=0) if p.size):
            swapped = number and (number + 1 if number % 2 else number - 1)
            packet.pts, packet.dts = 512 * swapped, 512 * (number - 2)
            packet.stream = stream
            writer.mux(packet)
    for start in range(0, 20, 5):
        levels = read_clip(path, start, 4).mean((1, 2, 3))
        np.testing.assert_allclose(levels, np.arange(start, start + 4) * 8 + 10, atol=3)


def hide_some(whole: Path, path: Path) -> None:
    """VP8: what makes a frame an alt-ref frame is a bit of its first byte."""
    data = bytearray(whole.read_bytes())
    with av.open(str(whole)) as container:
        for number, packet in enumerate(p for p in container.demux(video=0) if p.size):
            if number in {4, 5, 11}:
                data[data.index(bytes(packet))] &= 0xEF
    path.write_bytes(data)


def test_key_frames_in_name_only_are_not_entered_twice(tmp_path, monkeypatch):
    # Without a list of key frames, each sample of an MP4 counts as one.
    recipe = Recipe("mpeg4", 0, open_gop=False, gop=250, times="kept", first=0, hidden=0, suffix="")
    path = tmp_path / "a.mp4"
    encode(path, recipe, frame_pattern(24))
    path.write_bytes(path.read_bytes().replace(b"stss", b"free"))
    with av.open(str(path)) as container:
        assert all(packet.is_keyframe for packet in container.demux(video=0) if packet.size)
    truth = shown_by_players(path)
    entered = []
    original = decoding.ClipDecoder.from_key
    monkeypatch.setattr(
        decoding.ClipDecoder,
        "from_key",
        lambda self, *key: entered.append(key) or original(self, *key),
    )
    assert_agreement(path, truth)
    assert len(entered) == 1


def test_hidden_pictures_are_no_frames(tmp_path):
    whole, path = tmp_path / "whole.webm", tmp_path / "a.webm"
    write_video(
        whole,
        frame_pattern(20),
        pix_fmt="yuv420p",
        codec="libvpx",
        codec_options={"cpu-used": "8", "deadline": "realtime"},
    )
    data = bytearray(whole.read_bytes())
    with av.open(str(whole)) as container:
        for number, packet in enumerate(p for p in container.demux(video=0) if p.size):
            if number in {4, 5, 11}:  # what makes an alt-ref frame is a bit of its first byte
                data[data.index(bytes(packet))] &= 0xEF
    path.write_bytes(data)
    truth = shown_by_players(path)
    assert len(truth) == 17
    assert_agreement(path, truth)


@pytest.mark.parametrize(
    ("content", "hidden"),
    [
        (b"\x82\x49\x00", False),  # profile 0, key frame, shown
        (b"\x80\x49\x00", True),
        (b"\x86\x00\x00", False),  # an inter frame
        (b"\x84\x00\x00", True),
        (b"\x88", False),  # shows a frame that was hidden
        (b"\xb0\x00\x00", True),  # profile 3
        (b"\xb1\x00\x00", False),
        (b"\xb4", False),
        (b"\x84\x00\xc0\x01\xc0", False),  # a superframe
    ],
)
def test_hidden_frames_of_vp9(content, hidden):
    assert is_hidden("vp9", av.Packet(content)) == hidden
    assert not is_hidden("h264", av.Packet(content))


@pytest.mark.parametrize("codec", ["mpeg2video", "libx264"])
def test_transport_streams_may_be_cut_anywhere(tmp_path, codec):
    recipe = Recipe(codec, 2, open_gop=True, gop=9, times="kept", first=0, hidden=0, suffix=".ts")
    source, whole = tmp_path / "source.mp4", tmp_path / "whole.ts"
    encode(source, recipe, frame_pattern(48))
    copy(source, whole, recipe)
    data, generator, seen = whole.read_bytes(), random.Random(0), set()
    for number in range(8):
        path = tmp_path / f"{number}.ts"
        begin = generator.randrange(len(data) // 3)
        path.write_bytes(data[begin : generator.randrange(2 * len(data) // 3, len(data))])
        truth = shown_by_players(path)
        assert_agreement(path, truth, seed=number)
        seen.add(len(truth))
    assert len(seen) > 3


def test_samples_of_0_bytes_are_no_frames(tmp_path):
    whole, path, damaged = (tmp_path / name for name in ("whole.mp4", "a.mp4", "b.mp4"))
    write_video(whole, frame_pattern(20), bframes=0, gop=5, codec="mpeg4", pix_fmt="yuv420p")
    empty_samples(whole, path, [4, 14, 19])
    truth = shown_by_players(path)
    assert len(truth) == 17
    assert_agreement(path, truth)
    # Where all others refer to what is not there, a run that may leave videos out does.
    write_video(whole, frame_pattern(20), gop=20, pix_fmt="yuv420p")
    empty_samples(whole, damaged, [0])
    records = [
        VideoRecord("folder", "original", "native", each.stem, (each.stem,), each)
        for each in (path, damaged)
    ]
    videos = probe_videos(records, "skip")
    dataset = EvaluationClips(
        videos, EvaluationTransform(16), clip_length=4, clips_per_video=1, on_corrupt="skip"
    )
    assert len(dataset) == len(videos.corrupt) == 1
    assert f"{damaged}: " in videos.corrupt[0]
    assert dataset[0]["valid"]


def test_what_is_counted_once_is_not_counted_again(tmp_path, monkeypatch):
    path = tmp_path / "a.avi"
    write_video(path, frame_pattern(12), pix_fmt="yuv420p")
    decoded = []
    original = decoding.Decoder.all_shown

    def counted(self, container):
        decoded.append(1)
        return original(self, container)

    monkeypatch.setattr(decoding.Decoder, "all_shown", counted)
    assert [probe(path).frames for _ in range(3)] == [12, 12, 12]
    assert len(decoded) == 1
    write_video(path, frame_pattern(9), pix_fmt="yuv420p")
    assert probe(path).frames == 9
