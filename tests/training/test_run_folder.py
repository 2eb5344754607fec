"""Where tests write to: no two different ones in one place."""

import json
from pathlib import Path
from typing import Any

import pytest

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.training.run_folder import check_labels, is_tested, results_folder, set_aside


def about(**changes: Any) -> dict[str, Any]:
    of_corpus = {"root": "/data/a", "compression": "c23"}
    data = {"clip_length": 32, "batch_size": 16}
    corpus = {
        "name": "faceforensics",
        "synthetic": False,
        **{name: changes.get(name, value) for name, value in of_corpus.items()},
    }
    return {
        "corpus": corpus,
        "checkpoint": changes.get("checkpoint", "/runs/a/best.ckpt"),
        "config": {"data": {name: changes.get(name, value) for name, value in data.items()}},
    }


@pytest.mark.parametrize(
    ("test_on", "name"),
    [
        ("/data/faces/celebdf", "celebdf"),
        ("celebdf=/data/Celeb-DF-v2", "celebdf-Celeb-DF-v2"),
        ("folder=/data/a", "folder-a"),
        ("folder=/data/b/", "folder-b"),
        ("uadfv=/data/UADFV", "UADFV"),
    ],
)
def test_a_folder_is_named_by_corpus_and_root(test_on: str, name: str) -> None:
    assert results_folder(Path("run"), test_on, None) == Path("run/tests") / name
    degraded = results_folder(Path("run"), test_on, "jpeg:50")
    assert degraded == Path("run/tests") / name / "robustness" / "jpeg-50"


def test_corpora_of_one_name_are_refused() -> None:
    check_labels(["folder=/data/a", "folder=/data/b"])
    with pytest.raises(ConfigurationError, match="the same folder, folder-a"):
        check_labels(["folder=/data/a", "folder=/more/a"])


@pytest.mark.parametrize(
    ("changes", "is_another"),
    [
        ({}, False),
        ({"batch_size": 3}, False),
        ({"root": "/data/../data/a"}, False),
        ({"root": "/data/b"}, True),
        ({"compression": "c40"}, True),
        ({"checkpoint": "/runs/a/last.ckpt"}, True),
        ({"clip_length": 16}, True),
    ],
)
def test_what_another_test_found_is_kept(
    tmp_path: Path, changes: dict[str, Any], is_another: bool
) -> None:
    for number in (1, 2):
        content = json.dumps(about())
        (tmp_path / "results.json").write_text(content)
        (tmp_path / "predictions.csv").write_text("x")
        (tmp_path / "config.yaml").write_text("of the training")
        target = set_aside(tmp_path, about(**changes))
        assert target == (tmp_path / "earlier" / str(number) if is_another else None)
        assert (tmp_path / "results.json").exists() != is_another
        assert (tmp_path / "config.yaml").exists()
        if target is not None:
            assert (target / "results.json").read_text() == content
            assert (target / "predictions.csv").exists()
            assert not (tmp_path / "predictions.csv").exists()


def test_a_test_is_done_where_its_results_can_be_read(tmp_path: Path) -> None:
    assert not is_tested(tmp_path, None)
    assert set_aside(tmp_path, about()) is None
    (tmp_path / "results.json").write_text("{")
    assert not is_tested(tmp_path, None)
    (tmp_path / "results.json").write_text(json.dumps(about()))
    assert is_tested(tmp_path, None)
