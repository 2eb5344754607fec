"""What to do next is said in the words of the command that is running, or in Python's."""

import json
from pathlib import Path

import pytest

from deepfake_mtl.cli import main
from deepfake_mtl.data.corpora import FaceForensics, open_corpus
from deepfake_mtl.errors import CorpusError
from tests.conftest import video_path

FIT = ["fit", "--config=configs/demo.yaml", "--data.held_out=FaceSwap"]


@pytest.fixture
def c40(tmp_path: Path) -> Path:
    path = video_path(tmp_path, "original", "000", "c40")
    path.parent.mkdir(parents=True)
    path.touch()
    return tmp_path


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ([*FIT, "--data.root={}"], "choose with --data.compression"),
        (["prepare", "{}", "--out={}/store", "--detector=center"], "choose with --compression"),
    ],
)
def test_a_parameter_is_named_as_the_command_spells_it(
    c40: Path, words: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word.format(c40) for word in words]) == 2
    assert f"it has c40: {hint}\n" in capsys.readouterr().err
    with pytest.raises(CorpusError, match="it has c40: choose with `compression`"):
        FaceForensics(c40).index()


def test_a_value_is_named_as_the_command_spells_it(
    tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metadata = {"a.mp4": {"label": "REAL", "split": "train"}}
    (tmp_path / "metadata.json").write_text(json.dumps(metadata))
    out = tmp_path / "store"
    words = ["prepare", str(tmp_path), f"--out={out}", "--corpus=dfdc", "--detector=center"]
    assert main(words) == 2
    assert "go on without them with --on_missing skip\n" in capsys.readouterr().err
    with pytest.raises(CorpusError, match='without them with `on_missing="skip"`'):
        open_corpus("dfdc", tmp_path).index()

    assert main([*FIT, f"--data.root={tiny_corpus}", f"--data.splits={tmp_path / 'no'}"]) == 2
    assert "a random split by identity with --data.splits random\n" in capsys.readouterr().err
