import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from deepfake_mtl.data.clips import EvaluationClips, probe_videos
from deepfake_mtl.data.corpora import FaceForensics
from deepfake_mtl.data.store.crop_files import read_crops, write_crops
from deepfake_mtl.data.store.crop_settings import describe_difference
from deepfake_mtl.data.store.folder import StoreInfo, create_store, crops_path, is_store
from deepfake_mtl.data.store.index import FaceStore, write_index
from deepfake_mtl.data.store.upkeep import remove_unfinished
from deepfake_mtl.data.transforms import EvaluationTransform
from deepfake_mtl.errors import CorpusError, DeepfakeMTLError, VideoError
from tests.data.crops import make_header, make_settings, write
from tests.data.videos import frame_pattern


@pytest.fixture
def store(tmp_path):
    """A store of three videos of 5 frames, complete but for splits."""
    info = StoreInfo("faceforensics", "c23", synthetic=True, settings=make_settings("raw"))
    root = tmp_path / "store"
    create_store(root, info)
    for method, name in (
        ("original", "001"),
        ("original", "000"),
        ("Face2Face", "000_001"),
        ("Deepfakes", "000_001"),
    ):
        write(
            crops_path(root, method, "c23", name),
            frame_pattern(5, 16, 16),
            "raw",
            method=method,
            name=name,
            identities=tuple(name.split("_")),
        )
    write_index(root)
    return root


def test_a_store_lists_what_the_corpus_lists(corpus, tmp_path):
    source = FaceForensics(corpus)
    root = tmp_path / "store"
    crop_settings = make_settings("raw")
    create_store(root, StoreInfo(source.name, "c23", synthetic=False, settings=crop_settings))
    assert is_store(root)
    assert not is_store(corpus)
    records = source.index()
    for record in records:
        path = crops_path(root, record.method, record.compression, record.name)
        write(
            path,
            frame_pattern(1, 16, 16),
            "raw",
            method=record.method,
            name=record.name,
            identities=record.identities,
        )
    write_index(root)
    store = FaceStore(root, "c23")
    assert store.settings == crop_settings
    assert (store.name, store.compression) == (source.name, source.compression)
    assert not store.is_synthetic
    assert store.splits_folder == root / "splits"
    stored = store.index()
    assert [dataclasses.replace(r, path=Path()) for r in stored] == [
        dataclasses.replace(r, path=Path()) for r in records
    ]
    assert all(r.path.is_file() for r in stored)


def test_datasets_read_a_store_as_they_read_videos(store):
    videos = probe_videos(FaceStore(store).index())
    assert [info.frames for info in videos.infos] == [5] * 4
    dataset = EvaluationClips(videos, EvaluationTransform(16), clip_length=5, clips_per_video=1)
    for number, record in enumerate(videos.records):
        clip = dataset[number]["clip"].permute(1, 2, 3, 0).numpy()
        assert np.array_equal(clip, read_crops(record.path, 0, 5))
        assert dataset[number]["is_fake"] == (record.method != "original")

    videos.records[3].path.write_bytes(b"")
    with pytest.raises(VideoError, match=r"000_001\.crops: is an empty file"):
        probe_videos(videos.records)
    assert len(probe_videos(videos.records, "skip").records) == 3


def test_an_index_is_made_of_the_headers(store, caplog):
    index, records = store / "index.jsonl", FaceStore(store).index()
    assert not caplog.text
    before = index.read_bytes()
    lines = [json.loads(line) for line in before.splitlines()]
    order = [(line["method"], line["name"]) for line in lines]
    assert order == sorted(order)
    assert [line["frames"] for line in lines] == [5] * 4
    assert "squares" not in lines[0]

    index.unlink()
    assert FaceStore(store).index() == records
    assert "index.jsonl is missing" in caplog.text
    assert not index.exists()  # reading writes nothing
    assert write_index(store).read_bytes() == before

    # What a later run added and did not finish.
    index.write_bytes(b"\n".join(before.splitlines()[:2]) + b"\n")
    assert FaceStore(store).index() == records
    assert "lacks 2 files" in caplog.text

    index.write_bytes(before)
    crops_path(store, "original", "c23", "001").unlink()
    with pytest.raises(CorpusError, match=r"001\.crops: is listed .* but not there, as 1 of 4"):
        FaceStore(store).index()
    index.write_bytes(before[:-20])
    with pytest.raises(CorpusError, match=r"index\.jsonl: cannot be understood"):
        FaceStore(store).index()


