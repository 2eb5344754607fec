from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from deepfake_mtl.data.corpora import FaceForensics
from deepfake_mtl.data.protocol import (
    DATA_STATE,
    TEST_SETS,
    Fold,
    data_state,
    group_of,
    is_in_set,
    leave_out,
    parse_held_out,
    seen_manipulations,
    unseen_manipulations,
)
from deepfake_mtl.data.records import MANIPULATION_CLASSES, MANIPULATIONS, VideoRecord
from deepfake_mtl.data.splits import SplitName, Splits, read_splits
from deepfake_mtl.errors import ConfigurationError, CorpusError
from tests.conftest import METHODS, PAIRS, names_of, write_splits


@pytest.fixture
def splits(tmp_path: Path) -> Splits:
    write_splits(tmp_path)
    return read_splits(tmp_path)


@pytest.fixture
def records() -> list[VideoRecord]:
    return [
        VideoRecord("faceforensics", method, "c23", name, tuple(name.split("_")), Path(name))
        for pairs in PAIRS.values()
        for method in METHODS
        for name in names_of(pairs, method)
    ]


@pytest.mark.parametrize("held_out", MANIPULATIONS)
def test_a_fold_of_the_official_corpus(empty_official_tree: Path, held_out: str) -> None:
    corpus = FaceForensics(empty_official_tree)
    fold = leave_out(corpus.index(), read_splits(corpus.splits_folder), held_out)

    def count(split: tuple[VideoRecord, ...], fake: bool) -> int:
        return sum(record.is_fake == fake for record in split)

    assert (count(fold.train, False), count(fold.train, True)) == (720, 2160)
    assert (count(fold.val, False), count(fold.val, True)) == (140, 420)
    assert (count(fold.test, False), count(fold.test, True)) == (140, 560)
    assert sum(record.method == held_out for record in fold.test) == 140
    assert not any(record.method == held_out for record in (*fold.train, *fold.val))
    identities = [
        {identity for record in split for identity in record.identities}
        for split in (fold.train, fold.val, fold.test)
    ]
    assert not any(a & b for a, b in combinations(identities, 2))


def test_several_or_none_held_out(records: list[VideoRecord], splits: Splits) -> None:
    two = leave_out(records, splits, ["NeuralTextures", "Deepfakes"])
    assert two.held_out == ("Deepfakes", "NeuralTextures")
    assert {record.method for record in two.train} == {"original", "Face2Face", "FaceSwap"}
    none = leave_out(records, splits, None)
    assert {record.method for record in none.train} == set(MANIPULATION_CLASSES)
    assert none == leave_out(records, splits, "none")


def test_labels_mean_the_same_in_every_fold() -> None:
    assert MANIPULATION_CLASSES == (
        "original",
        "Deepfakes",
        "Face2Face",
        "FaceSwap",
        "NeuralTextures",
    )


def test_missing_videos_are_named_or_skipped(records: list[VideoRecord], splits: Splits) -> None:
    fewer = [
        record
        for record in records
        if record.method != "FaceSwap" and (record.method, record.name) != ("original", "002")
    ]
    with pytest.raises(CorpusError) as error:
        leave_out(fewer, splits, "Deepfakes")
    message = str(error.value)
    # Deepfakes are asked for in the test split alone: 3 methods in 3 splits, and 2 fakes.
    assert message.startswith("9 of 34 videos")
    assert "FaceSwap: all 8" in message
    assert "original: 1 of 8 (002)" in message
    assert 'or go on without them with `on_missing="skip"`' in message

    fold = leave_out(fewer, splits, "Deepfakes", on_missing="skip")
    assert {method: len(names) for method, names in fold.missing.items()} == {
        "original": 1,
        "FaceSwap": 8,
    }
    assert fold.counts()["train"]["original"] == 3


def test_a_missing_held_out_video_of_the_training_split_is_not_missed(
    records: list[VideoRecord], splits: Splits
) -> None:
    needed = [
        record
        for record in records
        if not (record.method == "Deepfakes" and record.name in splits["train"].fakes)
    ]
    assert not leave_out(needed, splits, "Deepfakes").missing


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize(("kind", "fake"), [("original", False), ("manipulated", True)])
def test_a_split_of_one_kind_alone_is_an_error(
    records: list[VideoRecord], splits: Splits, split: SplitName, kind: str, fake: bool
) -> None:
    gone = splits[split].fakes if fake else splits[split].originals
    fewer = [record for record in records if record.name not in gone]
    with pytest.raises(
        CorpusError,
        match=rf"the {split} split is left without any {kind} video "
        r"\(manipulations in use: Face2Face, FaceSwap, NeuralTextures\)",
    ):
        leave_out(fewer, splits, "Deepfakes", on_missing="skip")


def test_a_test_split_may_lack_a_kind(records: list[VideoRecord], splits: Splits) -> None:
    fewer = [record for record in records if record.name not in splits["test"].fakes]
    fold = leave_out(fewer, splits, "Deepfakes", on_missing="skip")
    fakes = dict.fromkeys(MANIPULATIONS, 2)
    assert fold.counts() == {
        "train": {"original": 4, **dict.fromkeys(MANIPULATIONS, 4), "Deepfakes": 0},
        "val": {"original": 2, **fakes, "Deepfakes": 0},
        "test": {"original": 2, **dict.fromkeys(MANIPULATIONS, 0)},
    }
    assert fold.missing == dict.fromkeys(MANIPULATIONS, ("006_007", "007_006"))
    assert fold.seen == ("Face2Face", "FaceSwap", "NeuralTextures")
    assert [record.name for record in fold.test] == ["006", "007"]


