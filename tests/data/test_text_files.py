"""Lists as Windows programs, spreadsheets and people write them."""

import codecs
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepfake_mtl.data.corpora import open_corpus
from deepfake_mtl.data.splits import read_splits
from deepfake_mtl.data.store.folder import StoreInfo, create_store
from deepfake_mtl.data.store.index import FaceStore
from deepfake_mtl.data.text_files import read_lines, read_text
from deepfake_mtl.errors import ConfigurationError, CorpusError, DeepfakeMTLError, SplitError
from deepfake_mtl.faces.box_files import read_boxes
from deepfake_mtl.inference.batch.inputs import find_inputs
from tests.conftest import write_splits
from tests.data.crops import make_settings
from tests.data.test_other_corpora import touch

ENCODINGS = {
    "plain": (b"", "utf-8"),
    "byte-order mark": (codecs.BOM_UTF8, "utf-8"),
    "UTF-16-LE": (codecs.BOM_UTF16_LE, "utf-16-le"),
    "UTF-16-BE": (codecs.BOM_UTF16_BE, "utf-16-be"),
    "UTF-32-LE": (codecs.BOM_UTF32_LE, "utf-32-le"),
}
LINE_ENDS = ("\n", "\r\n", "\r")

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"))


def rewrite(path: Path, text: str, encoding: str, line_end: str = "\r\n") -> None:
    mark, codec = ENCODINGS[encoding]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(mark + text.replace("\n", line_end).encode(codec))


@given(TEXT, st.sampled_from(sorted(ENCODINGS)))
def test_the_same_text_whatever_its_encoding(
    tmp_path_factory: pytest.TempPathFactory, text: str, encoding: str
) -> None:
    mark, codec = ENCODINGS[encoding]
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(mark + text.encode(codec))
    assert read_text(path, "") == text


@pytest.mark.parametrize("line_end", LINE_ENDS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_lines_have_their_numbers(tmp_path: Path, encoding: str, line_end: str) -> None:
    path = tmp_path / "list.txt"
    rewrite(path, "\na b\u2028c \n\n  d\u00e9", encoding, line_end)
    assert read_lines(path, "") == [
        (f"{path}, line 2", "a b\u2028c"),
        (f"{path}, line 4", "d\u00e9"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\nb\nc\xff\n", "line 3: is not text in UTF-8"),
        ("a\nb".encode("utf-16-le"), "line 1: holds a zero byte, as text in UTF-16 without"),
        (codecs.BOM_UTF16_LE + b"a\0\n\0b", "line 2: is not text in UTF-16-LE"),
    ],
)
def test_what_is_no_text_is_named_with_its_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=message) as caught:
        read_lines(path, "restore it")
    assert str(caught.value).startswith(f"{path}, line")
    assert str(caught.value).endswith("save the file as UTF-8, or restore it")


def celebdf(root: Path) -> tuple[Path, str]:
    touch(root, "Celeb-real/id0_0001.mp4", "YouTube-real/00170.mp4")
    touch(root, "Celeb-synthesis/id0_id1_0001.mp4")
    text = "1 YouTube-real\\00170.mp4\n\n0\tCeleb-synthesis/id0_id1_0001.mp4\n"
    return root / "List_of_testing_videos.txt", text


def dfdc(root: Path) -> tuple[Path, str]:
    touch(root, "test/a.mp4", "test/b.mp4")
    return root / "test" / "labels.csv", "Filename, Label\na.mp4,0\nb.mp4, fake\n"


def dfdc_part(root: Path) -> tuple[Path, str]:
    touch(root, "a.mp4", "b.mp4")
    entries = {"a.mp4": {"label": "REAL"}, "b.mp4": {"label": "FAKE", "original": "a.mp4"}}
    return root / "metadata.json", json.dumps(entries)


def dfdc_preview(root: Path) -> tuple[Path, str]:
    touch(root, "original_videos/1/1_A.mp4", "method_A/2/2_B.mp4")
    entries = {
        "original_videos\\1\\1_A.mp4": {"label": "real", "set": "test", "target_id": "1"},
        "method_A\\2\\2_B.mp4": {"label": "fake", "set": "test", "target_id": "2"},
    }
    return root / "dataset.json", json.dumps(entries)


def deeperforensics(root: Path) -> tuple[Path, str]:
    touch(root, "manipulated_videos/end_to_end/000_M101.mp4")
    touch(root, "original_sequences/youtube/c23/videos/000.mp4")
    return root / "lists/splits/test.txt", "end_to_end\\000_M101.mp4\n"


