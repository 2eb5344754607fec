"""What CONTRIBUTING.md shows of extending the library works from a folder outside of it."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from torch import Tensor

from deepfake_mtl import VideoDetector
from deepfake_mtl.cli import main
from deepfake_mtl.data.store.index import FaceStore
from deepfake_mtl.tasks import CrossEntropyTask, Features, TaskStep
from tests.test_cli import CONFIG
from tests.worlds import TINY

GUIDE = Path(__file__).parents[1] / ".github" / "CONTRIBUTING.md"
Learnt = tuple[str, list[int]]

OPTIONS = [option for option in TINY if "encoder" not in option and "epochs" not in option]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the guide, in a folder of their own."""
    folder = tmp_path_factory.mktemp("project")
    blocks = re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert len(blocks) == 7
    for name, content in blocks:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    return folder


@pytest.fixture(scope="module")
def learnt() -> list[Learnt]:
    """What the tasks of `run` were given to learn, batch by batch."""
    return []


@pytest.fixture(scope="module")
def run(project: Path, tiny_corpus: Path, learnt: list[Learnt]) -> Path:
    """The run folder of a training with the parts of the guide."""
    learn = CrossEntropyTask.learn

    def note(task: CrossEntropyTask, features: Features, labels: Tensor) -> TaskStep:
        learnt.append((task.name, labels.tolist()))
        return learn(task, features, labels)

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(project))
        patch.setattr(CrossEntropyTask, "learn", note)
        words = ["fit", CONFIG, f"--config={project / 'my_parts/mine.yaml'}", *OPTIONS]
        words += [f"--data.root={tiny_corpus}", f"--trainer.default_root_dir={project / 'run'}"]
        assert main([*words, "--trainer.max_epochs=1", "--trainer.log_every_n_steps=1"]) == 0
    return project / "run"


def test_parts_of_ones_own_are_trained_and_tested(
    project: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(project))
    model = yaml.safe_load((run / "config.yaml").read_text())["model"]
    assert model["balance"]["class_path"] == "my_parts.balance.HalfOfTheLast"
    checkpoint = run / "checkpoints" / "last.ckpt"
    assert main(["test", f"--ckpt_path={checkpoint}"]) == 0
    with (run / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10
    for row in rows:
        kinds = [float(row[f"kind/{name}"]) for name in ("original", "swap", "reenactment")]
        assert sum(kinds) == pytest.approx(1)
    kind = json.loads((run / "results.json").read_text())["figures"]["readouts"]["kind"]
    assert kind["held_out"]["auc"] is not None
    assert (kind["class_accuracy"], kind["confusion"]) == (None, None)


def test_a_task_learns_the_labels_that_it_says_itself(
    run: Path,
    learnt: list[Learnt],
) -> None:
    assert (run / "config.yaml").is_file()
    assert [name for name, _ in learnt] == ["binary", "kind"] * (len(learnt) // 2)
    pairs = list(zip(learnt[::2], learnt[1::2], strict=True))
    for (_, fake), (_, kind) in pairs:
        assert [label > 0 for label in kind] == [label > 0 for label in fake]
    assert {label for _, (_, kind) in pairs for label in kind} == {0, 1, 2}


def test_a_corpus_of_ones_own_is_tested_on(
    project: Path, run: Path, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(project))
    videos = sorted(tiny_corpus.rglob("*.mp4"))
    (tmp_path / "phones").mkdir()
    for name, video in zip(("a_real", "b_real", "a_fake"), videos, strict=False):
        shutil.copy(video, tmp_path / "phones" / f"{name}.mp4")
    words = ["test", f"--ckpt_path={run / 'checkpoints' / 'last.ckpt'}"]
    assert main([*words, f"--data.test_on=my_parts.corpus.Phones={tmp_path / 'phones'}"]) == 0
    (results,) = run.glob("tests/*phones*/results.json")
    counts = json.loads(results.read_text())["counts"]
    assert counts["test"] == {"real": 2, "fake": 1}
    store = tmp_path / "store"
    words = [
        "prepare",
        str(tmp_path / "phones"),
        "--corpus=my_parts.corpus.Phones",
        f"--out={store}",
    ]
    assert main([*words, "--detector=center", "--size=32", "--workers=1"]) == 0
    assert [record.key for record in FaceStore(store).index()] == [
        "phones/original/native/a_real",
        "phones/original/native/b_real",
        "phones/Phones/native/a_fake",
    ]


def test_parts_of_ones_own_are_exported(
    project: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(project))
    words = ["export", f"--ckpt_path={run / 'checkpoints' / 'last.ckpt'}"]
    assert main([*words, f"--out={tmp_path / 'detector'}", "--trust=my_parts"]) == 0
    assert VideoDetector.from_checkpoint(tmp_path / "detector", trust="my_parts")
