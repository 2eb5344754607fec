from pathlib import Path

import pytest

from deepfake_mtl.data.corpora import FaceForensics
from deepfake_mtl.data.records import MANIPULATIONS
from deepfake_mtl.errors import CorpusError
from tests.conftest import video_path


def touch(root: Path, method: str, name: str, compression: str = "c23") -> None:
    path = video_path(root, method, name, compression)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_indexes_the_official_tree_without_opening_a_file(empty_official_tree: Path) -> None:
    records = FaceForensics(empty_official_tree).index()  # empty files: none could be opened

    assert len(records) == 5000
    assert len({record.key for record in records}) == 5000
    fake = next(r for r in records if r.method == "FaceSwap" and r.name == "071_054")
    assert fake.identities == ("071", "054")
    assert fake.key == "faceforensics/FaceSwap/c23/071_054"


def test_compressions_are_kept_apart_and_c0_is_raw(tmp_path: Path) -> None:
    touch(tmp_path, "original", "000", "c0")
    touch(tmp_path, "original", "001", "c40")
    (tmp_path / "original_sequences/youtube/c0/videos/.hidden.mp4").touch()
    (tmp_path / "original_sequences/youtube/c0/videos/000.txt").touch()

    assert [record.name for record in FaceForensics(tmp_path, "raw").index()] == ["000"]
    assert [record.name for record in FaceForensics(tmp_path, "c40").index()] == ["001"]
    with pytest.raises(CorpusError, match=r"c23.*it has raw, c40"):
        FaceForensics(tmp_path, "c23").index()


def test_frame_folders_are_read_only_where_there_are_no_videos(tmp_path: Path) -> None:
    frames = tmp_path / "original_sequences/youtube/c23/frames"
    (frames / "000").mkdir(parents=True)
    (tmp_path / "manipulated_sequences/Deepfakes/c23/frames/000_001").mkdir(parents=True)
    by_frames = FaceForensics(tmp_path).index()
    assert [(record.name, record.path.parent.name) for record in by_frames] == [
        ("000", "frames"),
        ("000_001", "frames"),
    ]

    touch(tmp_path, "original", "002")
    assert [record.name for record in FaceForensics(tmp_path).index()] == ["002"]


def test_a_wrong_root_is_explained(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no such folder"):
        FaceForensics(tmp_path / "nowhere")
    (tmp_path / "holiday").mkdir()
    with pytest.raises(CorpusError, match="holds holiday"):
        FaceForensics(tmp_path)


def test_a_name_that_is_not_official_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path, MANIPULATIONS[0], "000_001_copy")
    (tmp_path / "original_sequences").mkdir()
    with pytest.raises(CorpusError, match=r"000_001_copy.*TARGET_SOURCE"):
        FaceForensics(tmp_path).index()
