"""A store is what its corpus is: what is missing, gone, changed or too long is named."""

import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepfake_mtl.cli import main
from deepfake_mtl.data.corpora import FaceForensics
from deepfake_mtl.data.records import MANIPULATIONS
from deepfake_mtl.data.store.crop_files import read_header, read_masks, verify
from deepfake_mtl.data.store.crop_settings import CropSettings
from deepfake_mtl.data.store.index import FaceStore
from deepfake_mtl.data.store.upkeep import lock_store
from deepfake_mtl.errors import ConfigurationError, CorpusError
from deepfake_mtl.faces import preparation
from tests.conftest import video_path
from tests.data.videos import frame_pattern, write_video
from tests.faces.test_preparation import content, report, words


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Crop without worker processes, which take seconds to start."""

    class Pool:
        def __init__(self, *_: object, initargs: tuple[object], **__: object) -> None:
            preparation._cropper = preparation.Cropper(*initargs)

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

        def submit(self, work: Callable[[object], object], job: object) -> preparation.Future:
            future: preparation.Future = preparation.Future()
            future.set_result(work(job))
            return future

        def shutdown(self, **_: object) -> None: ...

    monkeypatch.setattr(preparation, "ProcessPoolExecutor", Pool)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Two people and their fakes by two methods, without lists."""
    root = tmp_path / "small"
    for seed, (method, name) in enumerate(
        [
            *(("original", name) for name in ("000", "001")),
            *((method, name) for method in MANIPULATIONS for name in ("000_001", "001_000")),
        ]
    ):
        path = video_path(root, method, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, frame_pattern(4, 24, 28, seed=seed))
    return root


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out.strip().splitlines()[-1]


