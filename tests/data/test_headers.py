"""Headers that are kept from one start to the next."""

import json
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from deepfake_mtl.data import clips, headers
from deepfake_mtl.data.clips import probe_videos
from deepfake_mtl.data.corpora import FaceForensics
from deepfake_mtl.data.headers import cached_headers
from deepfake_mtl.data.records import VideoRecord
from deepfake_mtl.data.video_info import VideoInfo
from deepfake_mtl.errors import VideoError
from tests.data.videos import frame_pattern, write_video


@pytest.fixture
def kept_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEEPFAKE_MTL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "headers"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the videos that are opened."""
    names: list[str] = []
    probe = clips.probe

    def noted(path: Path) -> VideoInfo:
        names.append(path.stem)
        return probe(path)

    monkeypatch.setattr(clips, "probe", noted)
    return names


def videos(root: Path, *names: str) -> list[VideoRecord]:
    for name in names:
        write_video(root / f"{name}.mp4", frame_pattern(6, 16, 16))
    return [VideoRecord("some", "original", "c23", n, (), root / f"{n}.mp4") for n in names]


def test_a_second_start_opens_no_video(tiny_corpus: Path, kept_in: Path, opened: list[str]) -> None:
    records = FaceForensics(tiny_corpus).index()
    first = probe_videos(records, root=tiny_corpus)
    assert len(opened) == len(records)
    assert probe_videos(records, root=tiny_corpus) == first == probe_videos(records)
    assert len(opened) == 2 * len(records)  # by the last one, which keeps none
    assert [path.suffix for path in kept_in.iterdir()].count(".json") == 1


def test_what_has_changed_is_opened_again(tmp_path: Path, kept_in: Path, opened: list[str]) -> None:
    records = videos(tmp_path, "a", "b", "c")
    probe_videos(records, root=tmp_path)
    opened.clear()
    write_video(records[1].path, frame_pattern(9, 16, 16))
    records += videos(tmp_path, "d")
    found = probe_videos(records, root=tmp_path)
    assert sorted(opened) == ["b", "d"]
    assert [info.frames for info in found.infos] == [6, 9, 6, 6]
    opened.clear()
    time = records[2].path.stat()
    os.utime(records[2].path, ns=(time.st_atime_ns, time.st_mtime_ns + 1))
    probe_videos(records, root=tmp_path)
    assert opened == ["c"]


def test_what_cannot_be_opened_is_tried_again(
    tmp_path: Path, kept_in: Path, opened: list[str]
) -> None:
    records = videos(tmp_path, "a", "b")
    records[0].path.write_bytes(b"no video")
    for _ in range(2):
        found = probe_videos(records, "skip", tmp_path)
        assert [record.name for record in found.records] == ["b"]
        assert len(found.corrupt) == 1
    assert opened.count("a") == 2
    assert opened.count("b") == 1
    with pytest.raises(VideoError, match=r"a\.mp4"):
        probe_videos(records, root=tmp_path)


@pytest.mark.parametrize("spoilt", ["", "{", '{"videos": {}}', '{"read_by": "older", "videos": 3}'])
def test_a_file_that_cannot_be_used_is_made_again(
    spoilt: str, tmp_path: Path, kept_in: Path, opened: list[str]
) -> None:
    records = videos(tmp_path, "a")
    first = probe_videos(records, root=tmp_path)
    (kept,) = kept_in.glob("*.json")
    kept.write_text(spoilt)
    assert probe_videos(records, root=tmp_path) == first
    assert len(opened) == 2
    assert json.loads(kept.read_text())["read_by"] == headers.READ_BY


def test_no_place_to_keep_them_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DEEPFAKE_MTL_CACHE", str(tmp_path / "file"))
    records = videos(tmp_path, "a")
    assert len(probe_videos(records, root=tmp_path).infos) == 1


def test_an_interruption_keeps_what_was_read(tmp_path: Path, kept_in: Path) -> None:
    paths = [record.path for record in videos(tmp_path, "a", "b", "c")]
    info = VideoInfo(6, 16, 16, 25.0, "h264")

    def interrupted(_: Sequence[Path]) -> Iterator[VideoInfo]:
        yield info
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_headers(tmp_path, paths, interrupted)
    asked: list[Path] = []

    def rest(lacking: Sequence[Path]) -> Iterator[VideoInfo]:
        asked.extend(lacking)
        yield from [info] * len(lacking)

    assert cached_headers(tmp_path, paths, rest) == [info] * 3
    assert asked == paths[1:]


def start(root: str, names: list[str], out: "multiprocessing.Queue[int]") -> None:
    opened: list[Path] = []

    def read(lacking: Sequence[Path]) -> Iterator[VideoInfo]:
        for path in lacking:
            opened.append(path)
            yield VideoInfo(6, 16, 16, 25.0, "h264")

    found = cached_headers(Path(root), [Path(root) / name for name in names], read)
    out.put(len(opened) if len(found) == len(names) else -1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="ranks are forked")
def test_ranks_that_start_together_read_once(tmp_path: Path, kept_in: Path) -> None:
    names = [f"{number}.mp4" for number in range(40)]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    context = multiprocessing.get_context("fork")
    out: multiprocessing.Queue[int] = context.Queue()
    ranks = [context.Process(target=start, args=(str(tmp_path), names, out)) for _ in range(3)]
    for rank in ranks:
        rank.start()
    assert sorted(out.get(timeout=60) for _ in ranks) == [0, 0, 40]
    for rank in ranks:
        rank.join()
