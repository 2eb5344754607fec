import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepfake_mtl.data.corpora import FaceForensics
from deepfake_mtl.data.corpora.scanning import in_one_form
from deepfake_mtl.data.missing import find_missing
from deepfake_mtl.data.records import MANIPULATIONS, VideoRecord
from deepfake_mtl.errors import CorpusError
from tests.conftest import video_path, write_splits


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


@pytest.fixture
def two_forms(tmp_path: Path) -> Callable[[str, str], None]:
    """Puts two people and the fakes of a method there, as videos or as folders of frames."""

    def put(form: str, methods: str) -> None:
        for method in methods.split():
            for name in ("000", "001") if method == "original" else ("000_001", "001_000"):
                path = video_path(tmp_path, method, name)
                if form == "videos":
                    touch(tmp_path, method, name)
                else:
                    (path.parents[1] / "frames" / name).mkdir(parents=True)

    return put


def test_the_form_is_read_that_holds_all_videos(
    tmp_path: Path, two_forms: Callable[[str, str], None], caplog: pytest.LogCaptureFixture
) -> None:
    two_forms("videos", "original")
    two_forms("frames", "original Deepfakes FaceSwap")
    video_path(tmp_path, "Deepfakes", "000_001").parent.mkdir(parents=True)  # and stays empty
    records = FaceForensics(tmp_path).index()
    assert Counter(record.method for record in records) == dict.fromkeys(
        ("original", "Deepfakes", "FaceSwap"), 2
    )
    assert {record.path.parent.name for record in records} == {"frames"}
    assert "original 2 files and 2 folders of frames; Deepfakes 0 files and 2" in caplog.text

    two_forms("videos", "Deepfakes FaceSwap")
    caplog.clear()
    assert {record.path.parent.name for record in FaceForensics(tmp_path).index()} == {"videos"}
    assert not caplog.records


def test_a_form_that_is_there_anywhere_does_not_hide_the_other(
    tmp_path: Path, two_forms: Callable[[str, str], None]
) -> None:
    two_forms("videos", "original FaceSwap")
    two_forms("frames", "Deepfakes FaceSwap")
    with pytest.raises(CorpusError, match="stored in the same form") as caught:
        FaceForensics(tmp_path).index()
    assert "original 2 files and 0 folders of frames" in str(caught.value)
    assert "Deepfakes 0 files and 2 folders of frames" in str(caught.value)


@given(
    files=st.sets(st.sampled_from(["original/a", "X/a", "X/b", "Y/a"])),
    frames=st.sets(st.sampled_from(["original/a", "X/a", "X/b", "Y/a"])),
)
def test_no_video_is_ever_lost_for_its_form(files: set[str], frames: set[str]) -> None:
    def record(video: str, suffix: str) -> VideoRecord:
        method, name = video.split("/")
        return VideoRecord("x", method, "c23", name, (name,), Path(f"{video}{suffix}"))

    candidates = [record(each, ".MP4") for each in files] + [record(each, "") for each in frames]
    try:
        found = in_one_form(Path(), candidates)
    except CorpusError:
        assert files - frames
        assert frames - files
    else:
        assert {f"{each.method}/{each.name}" for each in found} == files | frames
        assert len({each.path.suffix for each in found}) <= 1


def test_raw_and_c0_are_read_together(tmp_path: Path) -> None:
    touch(tmp_path, "original", "000", "c0")
    (tmp_path / "original_sequences/youtube/raw/videos").mkdir(parents=True)
    touch(tmp_path, "Deepfakes", "000_001", "raw")
    assert len(FaceForensics(tmp_path, "raw").index()) == 2
    touch(tmp_path, "original", "000", "raw")
    with pytest.raises(CorpusError, match=r"would both be the video faceforensics/original/raw/0"):
        FaceForensics(tmp_path, "raw").index()
    shutil.rmtree(tmp_path / "original_sequences/youtube/c0")
    (tmp_path / "original_sequences/youtube/c0").symlink_to("raw")
    assert len(FaceForensics(tmp_path, "raw").index()) == 2


def test_videos_of_any_container(tmp_path: Path) -> None:
    for method, name in (("original", "000"), ("Deepfakes", "000_001")):
        touch(tmp_path, method, name)
        path = video_path(tmp_path, method, name)
        path.rename(path.with_suffix(".avi"))
    corpus = FaceForensics(tmp_path)
    assert [record.name for record in corpus.index()] == ["000", "000_001"]
    masks = tmp_path / "manipulated_sequences/Deepfakes/masks/videos"
    assert corpus.mask_path(corpus.index()[1]) is None
    masks.mkdir(parents=True)
    (masks / "000_001.avi").touch()
    assert corpus.mask_path(corpus.index()[1]) == masks / "000_001.avi"


def test_what_is_not_there_is_not_offered(tmp_path: Path) -> None:
    """A folder of c23 that holds no video is no reason to choose c23."""
    touch(tmp_path, "original", "000")
    video_path(tmp_path, "original", "000").rename(tmp_path / "000.mp4")
    with pytest.raises(CorpusError, match=r"no videos of compression c23.*no compression is there"):
        FaceForensics(tmp_path).index()


def test_expected_are_the_lists_or_what_siblings_have(tmp_path: Path) -> None:
    touch(tmp_path, "original", "000")
    touch(tmp_path, "FaceSwap", "000_001")
    touch(tmp_path, "Deepfakes", "001_000")
    corpus = FaceForensics(tmp_path)
    there = {record.key for record in corpus.index()}
    missing = find_missing(corpus.expected(corpus.index()), there)
    assert missing.names == {
        "original": ["001"],
        "Deepfakes": ["000_001"],
        "Face2Face": ["000_001", "001_000"],
        "FaceSwap": ["001_000"],
        "NeuralTextures": ["000_001", "001_000"],
    }
    write_splits(tmp_path / "splits")
    missing = find_missing(corpus.expected(corpus.index()), there)
    assert missing.asked == {"original": 8, **dict.fromkeys(MANIPULATIONS, 8)}
    assert len(missing) == 40 - 3


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
