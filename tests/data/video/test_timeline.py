"""What follows from numbers of packets and their timestamps alone."""

import itertools
from dataclasses import replace

import av
import numpy as np
import pytest

from deepfake_mtl.data.video import iterate_frames, read_clip
from deepfake_mtl.data.video.container import open_video
from deepfake_mtl.data.video.timeline import Scan, Timeline
from deepfake_mtl.errors import VideoError
from tests.data.video.containers import Recipe, copy, empty_samples, encode
from tests.data.videos import frame_pattern, write_video

# Stored I P B B, then an I-frame whose two leading pictures are shown before it.
STORED = [0, 30, 10, 20, 60, 40, 50, 70]
OPEN = Timeline(
    8,
    times=(0, 10, 20, 30, 40, 50, 60, 70),
    places=(0, 2, 3, 1, 5, 6, 4, 7),
    keys=((0, 0), (4, 60)),
    entry_time=0,
    stores_times=True,
)


def test_a_timeline_knows_nothing_unless_told() -> None:
    assert Timeline(3) == Timeline(
        3, times=(), entry=0, entry_time=None, end=None, strict=True, stores_times=False,
        places=(), keys=(),
    )  # fmt: skip
    scan = Scan()
    assert (scan.times, scan.keys, scan.shown) == ([], [], [])
    assert (scan.closed, scan.doubtful, scan.stores_times, scan.recorded) == (True,) + (False,) * 3
    assert Scan().times is not scan.times


def test_a_timestamp_is_that_of_a_frame_or_of_none() -> None:
    assert [OPEN.frame_at(time) for time in (0, 30, 70)] == [0, 3, 7]
    assert [OPEN.frame_at(time) for time in (None, -1, 5, 35, 71)] == [None] * 5
    assert Timeline(3).frame_at(0) is None


@pytest.mark.parametrize(
    ("wanted", "time"),
    [
        (range(1), 0),
        (range(3, 4), 0),
        (range(4, 6), 0),  # leading pictures may refer to what is before their key frame
        (range(5, 7), 0),
        (range(6, 7), 60),
        (range(6, 8), 60),
        (range(7, 8), 60),
        (range(4, 8, 3), 0),
        (range(0, 8, 7), 0),
    ],
)
def test_a_clip_is_entered_at_the_last_key_frame_from_which_all_can_be_decoded(
    wanted: range, time: int
) -> None:
    assert OPEN.key_before(wanted) == time


def test_what_is_stored_before_a_key_frame_is_not_decoded_from_it() -> None:
    late = Timeline(4, times=(0, 10, 20, 30), places=(0, 1, 3, 2), keys=((0, 0), (3, 20)))
    assert late.key_before(range(3, 4)) == 0
    assert late.key_before(range(2, 3)) == 20
    assert late.key_before(range(2, 4)) == 0
    none_before = Timeline(3, times=(0, 10, 20), places=(0, 1, 2), keys=((2, 20),))
    assert none_before.key_before(range(1)) is None
    assert none_before.key_before(range(2, 3)) == 20
    assert Timeline(3, times=(0, 10, 20)).key_before(range(1)) is None


def test_a_scan_becomes_a_timeline_in_the_order_of_presentation() -> None:
    scan = Scan(times=[*STORED], keys=[0, 4], shown=[*range(8)], stores_times=True)
    assert scan.timeline() == OPEN
    assert scan.start() == Timeline(0, entry_time=0, stores_times=True)
    hidden = Scan(times=[*STORED], keys=[0, 4], shown=[4, 5, 6, 7], stores_times=True).timeline()
    assert (hidden.frames, hidden.times) == (4, (40, 50, 60, 70))
    assert hidden.places == (5, 6, 4, 7)
    assert hidden.keys == OPEN.keys
    guessed = Scan(times=[*STORED], keys=[0, 4], shown=[*range(7)]).timeline()
    assert guessed == Timeline(7, entry_time=0)
    lacking = Scan(times=[None, 5, None], keys=[0, 1], shown=[0, 1, 2], stores_times=True)
    assert lacking.timeline() == Timeline(
        1, times=(5,), entry_time=None, places=(1,), keys=((1, 5),), stores_times=True
    )


