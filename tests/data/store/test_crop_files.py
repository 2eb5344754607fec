import dataclasses
import math
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

from deepfake_mtl.data.store.crop_files import (
    estimate_bytes,
    probe_crops,
    read_crops,
    read_header,
    read_masks,
    verify,
    write_crops,
)
from deepfake_mtl.data.store.crop_settings import CODECS
from deepfake_mtl.data.video import probe, read_clip
from deepfake_mtl.errors import ConfigurationError, CorpusError, VideoError
from tests.data.crops import make_header, make_settings, masks_of, write
from tests.data.videos import frame_pattern

PAGE = Path(__file__).parents[3] / "docs" / "store.md"


def smooth(count, size, seed):
    """Frames such as JPEG is made for, whose colours differ."""
    small = np.random.default_rng(seed).integers(60, 196, (count, 2, 2, 3), dtype=np.uint8)
    return np.stack([cv2.resize(frame, (size, size)) for frame in small])


@pytest.fixture(params=CODECS)
def codec(request):
    return request.param


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    size=st.integers(16, 40),
    count=st.integers(1, 9),
    seed=st.integers(0, 9),
    masks=st.booleans(),
    data=st.data(),
)
def test_any_clip_is_what_was_written(tmp_path_factory, size, count, seed, masks, data):
    path = tmp_path_factory.mktemp("crops") / "a.crops"
    frames = frame_pattern(count, size, size, seed=seed)
    stride = data.draw(st.integers(1, count))
    start = data.draw(st.integers(0, count - 1))
    length = data.draw(st.integers(1, (count - 1 - start) // stride + 1))
    wanted = slice(start, start + length * stride, stride)

    header = write(path, frames, "raw", masks=masks, fps=math.nan)
    assert np.array_equal(read_crops(path, start, length, stride), frames[wanted])
    if masks:
        masks_read = read_masks(path, start, length, stride)
        assert np.array_equal(masks_read, masks_of(frames)[wanted])
    # A rate of nan is not equal to itself.
    assert repr(read_header(path)) == repr(verify(path)) == repr(header)
    info = probe_crops(path)
    assert (info.frames, info.width, info.height) == (count, size, size)
    assert math.isnan(info.fps)

    frames = smooth(count, size, seed)
    write(path, frames, "jpeg95", masks=masks)
    every = read_crops(path, 0, count)
    assert np.array_equal(read_crops(path, start, length, stride), every[wanted])
    error = np.mean((every.astype(float) - frames) ** 2)
    assert 10 * math.log10(255**2 / error) > 38
    if masks:
        masks_read = read_masks(path, start, length, stride)
        assert np.array_equal(masks_read, masks_of(frames)[wanted])


def test_same_arguments_give_the_same_bytes(tmp_path, codec):
    frames = frame_pattern(4, 24, 24)
    for folder in "ab":
        write(tmp_path / folder / "x.crops", frames, codec, masks=True)
    first, second = ((tmp_path / folder / "x.crops").read_bytes() for folder in "ab")
    assert first == second
    assert str(tmp_path).encode() not in first
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["x.crops"]


def outcome(read, path):
    """The result, or None where it is an error that begins with the path."""
    try:
        return read(path)
    except VideoError as error:
        return None if str(error).startswith(str(path)) else error


def test_no_damage_gives_wrong_frames_in_silence(tmp_path, codec):
    path, frames = tmp_path / "a.crops", frame_pattern(2, 16, 16)
    header = write(path, frames, codec, masks=True)
    truth, masks, whole = read_crops(path, 0, 2), read_masks(path, 0, 2), path.read_bytes()
    body = range(128, 128 + frames.nbytes) if codec == "raw" else range(0)

    file = os.open(path, os.O_RDWR)
    for position, byte in enumerate(whole):
        os.pwrite(file, bytes([byte ^ (0x01, 0x80, 0xFF)[position % 3]]), position)
        assert outcome(verify, path) is None
        if position not in body:  # which is not checked on reading, as documented
            read = outcome(lambda p: read_crops(p, 0, 2), path)
            assert read is None or np.array_equal(read, truth)
            read = outcome(lambda p: read_masks(p, 0, 2), path)
            assert read is None or np.array_equal(read, masks)
            assert outcome(read_header, path) in (None, header)
        os.pwrite(file, bytes([byte]), position)
    os.close(file)

    path.write_bytes(whole + b"\0")
    assert outcome(probe_crops, path) is None
    path.write_bytes(whole)
    assert read_header(path) == header
    for end in reversed(range(len(whole))):
        os.truncate(path, end)
        for read in (probe_crops, read_header, verify, lambda p: read_crops(p, 0, 1)):
            assert outcome(read, path) is None


def test_frames_that_are_not_there_are_refused(tmp_path, codec):
    path = tmp_path / "a.crops"
    write(path, frame_pattern(6, 16, 16), codec)
    assert len(read_crops(path, 1, 3, 2)) == 3  # 1, 3, 5
    for clip in ((-1, 1), (0, 0), (0, 1, 0), (0, 7), (6, 1), (2, 3, 2)):
        with pytest.raises(ConfigurationError, match=re.escape(str(path))):
            read_crops(path, *clip)
    with pytest.raises(ConfigurationError, match="has no masks"):
        read_masks(path, 0, 1)
    with pytest.raises(VideoError, match="cannot be opened"):
        read_crops(tmp_path / "b.crops", 0, 1)


def test_clips_are_read_of_crops_as_of_videos(tmp_path, codec):
    path = tmp_path / "a.crops"
    write(path, frame_pattern(9, 16, 16), codec)
    assert probe(path) == probe_crops(path)
    assert probe(path).frames == 9
    assert np.array_equal(read_clip(path, 1, 3, 2), read_crops(path, 1, 3, 2))
    for clip in ((-1, 1), (0, 0), (9, 1)):
        with pytest.raises(ConfigurationError, match=re.escape(str(path))):
            read_clip(path, *clip)

    path.write_bytes(b"")
    video = tmp_path / "a.mp4"
    video.touch()
    for read in (probe, lambda path: read_clip(path, 0, 1)):
        for file in (path, video):
            with pytest.raises(VideoError, match=f"^{re.escape(str(file))}: is an empty file"):
                read(file)
            missing = file.with_stem("b")
            with pytest.raises(VideoError, match=f"^{re.escape(str(missing))}: cannot be opened"):
                read(missing)


def test_a_failed_write_leaves_what_was_there(tmp_path, codec):
    path, frames = tmp_path / "a.crops", frame_pattern(6, 64, 64)
    write(path, frames[:2], codec)
    before = path.read_bytes()
    crop_settings = make_settings(codec, 64)
    header = make_header(6, crop_settings)

    def broken():
        yield frames[0]
        raise VideoError("broken.mp4: cannot be decoded")

    with pytest.raises(VideoError, match=r"broken\.mp4"):
        write_crops(path, header, broken(), crop_settings)
    for wrong in (frames[:5], frames.astype(float), frames[:, :32]):
        with pytest.raises(ConfigurationError, match=re.escape(str(path))):
            write_crops(path, header, wrong, crop_settings)
    with pytest.raises(ConfigurationError, match="digest"):
        write_crops(path, header, frames, dataclasses.replace(crop_settings, margin=1.5))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_what_was_there(tmp_path, codec):
    resource = pytest.importorskip("resource")
    path, frames = tmp_path / "a.crops", frame_pattern(6, 64, 64)
    write(path, frames[:2], codec)
    before = path.read_bytes()
    crop_settings = make_settings(codec, 64)
    header = make_header(6, crop_settings)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)  # what a full disk is to a program
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    try:
        with pytest.raises(CorpusError, match=r"a\.crops: cannot be written"):
            write_crops(path, header, frames, crop_settings)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_header_may_be_known_after_the_last_frame_only(tmp_path):
    crop_settings, seen = make_settings("raw"), []

    def frames():
        for frame in frame_pattern(5, 16, 16):
            seen.append(frame)
            yield frame

    path = tmp_path / "a.crops"
    write_crops(path, lambda: make_header(len(seen), crop_settings), frames(), crop_settings)
    assert verify(path).frames == 5


class Clips(Dataset):
    def __init__(self, path, frames):
        self.path, self.frames = path, frames

    def __len__(self):
        return 64

    def __getitem__(self, index):
        return read_crops(self.path, index % (self.frames - 4), 4)


def test_workers_and_threads_read_what_one_process_reads(tmp_path, codec):
    path = tmp_path / "a.crops"
    write(path, frame_pattern(30, 32, 32), codec)
    clips = Clips(path, 30)
    expected = [clips[index] for index in range(len(clips))]
    loader = DataLoader(clips, batch_size=None, num_workers=2, multiprocessing_context="fork")
    for clip, truth in zip(loader, expected, strict=True):
        assert np.array_equal(clip, truth)
    with ThreadPoolExecutor(4) as pool:
        for clip, truth in zip(pool.map(clips.__getitem__, range(64)), expected, strict=True):
            assert np.array_equal(clip, truth)


def test_the_reader_on_the_page_reads_the_same(tmp_path, codec):
    match = re.search(r"<!-- runs: reader -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    scope = {}
    exec(match.group(1), scope)
    path = tmp_path / "a.crops"
    header = write(path, frame_pattern(7, 32, 32), codec, masks=True)
    stored, frames = scope["read"](path, 2, 4)
    assert np.array_equal(frames, read_crops(path, 2, 4))
    assert stored["source"] == header.source
    assert [tuple(square) for square in stored["squares"]] == list(header.squares)


def test_the_estimate_is_near(tmp_path):
    write(tmp_path / "a.crops", frame_pattern(3, 64, 64), "raw")
    size = (tmp_path / "a.crops").stat().st_size
    assert size == pytest.approx(estimate_bytes(3, 64, "raw"), rel=0.02)
    # All of FaceForensics++, 2.34 million frames: what was measured on six of its videos.
    assert estimate_bytes(2_340_000, 160, "jpeg95") == pytest.approx(30e9, rel=0.02)
    assert estimate_bytes(2_340_000, 160, "raw") == pytest.approx(180e9, rel=0.02)