def test_a_method_that_is_missing_is_counted_and_named(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(small / "manipulated_sequences" / "Face2Face")
    video_path(small, "FaceSwap", "001_000").unlink()
    out = tmp_path / "store"
    assert main(words(small, out)) == 1
    line = last_line(capsys)
    assert f"7 videos are in {out}; 3 are missing in the corpus" in line
    assert "(Face2Face: all 2, FaceSwap: 1 of 2 (001_000))" in line
    assert str(out / "report.csv") in line
    rows = report(out)
    missing = {key for key, row in rows.items() if row["status"] == "missing"}
    assert missing == {
        "faceforensics/Face2Face/c23/000_001",
        "faceforensics/Face2Face/c23/001_000",
        "faceforensics/FaceSwap/c23/001_000",
    }
    assert len(rows) == 10
    assert main(words(small, out, "--on_missing=skip")) == 0


def test_a_training_on_a_store_says_where_to_look(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video_path(corpus, "FaceSwap", "000_001").unlink()
    out = tmp_path / "store"
    assert main(words(corpus, out)) == 1
    assert "FaceSwap: 1 of 8 (000_001)" in last_line(capsys)
    fit = ["fit", "--config=configs/demo.yaml", f"--data.root={out}", "--data.held_out=Deepfakes"]
    assert main(fit) == 2
    error = capsys.readouterr().err
    assert "FaceSwap: 1 of 8 (000_001)" in error
    assert f"see in {out / 'report.csv'} why" in error
    assert "download" not in error


def test_crops_of_videos_that_are_gone_are_set_aside_and_taken_back(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "store"
    assert main(words(small, out)) == 0
    before = content(out)
    gone = video_path(small, "FaceSwap", "000_001")
    crops = out / "crops/FaceSwap/c23/000_001.crops"
    kept = crops.read_bytes()
    gone.rename(tmp_path / "gone.mp4")
    capsys.readouterr()
    assert main(words(small, out)) == 1
    line = last_line(capsys)
    assert "9 videos are in" in line
    assert "crops of 1 that the corpus does not have are set aside" in line
    keys = {record.key for record in FaceStore(out).index()}
    assert len(keys) == 9
    assert "faceforensics/FaceSwap/c23/000_001" not in keys
    assert (out / "stale/crops/FaceSwap/c23/000_001.crops").read_bytes() == kept

    (tmp_path / "gone.mp4").rename(gone)
    assert main(words(small, out)) == 0
    assert content(out) == before


def test_a_corpus_of_which_a_store_has_nothing_is_refused(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "store"
    assert main(words(small, out)) == 0
    before = content(out)
    other = video_path(tmp_path / "other", "original", "007")
    other.parent.mkdir(parents=True)
    shutil.copy(video_path(small, "original", "000"), other)
    assert main(words(tmp_path / "other", out)) == 2
    assert "none of its 10 crops (Deepfakes/c23/000_001, " in capsys.readouterr().err
    assert content(out) == before


VIDEOS = (
    ("original", "000"),
    ("original", "001"),
    ("Deepfakes", "000_001"),
    ("FaceSwap", "001_000"),
)
STATE = st.sampled_from(["absent", "a", "b", "short", "small", "broken"])


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for each state that a video can be in."""
    folder = tmp_path_factory.mktemp("states")
    write_video(folder / "a.mp4", frame_pattern(4, 24, 28, seed=1))
    write_video(folder / "b.mp4", frame_pattern(4, 24, 28, seed=2))
    write_video(folder / "short.mp4", frame_pattern(3, 24, 28, seed=3))
    write_video(folder / "small.mp4", frame_pattern(4, 20, 28, seed=4))
    (folder / "broken.mp4").write_bytes((folder / "a.mp4").read_bytes()[:300])
    assert len({path.stat().st_size for path in folder.iterdir()}) == 5
    return folder


def prepared(root: Path, out: Path) -> dict[str, bytes]:
    """The crops and the index of a store, after preparing it."""
    settings = CropSettings(size=16, codec="raw", detector="center")
    source = preparation.CropSource(root, settings)
    preparation.prepare(FaceForensics(root), out, source, 1)
    return {
        name: data
        for name, data in content(out).items()
        if name.startswith("crops") or name == "index.jsonl"
    }


@given(st.lists(st.tuples(*(STATE for _ in VIDEOS)), min_size=2, max_size=3))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_store_ends_as_one_that_is_made_anew(
    states: Path, tmp_path_factory: pytest.TempPathFactory, history: list[tuple[str, ...]]
) -> None:
    """Whatever videos came, went or changed between two runs."""
    place = tmp_path_factory.mktemp("history")
    root = place / "corpus"
    (root / "original_sequences").mkdir(parents=True)
    for moment in history:
        for (method, name), state in zip(VIDEOS, moment, strict=True):
            path = video_path(root, method, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            if state != "absent":
                shutil.copy(states / f"{state}.mp4", path)
        try:
            old = prepared(root, place / "old")
        except CorpusError as error:
            # There is no video, or the store has nothing of this corpus.
            if not re.search("no videos of compression|none of its", str(error)):
                raise
            continue
        assert old == prepared(root, Path(tempfile.mkdtemp(dir=place)) / "new")


def test_a_name_that_is_too_long_is_left_out_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = tmp_path / "any", tmp_path / "store"
    long = "n" * 251  # with .mp4 as long as a name may be; with .crops it is longer
    fits = "m" * 249  # with .crops as long as it may be
    for seed, path in enumerate([f"real/{long}.mp4", f"real/{fits}.mp4", "fake/a.mp4"]):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        write_video(root / path, frame_pattern(4, 24, 28, seed=seed))
    for _ in range(2):
        assert main(words(root, out, "--corpus=folder")) == 1
        assert f"2 videos are in {out}; 1 were left out" in last_line(capsys)
    assert {record.name for record in FaceStore(out).index()} == {fits, "a"}
    reason = report(out)[f"folder/original/native/{long}"]["reason"]
    assert "too long for the disk" in reason
    assert "room" not in reason


@pytest.mark.parametrize(
    ("frames", "height", "masked", "said"),
    [
        (4, 24, 4, ""),
        (3, 24, 3, "for the first 3 of 4 frames"),
        (6, 24, 4, "has 6 frames, the video 4: the last are not stored"),
        (4, 20, 0, "for the first 0 of 4 frames"),
        (0, 24, 0, "for the first 0 of 4 frames"),
    ],
)
def test_masks_that_do_not_fit_cost_no_video(
    small: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    frames: int,
    height: int,
    masked: int,
    said: str,
) -> None:
    masks = small / "manipulated_sequences/FaceSwap/masks/videos/000_001.mp4"
    masks.parent.mkdir(parents=True)
    if frames:
        write_video(masks, np.full((frames, height, 28, 3), 255, np.uint8), crf=0)
    else:
        masks.write_bytes(b"no video")
    out = tmp_path / "store"
    for _ in range(2):
        assert main(words(small, out, "--masks")) == 0
        assert ("1 have masks that do not fit" in last_line(capsys)) == bool(said)
        row = report(out)["faceforensics/FaceSwap/c23/000_001"]
        assert row["status"] == "prepared"
        assert said in row["reason"]
        assert bool(said) == bool(row["reason"])
    path = out / "crops/FaceSwap/c23/000_001.crops"
    assert verify(path).frames == 4
    if masked:
        assert read_masks(path, 0, masked).min() > 250
    if masked < 4:
        with pytest.raises(ConfigurationError, match=f"frame {masked} has no mask"):
            read_masks(path, 0, 4)


def test_masks_that_arrive_later_are_stored(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "store"
    assert main(words(small, out, "--masks")) == 0
    masks = small / "manipulated_sequences/FaceSwap/masks/videos/000_001.mp4"
    masks.parent.mkdir(parents=True)
    write_video(masks, np.full((4, 24, 28, 3), 255, np.uint8), crf=0)
    untouched = out / "crops/FaceSwap/c23/001_000.crops"
    before = untouched.stat().st_mtime_ns
    assert main(words(small, out, "--masks")) == 0
    assert read_masks(out / "crops/FaceSwap/c23/000_001.crops", 0, 4).min() > 250
    assert untouched.stat().st_mtime_ns == before


def test_a_video_that_has_changed_is_cropped_again(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "store"
    assert main(words(small, out)) == 0
    crops = out / "crops/original/c23/000.crops"
    before = read_header(crops).source_hash
    write_video(video_path(small, "original", "000"), frame_pattern(5, 24, 28, seed=77))
    assert main(words(small, out)) == 0
    assert read_header(crops).source_hash != before
    # Its fakes have other lengths now, and their squares are their own.
    fake = "faceforensics/FaceSwap/c23/000_001"
    assert report(out)[fake]["boxes_from"] == fake


def test_two_at_one_store(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "store"
    assert main(words(small, out)) == 0
    before = content(out)
    capsys.readouterr()
    with lock_store(out):
        assert main(words(small, out)) == 2
        assert "another `deepfake-mtl prepare` is writing to this store" in capsys.readouterr().err
        with pytest.raises(CorpusError), lock_store(out):
            pass
    assert content(out) == before
    assert main(words(small, out)) == 0
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.png").touch()
    assert main(words(small, photos)) == 2
    assert [path.name for path in photos.iterdir()] == ["a.png"]
