"""Each reader on a tiny tree of its corpus: of empty files, since none is opened to be listed."""

import json
from pathlib import Path

import pytest

from deepfake_mtl.cli import main
from deepfake_mtl.data.corpora import CORPORA, CorpusReader, open_corpus
from deepfake_mtl.data.records import ORIGINAL, VideoRecord
from deepfake_mtl.data.store.crop_files import read_header
from deepfake_mtl.data.store.crop_header import CropHeader
from deepfake_mtl.data.store.index import FaceStore
from deepfake_mtl.errors import CorpusError, SplitError
from tests.conftest import shared_path, write_splits
from tests.data.videos import frame_pattern, write_video


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def labels(records: list[VideoRecord]) -> dict[str, bool]:
    assert len({record.key for record in records}) == len(records)
    assert all(record.path.exists() for record in records)
    assert [record.is_fake for record in records] == sorted(r.is_fake for r in records)
    return {f"{record.method}/{record.name}": record.is_fake for record in records}


def people(corpus: CorpusReader) -> dict[str, tuple[str, ...]]:
    return {record.name: record.identities for record in corpus.index()}


def originals(corpus: CorpusReader) -> dict[str, str | None]:
    """Of each fake, the name of its original."""
    records = corpus.index()
    assert all(corpus.original_of(record) is None for record in records if not record.is_fake)
    return {record.name: corpus.original_of(record) for record in records if record.is_fake}


# Celeb-DF


@pytest.fixture
def celebdf(tmp_path: Path) -> Path:
    root = tmp_path / "Celeb-DF-v2"
    touch(root, "Celeb-real/id0_0001.mp4", "Celeb-real/id1_0000.mp4", "Celeb-real/id0_0002.mp4")
    touch(root, "YouTube-real/00170.mp4", "YouTube-real/00171.mp4")
    touch(root, "Celeb-synthesis/id0_id1_0001.mp4", "Celeb-synthesis/id1_id0_0000.mp4")
    lines = ["1 YouTube-real/00170.mp4", "1 Celeb-real/id0_0001.mp4"]
    lines += ["0 Celeb-synthesis/id0_id1_0001.mp4"]
    (root / "List_of_testing_videos.txt").write_text("\n".join(lines) + "\n")
    return root


def test_celebdf(celebdf: Path, caplog: pytest.LogCaptureFixture) -> None:
    corpus = open_corpus("celebdf", celebdf)

    assert labels(corpus.index()) == {
        "original/00170": False,
        "original/00171": False,
        "original/id0_0001": False,
        "original/id0_0002": False,
        "original/id1_0000": False,
        "Celeb-synthesis/id0_id1_0001": True,
        "Celeb-synthesis/id1_id0_0000": True,
    }
    # In the list, 1 means real.
    assert labels(corpus.test_videos()) == {
        "original/00170": False,
        "original/id0_0001": False,
        "Celeb-synthesis/id0_id1_0001": True,
    }
    assert people(corpus)["id0_0001"] == ("id0",)
    assert people(corpus)["id0_id1_0001"] == ("id0", "id1")
    assert people(corpus)["00170"] == ("00170",)
    assert originals(corpus) == {"id0_id1_0001": "id0_0001", "id1_id0_0000": "id1_0000"}
    assert {record.compression for record in corpus.index()} == {"native"}
    assert not corpus.is_synthetic
    assert not caplog.records


def test_a_label_that_contradicts_its_folder_is_an_error(celebdf: Path) -> None:
    path = celebdf / "List_of_testing_videos.txt"
    for line in ("1 Celeb-synthesis/id0_id1_0001.mp4", "0 YouTube-real/00170.mp4"):
        path.write_text(f"{line}\n")
        with pytest.raises(CorpusError, match=r"line 1.*1 means real"):
            open_corpus("celebdf", celebdf).test_videos()
    path.write_text("YouTube-real/00170.mp4\n")
    with pytest.raises(CorpusError, match="not of the form 1 YouTube-real"):
        open_corpus("celebdf", celebdf).test_videos()
    path.unlink()
    with pytest.raises(CorpusError, match=r"List_of_testing_videos\.txt: cannot be read"):
        open_corpus("celebdf", celebdf).test_videos()
    assert len(open_corpus("celebdf", celebdf).index()) == 7