LISTS = [
    ("celebdf", celebdf),
    ("dfdc", dfdc),
    ("dfdc", dfdc_part),
    ("dfdc_preview", dfdc_preview),
    ("deeperforensics", deeperforensics),
]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(("name", "tree"), LISTS)
def test_lists_of_corpora(
    tmp_path: Path, name: str, tree: Callable[[Path], tuple[Path, str]], encoding: str
) -> None:
    path, text = tree(tmp_path)
    rewrite(path, text, encoding)
    assert [record.is_fake for record in open_corpus(name, tmp_path).test_videos()] == [False, True]
    assert all(record.path.is_file() for record in open_corpus(name, tmp_path).index())


@pytest.mark.parametrize(("name", "tree"), LISTS)
def test_a_list_that_is_damaged_is_named(
    tmp_path: Path, name: str, tree: Callable[[Path], tuple[Path, str]]
) -> None:
    path, text = tree(tmp_path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() + b"\n\n\xff")
    line = text.count("\n") + 3
    with pytest.raises(CorpusError, match=f"{path.name}, line {line}: is not text in UTF-8"):
        open_corpus(name, tmp_path).test_videos()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_other_lists(tmp_path: Path, encoding: str) -> None:
    write_splits(tmp_path / "splits")
    for path in (tmp_path / "splits").iterdir():
        rewrite(path, path.read_text(), encoding)
    assert read_splits(tmp_path / "splits")["test"].originals == {"006", "007"}
    path.write_text("[\n[")
    with pytest.raises(SplitError, match=f"{path.name}, line 2: cannot be read as JSON"):
        read_splits(tmp_path / "splits")

    rewrite(tmp_path / "a.csv", "frame,x0,y0,x1,y1\n0,1,2,3,4\n", encoding)
    assert list(read_boxes(tmp_path / "a.csv")) == [0]

    info = StoreInfo("uadfv", "native", synthetic=False, settings=make_settings("raw"))
    create_store(tmp_path / "store", info)
    rewrite(tmp_path / "store" / "test_list.txt", "uadfv/original/native/a\n", encoding)
    assert FaceStore(tmp_path / "store").test_list() == ["uadfv/original/native/a"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_list_for_detect(tmp_path: Path, encoding: str) -> None:
    touch(tmp_path, "below/a b.mp4", "caf\u00e9.mp4", "odd\\name.mp4")
    rewrite(tmp_path / "l.txt", "below\\a b.mp4\ncaf\u00e9.mp4\nodd\\name.mp4\n", encoding)
    found = find_inputs([tmp_path / "l.txt"], tmp_path / "out").videos
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        "below/a b.mp4",
        "caf\u00e9.mp4",
        "odd\\name.mp4",
    ]


def test_names_that_are_no_utf8_may_stand_in_a_list_for_detect(tmp_path: Path) -> None:
    name = b"caf\xe9.mp4"
    (tmp_path / "l.txt").write_bytes(name + b"\n")
    assert find_inputs([tmp_path / "l.txt"], tmp_path).videos == [tmp_path / os.fsdecode(name)]
    with pytest.raises(ConfigurationError, match=r"none\.txt: cannot be read"):
        find_inputs([tmp_path / "none.txt"], tmp_path)


@pytest.mark.parametrize("file", ["a.MP4", "a.avi", "A.mp4"])
def test_a_video_is_found_by_its_name_alone(tmp_path: Path, file: str) -> None:
    path, text = dfdc(tmp_path)
    rewrite(path, text, "plain")
    (tmp_path / "test" / "a.mp4").rename(tmp_path / "test" / file)
    records = open_corpus("dfdc", tmp_path).index()
    assert {record.name: record.path.name for record in records} == {
        "test__a": file,
        "test__b": "b.mp4",
    }
    touch(tmp_path, "test/a.webm")  # which of the two it is cannot be told
    with pytest.raises(DeepfakeMTLError, match="gives it no label"):
        open_corpus("dfdc", tmp_path).index()


def test_links_that_are_left_out_are_counted_and_named(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/a.mp4", "elsewhere/b.mp4", "linked/notes.txt")
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "linked" / name).symlink_to(tmp_path / "elsewhere" / name)
    with pytest.raises(ConfigurationError, match=r"no videos.*left out 2, a link that leads") as e:
        find_inputs([tmp_path / "linked"], tmp_path / "out")
    assert f"{tmp_path / 'linked/a.mp4'}, {tmp_path / 'linked/b.mp4'}" in str(e.value)