def test_decoding_begins_at_the_first_key_frame() -> None:
    scan = Scan(times=[5, 6, 7, 8], keys=[2], shown=[0, 1, 2, 3])
    assert scan.entry == 2
    assert scan.start() == Timeline(0, entry=2, entry_time=7)
    assert Scan(times=[5, 6], shown=[0, 1]).entry == 0
    assert Scan().start() == Timeline(0)


@pytest.mark.parametrize(
    ("times", "keys", "closed", "group"),
    [
        ([0, 10, 20], [0], True, range(0)),
        ([0, 0], [0], True, range(0)),
        ([None, 5], [0], True, range(0)),
        ([20, 0, 10, 30, 40], [0, 3], True, range(1, 3)),
        ([20, 0], [0], True, range(1, 64)),
        ([0, None], [0], True, range(1, 64)),
        ([0, 1, 2], [0], False, range(1, 64)),
        ([None, None, 0, 1, 2], [2], True, range(3, 66)),
        ([9, 9, 0, 1, 2], [2, 4], True, range(3, 4)),
    ],
)
def test_what_may_refer_to_what_was_cut_off(
    times: list[int | None], keys: list[int], closed: bool, group: range
) -> None:
    assert Scan(times=times, keys=keys, closed=closed).cut_group == group


@pytest.mark.parametrize(
    ("times", "keys", "shown", "reorders", "plain"),
    [
        ([0, 10, 20], [0], [0, 1, 2], False, True),
        ([0, 20, 10], [0], [0, 1, 2], True, True),
        ([0, 10, 20], [0], [0, 1, 2], True, False),  # of the order of storage
        ([0, 20, 10], [0], [0, 1, 2], False, False),
        ([0, 10, None], [0], [0, 1, 2], False, False),
        ([0, 10, 10], [0], [0, 1, 2], False, False),
        ([], [], [], False, False),
        ([0, 10, 20], [1], [0, 1, 2], False, False),
        ([10, 0, 20], [0], [0, 1, 2], True, False),
        ([10, 0, 20], [0], [0, 2], True, True),
        ([0, 20, 10], [0], [], True, True),
        ([10, 0, 20], [0], [], True, True),
    ],
)
def test_when_timestamps_are_believed(
    times: list[int | None], keys: list[int], shown: list[int], reorders: bool, plain: bool
) -> None:
    assert Scan(times=times, keys=keys, shown=shown)._is_plain(reorders=reorders) is plain


@pytest.mark.parametrize(
    ("suffix", "codec", "stores", "recorded", "doubtful"),
    [
        ("mp4", "libx264", True, False, False),
        ("mkv", "libx264", True, False, False),
        ("avi", "libx264", False, False, True),
        ("avi", "mjpeg", False, False, False),
        ("ts", "libx264", False, True, True),
        ("mpg", "mpeg2video", False, True, True),
    ],
)
def test_what_a_container_says_of_its_packets(
    tmp_path, suffix: str, codec: str, stores: bool, recorded: bool, doubtful: bool
) -> None:
    path = tmp_path / f"video.{suffix}"
    options = {} if codec == "libx264" else {"bframes": 0}
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    write_video(
        path, frame_pattern(10), gop=4, codec=codec, pix_fmt=pix_fmt, full_range=codec == "mjpeg",
        **options,
    )  # fmt: skip
    with open_video(path) as (container, stream):
        scan = Scan.of(path, container, stream)
    assert scan.shown == list(range(10))
    assert len(scan.times) == 10
    assert scan.keys[0] == 0
    assert len(scan.keys) == (10 if codec == "mjpeg" else 3)
    assert scan.closed
    assert (scan.stores_times, scan.recorded, scan.doubtful) == (stores, recorded, doubtful)