def test_missing_test_videos_are_counted_and_named(
    celebdf: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = celebdf / "List_of_testing_videos.txt"
    extra = "".join(f"0 Celeb-synthesis/id0_id1_{i:04}.mp4\n" for i in range(10, 17))
    path.write_text(path.read_text() + "1 YouTube-real/00300.mp4\n" + extra)
    with pytest.raises(CorpusError) as caught:
        open_corpus("celebdf", celebdf).test_videos()
    message = str(caught.value)
    assert "8 of 11 videos that the test list names are not there" in message
    assert "original: 1 of 3 (00300)" in message
    assert "Celeb-synthesis: 7 of 8 (id0_id1_0010, " in message
    assert "id0_id1_0014, ...)" in message
    assert '`on_missing="skip"`' in message

    skipping = open_corpus("celebdf", celebdf, on_missing="skip")
    assert len(skipping.test_videos()) == 3
    assert "8 of 11 videos" in caplog.text
    assert len(skipping.test_list() or []) == 11  # the list is what it is

    path.write_text("1 YouTube-real/00300.mp4\n")
    with pytest.raises(CorpusError, match="none of the 1 videos"):
        skipping.test_videos()


def test_what_no_rule_explains_is_an_error_or_is_reported(
    celebdf: Path, caplog: pytest.LogCaptureFixture
) -> None:
    touch(celebdf, "YouTube-real/.hidden.mp4", "YouTube-real/00170.csv")  # boxes of a video
    open_corpus("celebdf", celebdf).index()
    assert not caplog.records
    touch(celebdf, "YouTube-real/notes.txt", "YouTube-real/00999.csv", "More-real/1.mp4")
    assert len(open_corpus("celebdf", celebdf).index()) == 7
    assert "2 entries" in caplog.text
    assert "00999.csv, notes.txt" in caplog.text
    assert f"{celebdf}: 1 entries are none of the corpus' videos" in caplog.text
    assert "More-real" in caplog.text
    touch(celebdf, "Celeb-real/id0_id1_0001.mp4")
    with pytest.raises(CorpusError, match=r"Celeb-real/id0_id1_0001\.mp4: a video of Celeb-real"):
        open_corpus("celebdf", celebdf).index()


def test_frames_in_the_place_of_videos_but_not_beside_them(tmp_path: Path) -> None:
    root = tmp_path / "frames"
    touch(root, "Celeb-real/frames/id0_0001/000.png", "Celeb-synthesis/frames/id0_id1_0001/0.png")
    touch(root, "YouTube-real/frames/00170/000.png")
    assert labels(open_corpus("celebdf", root).index()) == {
        "original/00170": False,
        "original/id0_0001": False,
        "Celeb-synthesis/id0_id1_0001": True,
    }
    touch(root, "YouTube-real/00170.mp4")
    assert len(open_corpus("celebdf", root).index()) == 3
    touch(root, "YouTube-real/00171.mp4")
    with pytest.raises(CorpusError, match="have to be stored in the same form"):
        open_corpus("celebdf", root).index()


# DFDC


def dfdc_part(folder: Path, entries: dict[str, str | None], *, missing: str = "") -> None:
    """Makes a part of fakes with their originals, and of originals, which have None."""
    metadata = {
        file: {"label": "REAL", "split": "train", "original": None}
        if original is None
        else {"label": "FAKE", "split": "train", "original": original}
        for file, original in entries.items()
    }
    touch(folder, *(file for file in entries if file != missing))
    (folder / "metadata.json").write_text(json.dumps(metadata))


@pytest.fixture
def dfdc(tmp_path: Path) -> Path:
    root = tmp_path / "dfdc"
    dfdc_part(root / "dfdc_train_part_0", {"a.mp4": None, "b.mp4": "a.mp4", "c.mp4": "z.mp4"})
    dfdc_part(root / "train" / "dfdc_train_part_1", {"a.mp4": None, "b.mp4": "a.mp4"})
    dfdc_part(root / "dfdc_train_part_02" / "dfdc_train_part_2", {"q.mp4": None})
    return root


def add_dfdc_test(root: Path) -> None:
    touch(root, "test/videos/a.mp4", "test/videos/f.mp4", "validation/v.mp4")
    (root / "test" / "labels.csv").write_text("filename,label\na.mp4,0\nf.mp4,1\n")
    (root / "validation" / "labels.csv").write_text("filename,label\nv.mp4,1\n")


def test_dfdc(dfdc: Path, caplog: pytest.LogCaptureFixture) -> None:
    corpus = open_corpus("dfdc", dfdc)
    trained = {
        "original/dfdc_train_part_0__a": False,
        "original/dfdc_train_part_1__a": False,
        "original/dfdc_train_part_2__q": False,
        "DFDC/dfdc_train_part_0__b": True,
        "DFDC/dfdc_train_part_0__c": True,
        "DFDC/dfdc_train_part_1__b": True,
    }
    assert labels(corpus.index()) == trained
    assert corpus.test_list() is None
    assert labels(corpus.test_videos()) == trained  # nothing better is there
    assert people(corpus)["dfdc_train_part_0__a"] == ("dfdc_train_part_0__a",)
    assert people(corpus)["dfdc_train_part_0__b"] == ("dfdc_train_part_0__a",)
    assert people(corpus)["dfdc_train_part_1__b"] == ("dfdc_train_part_1__a",)

    add_dfdc_test(dfdc)
    assert labels(corpus.test_videos()) == {"original/test__a": False, "DFDC/test__f": True}
    assert labels(corpus.index()) == trained | {
        "original/test__a": False,
        "DFDC/test__f": True,
        "DFDC/validation__v": True,
    }
    assert originals(corpus) == {
        "dfdc_train_part_0__b": "dfdc_train_part_0__a",
        "dfdc_train_part_0__c": "dfdc_train_part_0__z",  # not there, but known
        "dfdc_train_part_1__b": "dfdc_train_part_1__a",
        "test__f": None,
        "validation__v": None,
    }
    assert not caplog.records


def test_dfdc_lists_and_files_have_to_agree(dfdc: Path, caplog: pytest.LogCaptureFixture) -> None:
    (dfdc / "dfdc_train_part_0" / "b.mp4").unlink()
    with pytest.raises(CorpusError) as caught:
        open_corpus("dfdc", dfdc).index()
    assert "1 of 6 videos" in str(caught.value)
    assert "DFDC: 1 of 3 (dfdc_train_part_0__b)" in str(caught.value)
    assert len(open_corpus("dfdc", dfdc, on_missing="skip").index()) == 5

    caplog.clear()
    touch(dfdc, "dfdc_train_part_0/notes.txt", "dfdc_train_part_0/a.json")
    assert len(open_corpus("dfdc", dfdc, on_missing="skip").index()) == 5
    assert "1 entries are none of the corpus' videos and are left out: notes.txt" in caplog.text
    touch(dfdc, "dfdc_train_part_0/new.mp4", "elsewhere/old.mp4")
    with pytest.raises(CorpusError, match=r"new\.mp4: .* gives it no label, nor 1 other"):
        open_corpus("dfdc", dfdc, on_missing="skip").index()


def test_dfdc_damaged_lists(dfdc: Path) -> None:
    add_dfdc_test(dfdc)
    test = dfdc / "test" / "labels.csv"
    for content in (
        "filename,label\na.mp4,FAKE?\n",
        "name,label\na.mp4,1\n",
        "filename,label\na\n",
    ):
        test.write_text(content)
        with pytest.raises(CorpusError, match=r"labels\.csv, line 2: .*restore the official file"):
            open_corpus("dfdc", dfdc).test_videos()
    test.write_text("filename,label\na.mp4,0\na.mp4,1\nf.mp4,1\n")
    with pytest.raises(CorpusError, match="names a video twice"):
        open_corpus("dfdc", dfdc).test_videos()
    test.unlink()
    path = dfdc / "dfdc_train_part_0" / "metadata.json"
    path.write_text('{"a.mp4": {"label": "FAKE", "split": "train"}}')
    with pytest.raises(CorpusError, match=r"the fake a\.mp4 has no original"):
        open_corpus("dfdc", dfdc).index()
    path.unlink()
    with pytest.raises(CorpusError, match=r"part_0/metadata\.json: cannot be read \(No such"):
        open_corpus("dfdc", dfdc).index()


def test_one_part_of_dfdc_alone(tmp_path: Path) -> None:
    dfdc_part(tmp_path, {"a.mp4": None, "b.mp4": "a.mp4"})
    corpus = open_corpus("dfdc", tmp_path)
    assert labels(corpus.index()) == {"original/a": False, "DFDC/b": True}
    assert originals(corpus) == {"b": "a"}


def test_the_real_sample_of_dfdc() -> None:
    (record,) = open_corpus("dfdc", shared_path("dfdc_sample")).test_videos()
    assert record.key == "dfdc/DFDC/native/yhffcuhhjy"
    assert record.is_fake
    assert record.identities == ("wdpsifpppf",)
    assert record.path.stat().st_size > 10**6


@pytest.fixture
def preview(tmp_path: Path) -> Path:
    root = tmp_path / "preview"
    dataset = {
        "original_videos/643049/643049_A_001.mp4": ("real", "train", "643049", None),
        "original_videos/1260311/1260311_C_001.mp4": ("real", "test", 1260311, None),
        "method_A/1260311/1260311_C/7_1260311_C_001.mp4": ("fake", "test", "1260311", "7"),
        "method_B/1260311/1260311_C/7_1260311_C_001.mp4": ("fake", "train", "1260311", "7"),
    }
    touch(root, *dataset)
    names = ("label", "set", "target_id", "swapped_id")
    content = {file: dict(zip(names, values, strict=True)) for file, values in dataset.items()}
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def test_preview_of_dfdc(preview: Path) -> None:
    corpus = open_corpus("dfdc_preview", preview)
    fake = "1260311__1260311_C__7_1260311_C_001"
    assert labels(corpus.index()) == {
        "original/643049__643049_A_001": False,
        "original/1260311__1260311_C_001": False,
        f"method_A/{fake}": True,
        f"method_B/{fake}": True,
    }
    assert labels(corpus.test_videos()) == {
        "original/1260311__1260311_C_001": False,
        f"method_A/{fake}": True,
    }
    assert people(corpus)[fake] == ("1260311", "7")
    assert people(corpus)["1260311__1260311_C_001"] == ("1260311",)
    assert originals(corpus) == {fake: None}
    with pytest.raises(CorpusError, match="name the corpus dfdc_preview"):
        open_corpus("dfdc", preview)

    text = (preview / "dataset.json").read_text()
    (preview / "dataset.json").write_text(text.replace('"fake"', '"real"'))
    with pytest.raises(CorpusError, match="has the label real, but real videos are in original"):
        corpus.index()
    (preview / "dataset.json").write_text(text.replace('"set": "test"', '"set": "later"'))
    with pytest.raises(CorpusError, match="lacks its set"):
        corpus.test_videos()


# In the folder of FaceForensics++


def test_faceshifter_and_faceforensics_are_tested_on_the_official_list(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    people = [f"{number:03}" for number in range(8)]
    pairs = [(a, b) for a, b in zip(people[::2], people[1::2], strict=True)]
    pairs += [(b, a) for a, b in pairs]
    touch(tmp_path, *(f"original_sequences/youtube/c23/videos/{a}.mp4" for a in people))
    for method in ("FaceShifter", "Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures"):
        videos = f"manipulated_sequences/{method}/c23/videos"
        touch(tmp_path, *(f"{videos}/{a}_{b}.mp4" for a, b in pairs))
    touch(tmp_path, "original_sequences/actors/c23/videos/01__kitchen_pan.mp4")
    corpus = open_corpus("faceshifter", tmp_path)
    assert len(corpus.index()) == 16
    with pytest.raises(SplitError, match="official lists"):
        corpus.test_videos()
    write_splits(tmp_path / "splits")
    assert labels(corpus.test_videos()) == {
        "original/006": False,
        "original/007": False,
        "FaceShifter/006_007": True,
        "FaceShifter/007_006": True,
    }
    assert {record.key.split("/")[0] for record in corpus.index()} == {"faceshifter"}
    assert originals(corpus)["006_007"] == "006"
    touch(tmp_path, "original_sequences/youtube/c23/videos/000.csv")  # boxes
    corpus.index()
    assert not caplog.records
    touch(tmp_path, "original_sequences/youtube/c23/videos/000.txt")
    assert len(corpus.index()) == 16
    assert "left out: 000.txt" in caplog.text

    four = open_corpus("faceforensics", tmp_path)
    assert len(four.index()) == 8 + 4 * 8
    assert sum(labels(four.test_videos()).values()) == 4 * 2
    assert len(four.test_videos()) == 2 + 4 * 2
    (tmp_path / "manipulated_sequences/FaceSwap/c23/videos/006_007.mp4").unlink()
    with pytest.raises(CorpusError, match=r"1 of 10 videos(?s:.)*FaceSwap: 1 of 2 \(006_007\)"):
        four.test_videos()
    assert len(open_corpus("faceforensics", tmp_path, on_missing="skip").test_videos()) == 9


def test_official_test_list_of_faceforensics(empty_official_tree: Path) -> None:
    videos = open_corpus("faceforensics", empty_official_tree).test_videos()
    assert len(videos) == 140 + 4 * 140
    assert sum(record.is_fake for record in videos) == 4 * 140


def test_deepfakedetection(tmp_path: Path) -> None:
    actors = "original_sequences/actors/c40/videos"
    fakes = "manipulated_sequences/DeepFakeDetection/c40/videos"
    touch(tmp_path, f"{actors}/01__kitchen_pan.mp4", f"{actors}/02__walk_down_hall_angry.mp4")
    touch(tmp_path, "original_sequences/youtube/c40/videos/000.mp4")
    corpus = open_corpus("deepfakedetection", tmp_path, "c40")
    with pytest.raises(CorpusError, match="-d DeepFakeDetection -c c40"):
        corpus.index()
    touch(tmp_path, f"{fakes}/01_02__kitchen_pan__03X7CELV.mp4")
    touch(tmp_path, f"{fakes}/02_01__walk_down_hall_angry__YVGY8LOK.mp4")
    everything = {
        "original/01__kitchen_pan": False,
        "original/02__walk_down_hall_angry": False,
        "DeepFakeDetection/01_02__kitchen_pan__03X7CELV": True,
        "DeepFakeDetection/02_01__walk_down_hall_angry__YVGY8LOK": True,
    }
    assert labels(corpus.index()) == labels(corpus.test_videos()) == everything
    assert people(corpus)["01_02__kitchen_pan__03X7CELV"] == ("01", "02")
    assert originals(corpus) == {
        "01_02__kitchen_pan__03X7CELV": "01__kitchen_pan",
        "02_01__walk_down_hall_angry__YVGY8LOK": "02__walk_down_hall_angry",
    }
    assert corpus.splits_folder is None
    masks = "manipulated_sequences/DeepFakeDetection/masks/videos"
    touch(tmp_path, f"{masks}/02_01__walk_down_hall_angry__YVGY8LOK.mp4")
    mask = corpus.mask_path(corpus.index()[-1])
    assert mask == tmp_path / masks / "02_01__walk_down_hall_angry__YVGY8LOK.mp4"
    touch(tmp_path, f"{fakes}/01_02__kitchen_pan.mp4")
    with pytest.raises(CorpusError, match="TARGET_SOURCE__SCENE__8CHARACTERS"):
        corpus.index()


# DeeperForensics


def test_deeperforensics(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    other, root = tmp_path / "FaceForensics++", tmp_path / "DeeperForensics-1.0"
    touch(other, *(f"original_sequences/youtube/c23/videos/00{i}.mp4" for i in range(4)))
    for variant in ("end_to_end", "end_to_end_level_5"):
        touch(root, *(f"manipulated_videos/{variant}/{n}.mp4" for n in ("000_M101", "001_W006")))
    touch(root, "lists/splits/test.txt", "source_videos/M101/x.mp4", "terms_of_use.pdf")
    (root / "lists" / "splits" / "test.txt").write_text("001_W006.mp4\n")
    corpus = open_corpus("deeperforensics", root)
    with pytest.raises(CorpusError, match=r"`ln -s FACEFORENSICS/original_sequences"):
        corpus.index()
    (root / "original_sequences").symlink_to(other / "original_sequences")

    assert labels(corpus.index()) == {
        **{f"original/00{i}": False for i in range(4)},
        "end_to_end/000_M101": True,
        "end_to_end/001_W006": True,
        "end_to_end_level_5/000_M101": True,
        "end_to_end_level_5/001_W006": True,
    }
    assert labels(corpus.test_videos()) == {
        "original/001": False,
        "end_to_end/001_W006": True,
        "end_to_end_level_5/001_W006": True,
    }
    assert people(corpus)["000_M101"] == ("000", "M101")
    assert originals(corpus) == {"000_M101": "000", "001_W006": "001"}
    assert all(record.path.is_relative_to(root) for record in corpus.index())
    assert not caplog.records

    touch(root, "manipulated_videos/mine/000_M101.mp4")
    assert len(corpus.index()) == 8
    assert "left out: mine" in caplog.text
    (root / "manipulated_videos/end_to_end_level_5/001_W006.mp4").unlink()
    with pytest.raises(CorpusError, match="end_to_end_level_5: all 1"):
        corpus.test_videos()
    (root / "lists" / "splits" / "test.txt").write_text("001.mp4\n")
    with pytest.raises(CorpusError, match=r"line 1: 001\.mp4 is not of the form 000_M101"):
        corpus.test_videos()
    touch(root, "manipulated_videos/end_to_end/000_001.mp4")
    with pytest.raises(CorpusError, match="is named TARGET_SOURCE"):
        corpus.index()


# UADFV and any folder


def test_uadfv(tmp_path: Path) -> None:
    touch(tmp_path, *(f"real/{i:04}.mp4" for i in range(49)))
    touch(tmp_path, *(f"fake/{i:04}_fake.mp4" for i in range(49)))
    corpus = open_corpus("uadfv", tmp_path)
    by_name = labels(corpus.test_videos())
    assert len(by_name) == 98
    assert by_name["original/0003"] is False
    assert by_name["UADFV/0003_fake"] is True
    assert people(corpus)["0003"] == people(corpus)["0003_fake"] == ("0003",)
    assert originals(corpus)["0003_fake"] == "0003"


def test_any_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "real/1.mp4", "real/my phone/a/1.MOV", "real/my phone/100%.avi")
    touch(tmp_path, "fake/1.mp4", "fake/X/1.mp4", "fake/Y/1.mp4", "fake/Y/deep/er/1.webm")
    corpus = open_corpus("folder", tmp_path)
    assert labels(corpus.index()) == {
        "original/1": False,
        "original/my phone__a__1": False,
        "original/my phone__100%": False,
        "fake/1": True,
        "X/1": True,
        "Y/1": True,
        "Y/deep__er__1": True,
    }
    assert corpus.test_videos() == corpus.index()
    identities = [record.identities for record in corpus.index()]
    assert len(set(identities)) == 7
    assert not any(" " in person for persons in identities for person in persons)
    assert set(originals(corpus).values()) == {None}
    assert not caplog.records

    touch(tmp_path, "real/readme.txt", "fakes/1.mp4")
    assert len(corpus.index()) == 7
    assert "readme.txt" in caplog.text
    assert "fakes" in caplog.text
    touch(tmp_path, "real/1.avi")
    with pytest.raises(CorpusError, match=r"1\.avi and .*1\.mp4 would both be the video folder/or"):
        corpus.index()


def test_a_folder_of_frames_and_its_traps(tmp_path: Path) -> None:
    touch(tmp_path, "real/a/0.png", "real/b/0.jpg", "fake/X/a/0.PNG", "fake/c/0.jpeg")
    corpus = open_corpus("folder", tmp_path)
    assert labels(corpus.index()) == {
        "original/a": False,
        "original/b": False,
        "X/a": True,
        "fake/c": True,
    }
    touch(tmp_path, "fake/c/0.mp4")
    with pytest.raises(CorpusError, match="unclear whether it stands for a video"):
        corpus.index()
    (tmp_path / "fake/c/0.mp4").unlink()
    touch(tmp_path, "fake/Y/0.mp4")
    with pytest.raises(CorpusError, match="have to be stored in the same form"):
        corpus.index()
    (tmp_path / "fake/Y/0.mp4").unlink()
    touch(tmp_path, f"fake/{ORIGINAL}/a/0.png")
    with pytest.raises(CorpusError, match="lies below fake, in a folder named original"):
        corpus.index()


# All of them


@pytest.mark.parametrize("name", CORPORA)
def test_a_wrong_folder_is_explained(name: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"nowhere: no such folder; .*name"):
        open_corpus(name, tmp_path / "nowhere")
    touch(tmp_path, "holiday/beach.mp4")
    with pytest.raises(CorpusError, match=r"not a .*should hold .* but holds holiday; "):
        open_corpus(name, tmp_path)


def test_unknown_names_and_compressions(celebdf: Path) -> None:
    with pytest.raises(CorpusError, match=r"named celeb; the known ones are .*celebdf, dfdc"):
        open_corpus("celeb", celebdf)
    with pytest.raises(CorpusError, match="published in one compression: c23"):
        open_corpus("celebdf", celebdf, "c23")
    assert open_corpus("celebdf", celebdf, "native").compression == "native"


def test_a_corpus_without_videos(tmp_path: Path) -> None:
    for folder in ("real", "fake"):
        (tmp_path / folder).mkdir()
    for name in ("uadfv", "folder"):
        with pytest.raises(CorpusError, match="not a single video"):
            open_corpus(name, tmp_path).index()


# Prepared


def words(root: Path, out: Path, *more: str) -> list[str]:
    options = ["--detector=center", "--size=24", "--codec=raw", "--workers=1"]
    return ["prepare", str(root), f"--out={out}", *options, *more]


def test_a_store_of_another_corpus(
    celebdf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, path in enumerate(sorted(celebdf.rglob("*.mp4"))):
        size = (48, 56) if path.name == "id1_id0_0000.mp4" else (36, 40)  # unlike its original
        write_video(path, frame_pattern(12, *size, seed=seed))
    out = tmp_path / "store"
    assert main(words(celebdf, out, "--corpus=celebdf")) == 0
    corpus, store = open_corpus("celebdf", celebdf), FaceStore(out)

    assert (store.name, store.compression, store.is_synthetic) == ("celebdf", "native", False)
    assert labels(store.index()) == labels(corpus.index())
    assert sorted(store.test_list() or []) == sorted(corpus.test_list() or [])
    assert labels(store.test_videos()) == labels(corpus.test_videos())
    assert [r.identities for r in store.index()] == [r.identities for r in corpus.index()]
    boxes_from = {header.key: header.boxes_from for header in headers(store)}
    taken = "celebdf/original/native/id0_0001"
    assert boxes_from["celebdf/Celeb-synthesis/native/id0_id1_0001"] == taken
    own = "celebdf/Celeb-synthesis/native/id1_id0_0000"
    assert boxes_from[own] == own
    assert not (out / "splits").exists()
    lines = (out / "test_list.txt").read_text().splitlines()
    assert lines == [
        "celebdf/Celeb-synthesis/native/id0_id1_0001",
        "celebdf/original/native/00170",
        "celebdf/original/native/id0_0001",
    ]

    capsys.readouterr()
    assert main(words(celebdf, out, "--corpus=celebdf", "--compression=c23")) == 2
    assert "published in one compression" in capsys.readouterr().err
    assert main(words(celebdf, tmp_path / "other")) == 2
    assert "or the corpus that it is" in capsys.readouterr().err


def test_what_prepare_left_out_is_missed_in_the_test(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root, out = tmp_path / "uadfv", tmp_path / "store"
    touch(root, "real/0000.mp4", "real/0001.mp4", "fake/0000_fake.mp4")
    for name in ("real/0000.mp4", "fake/0000_fake.mp4"):
        write_video(root / name, frame_pattern(12, 36, 40))
    assert main(words(root, out, "--corpus=uadfv")) == 1  # 0001 is an empty file
    with pytest.raises(CorpusError, match=r"1 of 3 videos(?s:.)*original: 1 of 2 \(0001\)"):
        FaceStore(out).test_videos()
    assert len(FaceStore(out, on_missing="skip").test_videos()) == 2
    assert "1 of 3 videos" in caplog.text


def test_prepare_goes_on_without_missing_videos_if_told_to(
    dfdc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in dfdc.rglob("*.mp4"):
        write_video(path, frame_pattern(6, 36, 40))
    (dfdc / "dfdc_train_part_0" / "b.mp4").unlink()
    out = tmp_path / "store"
    assert main(words(dfdc, out, "--corpus=dfdc")) == 2
    assert "1 of 6 videos" in capsys.readouterr().err
    assert main(words(dfdc, out, "--corpus=dfdc", "--on_missing=skip")) == 0
    assert "1 are missing in the corpus (DFDC: 1 of 3 (" in capsys.readouterr().out
    assert len(FaceStore(out).test_videos()) == 5
    (header,) = (each for each in headers(FaceStore(out)) if each.name == "dfdc_train_part_1__b")
    assert header.boxes_from == "dfdc/original/native/dfdc_train_part_1__a"


def test_a_store_of_faceforensics_is_tested_on_its_splits(
    tiny_corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "store"
    assert main(words(tiny_corpus, out)) == 0
    expected = labels(open_corpus("faceforensics", tiny_corpus).test_videos())
    assert len(expected) == 2 + 4 * 2
    assert labels(FaceStore(out).test_videos()) == expected
    assert not (out / "test_list.txt").exists()


def headers(store: FaceStore) -> list[CropHeader]:
    return [read_header(record.path) for record in store.index()]


def test_a_reader_of_ones_own_is_named_by_its_class_path(tmp_path: Path) -> None:
    touch(tmp_path, "real/0000.mp4", "fake/0000_fake.mp4")
    corpus = open_corpus("deepfake_mtl.data.corpora.uadfv.UADFV", tmp_path)
    assert labels(corpus.index()) == {"original/0000": False, "UADFV/0000_fake": True}
    with pytest.raises(CorpusError, match="no corpus is named uadvf; the known ones are"):
        open_corpus("uadvf", tmp_path)
    with pytest.raises(CorpusError, match=r"nowhere\.Mine: cannot be imported .* PYTHONPATH"):
        open_corpus("nowhere.Mine", tmp_path)
    with pytest.raises(CorpusError, match="Draw: is not a reader of a corpus"):
        open_corpus("deepfake_mtl.data.sampling.Draw", tmp_path)