def test_what_does_not_belong_into_a_store_is_refused(store):
    odd = crops_path(store, "original", "c23", "002")
    other = dataclasses.replace(make_settings("raw"), margin=1.5)
    header = make_header(1, other, method="original", name="002", identities=("002",))
    write_crops(odd, header, frame_pattern(1, 16, 16), other)
    for read in (write_index, lambda root: FaceStore(root).index()):
        with pytest.raises(CorpusError, match=r"002\.crops: was made .* with settings"):
            read(store)
    shutil.copy(crops_path(store, "original", "c23", "001"), odd)
    with pytest.raises(CorpusError, match=r"002\.crops: is of .*/001, and was moved"):
        write_index(store)
    odd.write_bytes(b"")
    with pytest.raises(VideoError, match=r"002\.crops"):
        write_index(store)
    odd.unlink()
    originals = [record.name for record in FaceStore(store).index() if not record.is_fake]
    assert originals == ["000", "001"]


def test_all_damage_of_a_store_is_found_at_once(store):
    assert FaceStore(store).find_damage(2) == []
    spoilt = crops_path(store, "original", "c23", "000")
    with spoilt.open("r+b") as file:  # within a raw frame, which no reading would notice
        file.seek(500)
        file.write(bytes([file.read(1)[0] ^ 1]))
    assert len(read_crops(spoilt, 0, 5)) == 5
    renamed = crops_path(store, "Deepfakes", "c23", "001_000")
    crops_path(store, "Deepfakes", "c23", "000_001").rename(renamed)
    renamed_line, spoilt_line, lost_line = FaceStore(store).find_damage(2)
    assert spoilt_line.startswith(f"{spoilt}: frame 0 of 5 is damaged (its checksum is wrong)")
    assert renamed_line.startswith(f"{renamed}: is of faceforensics/Deepfakes/c23/000_001")
    assert "000_001.crops: is listed in index.jsonl but not there, as 1 of 4 files" in lost_line


def test_other_settings_are_noticed_and_said_in_words(store, tmp_path):
    info = StoreInfo("faceforensics", "c23", synthetic=True, settings=make_settings("raw"))
    before = (store / "store.json").read_bytes()
    create_store(store, info)
    wanted = make_settings("raw", size=32, masks=True, tracking=(("smoothing", 0.2),))
    assert describe_difference(make_settings("raw").flat(), make_settings("raw").flat()) == ""
    with pytest.raises(CorpusError) as caught:
        create_store(store, dataclasses.replace(info, compression="c40", settings=wanted))
    for words in (
        "compression is c23 there and c40 here",
        "size is 16 there and 32 here",
        "masks is False there and True here",
        "tracking.smoothing is unset there and 0.2 here",
    ):
        assert words in str(caught.value)
    assert (store / "store.json").read_bytes() == before
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").touch()
    with pytest.raises(CorpusError, match=r"is not a store, and holds a\.png"):
        create_store(tmp_path / "photos", info)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 2}, "version 2 of the format"),
        ({"format": "photos"}, "something else"),
        ({"settings": {}}, "cannot be understood"),
        ({"settings_digest": "0"}, "changed by hand"),
        ({"corpus": None}, "corpus is None"),
    ],
)
def test_a_store_that_cannot_be_used_says_why(store, change, words):
    path = store / "store.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CorpusError, match=words):
        FaceStore(store)
    path.write_text("{")
    with pytest.raises(CorpusError, match="cannot be understood"):
        FaceStore(store)


def test_a_folder_that_is_no_store_or_another_one(store, tmp_path):
    with pytest.raises(CorpusError, match="no store of face crops"):
        FaceStore(tmp_path)
    with pytest.raises(CorpusError, match=r'set `compression="c23"`'):
        FaceStore(store, "c40")
    shutil.rmtree(store / "crops")
    (store / "index.jsonl").unlink()
    with pytest.raises(DeepfakeMTLError, match="holds no crops of originals"):
        FaceStore(store).index()


@pytest.fixture
def folder_and_leftover(store):
    """Of a store, and a function from a process to the file that it has left half written."""
    folder = store / "crops" / "original" / "c23"

    def leftover(process: int) -> Path:
        path = folder / f".0a1b.{process}.part"
        path.write_bytes(b"half")
        return path

    return store, leftover


def test_leftovers_of_killed_runs_are_removed_and_those_of_running_ones_are_not(
    folder_and_leftover,
):
    store, leftover = folder_and_leftover
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    # A process of the same number as one that was killed, as in a container that starts again.
    removed = [leftover(gone.pid), leftover(os.getpid())]
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as running:
        kept = leftover(running.pid)
        assert len(FaceStore(store).index()) == 4
        assert remove_unfinished(store, patience=0.1) == 2
        running.communicate(b"\n")
    assert not any(path.exists() for path in removed)
    assert kept.exists()
    assert len(FaceStore(store).index()) == 4


def test_leftovers_of_processes_that_are_ending_are_removed(folder_and_leftover):
    store, leftover = folder_and_leftover
    command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(0.5)"]
    ending = subprocess.Popen(command, stdout=subprocess.PIPE)
    ending.stdout.readline()
    path = leftover(ending.pid)
    # Nobody waits for it: until then it stays in the list of processes.
    assert remove_unfinished(store) == 1
    assert not path.exists()
    ending.communicate()