def test_samples_of_0_bytes_make_an_index_doubtful(tmp_path) -> None:
    whole, path = tmp_path / "whole.mp4", tmp_path / "video.mp4"
    write_video(whole, frame_pattern(8), bframes=0, gop=4, codec="mpeg4", pix_fmt="yuv420p")
    empty_samples(whole, path, [5])
    doubts = []
    for each in (whole, path):
        with open_video(each) as (container, stream):
            doubts.append(Scan.of(each, container, stream).doubtful)
    assert doubts == [False, True]


def test_a_stream_is_closed_if_its_first_key_frame_is(tmp_path) -> None:
    recipe = Recipe(
        "libx264", 3, open_gop=True, gop=9, times="kept", first=0, hidden=0, suffix=".mp4"
    )
    source, cut = tmp_path / "source.mp4", tmp_path / "cut.mp4"
    encode(source, recipe, frame_pattern(30))
    copy(source, cut, replace(recipe, first=5))
    closed = []
    for each in (source, cut):
        with open_video(each) as (container, stream):
            scan = Scan.of(each, container, stream)
            assert len(scan.keys) > 1
            closed.append((scan.closed, scan.doubtful))
    assert closed == [(True, False), (False, True)]


def test_a_recording_may_end_within_a_picture_but_miss_none_in_the_middle(tmp_path) -> None:
    recipe = Recipe(
        "mpeg2video", 0, open_gop=False, gop=5, times="kept", first=0, hidden=0, suffix=".ts"
    )
    source, whole, path = tmp_path / "source.mp4", tmp_path / "whole.ts", tmp_path / "a.ts"
    encode(source, recipe, frame_pattern(20))
    copy(source, whole, recipe)
    data = whole.read_bytes()
    middle = len(data) // 376 * 188
    path.write_bytes(data[:-188])
    with open_video(path) as (container, stream):
        assert len(Scan.of(path, container, stream).times) == 20
    path.write_bytes(data[:middle] + data[middle + 188 :])
    with (
        open_video(path) as (container, stream),
        pytest.raises(VideoError, match=r"a\.ts: a packet ends before it is complete"),
    ):
        Scan.of(path, container, stream)


def test_what_cannot_be_read_on_is_an_error(tmp_path) -> None:
    path = tmp_path / "video.mp4"
    write_video(path, frame_pattern(8), bframes=0, gop=4)

    class Breaking:
        def __init__(self, container) -> None:
            self.container, self.format = container, container.format

        def demux(self, stream):
            yield from itertools.islice(self.container.demux(stream), 3)
            raise av.error.InvalidDataError(1, "bad luck")

    with (
        open_video(path) as (container, stream),
        pytest.raises(VideoError, match=r"cannot be read beyond packet 3 \(bad luck\)"),
    ):
        Scan.of(path, Breaking(container), stream)


def test_a_clip_is_decoded_as_the_headers_of_the_first_packet_say(tmp_path) -> None:
    # Up to version 150 x264 coded 4:4:4 in a way of its own, and says so in the first packet alone.
    path, old, told = tmp_path / "new.mp4", tmp_path / "old.mp4", 0
    for seed in range(12):
        frames = frame_pattern(12, 32, 32, seed=seed)
        write_video(path, frames, bframes=0, gop=4, pix_fmt="yuv444p", crf=45)
        begin, version, end = path.read_bytes().partition(b"x264 - core ")
        old.write_bytes(begin + version + b"148" + end[3:])
        try:
            expected = np.stack([frame.rgb() for frame in iterate_frames(old)])
        except VideoError:  # as if coded by another version, most of it makes no sense
            continue
        newer = np.stack([frame.rgb() for frame in iterate_frames(path)])
        told += not np.array_equal(expected[4:], newer[4:])
        for start in (4, 6, 8):
            np.testing.assert_array_equal(read_clip(old, start, 3), expected[start : start + 3])
    assert told