def test_the_state_of_the_data_is_known_by_its_name_then_by_its_parts() -> None:
    state = {"held_out": ["Deepfakes"], "split_digest": "ab", "seed": 0}
    other = {**state, "seed": 1, "more": 2}
    assert DATA_STATE == "deepfake_mtl_data"
    assert data_state({"Mine": other, DATA_STATE: state}) is state
    assert data_state({"epoch": 3, "Mine": other}) is other
    assert data_state({"Mine": state}) is state
    for part in state:
        lacking = {name: value for name, value in state.items() if name != part}
        assert data_state({"Mine": lacking, DATA_STATE: None}) is None


def test_a_fold_is_said_in_words(records: list[VideoRecord], splits: Splits) -> None:
    gone = {("original", "002"), ("FaceSwap", "000_001"), ("FaceSwap", "001_000")}
    fewer = [record for record in records if (record.method, record.name) not in gone]
    fold = leave_out(fewer, splits, ["Deepfakes", "NeuralTextures"], on_missing="skip")
    assert fold.describe().splitlines() == [
        "Held out: Deepfakes, NeuralTextures. Seen: Face2Face, FaceSwap.",
        "  train  3 original, 4 Face2Face, 2 FaceSwap",
        "  val    2 original, 2 Face2Face, 2 FaceSwap",
        "  test   2 original, 2 Deepfakes, 2 Face2Face, 2 FaceSwap, 2 NeuralTextures",
        "  missing and skipped: 1 original, 2 FaceSwap",
    ]
    fewer = [record for record in records if record.name not in splits["test"].fakes]
    untested = replace(leave_out(fewer, splits, None, on_missing="skip"), missing={})
    lines = untested.describe().splitlines()
    assert lines[0].startswith("Held out: nothing. Seen: Deepfakes, Face2Face, FaceSwap, Neural")
    assert lines[3:] == ["  test   2 original, no manipulated"]


def test_a_fold_misses_nothing_unless_told() -> None:
    assert Fold(held_out=(), train=(), val=(), test=()).missing == {}


def test_wrong_names_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"DeepFakes is not one of Deepfakes"):
        parse_held_out("DeepFakes")
    with pytest.raises(ConfigurationError, match="all manipulations are held out"):
        parse_held_out(list(MANIPULATIONS))


@pytest.mark.parametrize("held_out", [(), ("FaceSwap",), ("Deepfakes", "NeuralTextures")])
def test_every_method_is_original_or_seen_or_held_out(held_out: tuple[str, ...]) -> None:
    others = ["FaceShifter", "DFDC", "aged"]
    groups = {name: group_of(name, held_out) for name in (*MANIPULATION_CLASSES, *others)}
    assert groups.pop("original") == "original"
    unseen = {name for name, group in groups.items() if group == "held_out"}
    assert unseen == {*held_out, *others}
    assert {name for name, group in groups.items() if group == "seen"} == set(
        seen_manipulations(held_out)
    )
    assert seen_manipulations(held_out) == tuple(
        name for name in MANIPULATIONS if name not in held_out
    )
    assert unseen_manipulations(held_out, groups) == (*held_out, "DFDC", "FaceShifter", "aged")


def test_both_sets_of_a_test_hold_the_originals_and_each_fake_is_in_one() -> None:
    assert TEST_SETS == ("held_out", "seen")
    for method in (*MANIPULATIONS, "FaceShifter"):
        in_sets = [is_in_set(method, ("FaceSwap",), of) for of in TEST_SETS]
        assert in_sets == (
            [True, False] if method in ("FaceSwap", "FaceShifter") else [False, True]
        )
    assert all(is_in_set("original", ("FaceSwap",), of) for of in TEST_SETS)


def test_a_fold_and_a_test_agree_on_what_is_seen(
    records: list[VideoRecord], splits: Splits
) -> None:
    for held_out in MANIPULATIONS:
        fold = leave_out(records, splits, held_out)
        trained = {record.method for record in (*fold.train, *fold.val)} - {"original"}
        tested = {record.method for record in fold.test}
        assert trained == {name for name in tested if group_of(name, fold.held_out) == "seen"}
        assert fold.seen == seen_manipulations(fold.held_out)


def test_a_fold_says_who_is_where() -> None:
    def videos(**counts: int) -> tuple[VideoRecord, ...]:
        return tuple(
            VideoRecord("some", method, "c23", str(number), (), Path())
            for method, count in counts.items()
            for number in range(count)
        )

    fold = Fold(
        ("FaceSwap", "Deepfakes"),
        train=videos(original=3, NeuralTextures=2, Face2Face=1),
        val=videos(original=1),
        test=videos(FaceSwap=4),
        missing={"original": ("1", "2"), "FaceSwap": ("3",)},
    )
    assert fold.describe().splitlines() == [
        "Held out: FaceSwap, Deepfakes. Seen: Face2Face, NeuralTextures.",
        "  train  3 original, 1 Face2Face, 2 NeuralTextures",
        "  val    1 original, no manipulated",
        "  test   0 original, 4 FaceSwap",
        "  missing and skipped: 2 original, 1 FaceSwap",
    ]
    nothing = Fold((), train=(), val=(), test=())
    assert nothing.describe().splitlines() == [
        "Held out: nothing. Seen: Deepfakes, Face2Face, FaceSwap, NeuralTextures.",
        *(f"  {split:5}  0 original, no manipulated" for split in ("train", "val", "test")),
    ]
