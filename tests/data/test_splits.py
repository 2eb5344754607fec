from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepfake_mtl.data.records import VideoRecord
from deepfake_mtl.data.splits import SPLIT_NAMES, fingerprint, random_splits, read_splits
from deepfake_mtl.errors import SplitError
from tests.conftest import PAIRS, shared_path, write_splits


def record(method: str, name: str) -> VideoRecord:
    return VideoRecord("faceforensics", method, "c23", name, tuple(name.split("_")), Path(name))


def test_the_official_lists() -> None:
    splits = read_splits(shared_path("ffpp_splits"))
    assert {split: len(splits[split].originals) for split in SPLIT_NAMES} == {
        "train": 720,
        "val": 140,
        "test": 140,
    }
    assert {"071_054", "054_071"} <= splits["train"].fakes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[[", "JSON"),
        ("{}", "not a list"),
        ("[]", "empty"),
        ('[["000", "001", "002"]]', "not a pair"),
        ('[["000", 1]]', "not a pair"),
        ('[["000", "000"]]', "not a pair"),
        ('[["008", "009"], ["009", "010"]]', "009 stands twice"),
        ('[["008", "009"], ["008", "009"]]', "008 stands twice"),
        ('[["004", "009"]]', r"004 stands here and in .*train.json"),
    ],
)
def test_contradicting_lists_are_refused(tmp_path: Path, content: str, message: str) -> None:
    write_splits(tmp_path, {**PAIRS, "train": [["004", "005"]], "test": [["006", "007"]]})
    (tmp_path / "val.json").write_text(content)
    with pytest.raises(SplitError, match=message) as error:
        read_splits(tmp_path)
    assert str(error.value).startswith(str(tmp_path / "val.json"))


def test_missing_lists_say_where_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match=r'ondyari/FaceForensics.*`splits="random"`'):
        read_splits(tmp_path / "splits")
    write_splits(tmp_path)
    (tmp_path / "test.json").unlink()
    with pytest.raises(SplitError, match=r"test\.json: cannot be read \(No such file"):
        read_splits(tmp_path)


def test_the_fingerprint_knows_people_not_their_order(tmp_path: Path) -> None:
    write_splits(tmp_path / "a")
    turned = {split: [pair[::-1] for pair in pairs[::-1]] for split, pairs in PAIRS.items()}
    write_splits(tmp_path / "b", turned)
    write_splits(tmp_path / "c", {**PAIRS, "val": PAIRS["test"], "test": PAIRS["val"]})
    a, b, c = (fingerprint(read_splits(tmp_path / name)) for name in "abc")
    assert a == b != c
    assert a == "7e1273ee2506bce0"  # checkpoints hold it


@given(
    links=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=8, max_size=60),
    seed=st.integers(0, 5),
)
def test_a_random_split_shares_nobody_and_loses_nothing(
    links: list[tuple[int, int]], seed: int
) -> None:
    people = {person for link in links for person in link}
    records = [record("original", f"{person:03}") for person in people]
    records += [record("Deepfakes", f"{a:03}_{b:03}") for a, b in set(links) if a != b]
    try:
        splits = random_splits(records, seed)
    except SplitError as error:
        assert "at least 3 groups" in str(error)  # noqa: PT017
        return
    parts = [splits[split].identities for split in SPLIT_NAMES]
    assert all(parts)
    assert sum(map(len, parts)) == len(frozenset.union(*parts)) == len(people)
    names = [
        name for split in SPLIT_NAMES for name in (*splits[split].originals, *splits[split].fakes)
    ]
    assert sorted(names) == sorted(video.name for video in records)
    assert random_splits(records[::-1], seed) == splits


def test_a_random_split_has_the_official_shares() -> None:
    records = [record("Deepfakes", f"{2 * n:03}_{2 * n + 1:03}") for n in range(100)]
    splits = random_splits(records, 3)
    assert {split: len(splits[split].identities) for split in SPLIT_NAMES} == {
        "train": 144,
        "val": 28,
        "test": 28,
    }
    assert random_splits(records, 4) != splits


def test_three_groups_are_a_split() -> None:
    records = [record("Deepfakes", f"{2 * n:03}_{2 * n + 1:03}") for n in range(3)]
    splits = random_splits(records, 0)
    assert {len(splits[split].fakes) for split in SPLIT_NAMES} == {1}


def test_a_random_split_needs_three_groups() -> None:
    ring = [record("Deepfakes", name) for name in ("000_001", "001_002", "002_000")]
    with pytest.raises(SplitError, match="there are 1"):
        random_splits(ring, 0)
