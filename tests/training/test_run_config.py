"""Records of a training say what was done, also where it went on with other options."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from deepfake_mtl.cli import main
from tests.test_cli import error_of
from tests.worlds import TINY


def words(root: Path, run: Path, *more: str) -> list[str]:
    return ["fit", f"--data.root={root}", f"--trainer.default_root_dir={run}", *TINY, *more]


def written(path: Path) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(path.read_text())
    return config


def kept(run: Path) -> dict[str, Any]:
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    config: dict[str, Any] = content["deepfake_mtl_config"]
    return config


def said(caplog: pytest.LogCaptureFixture) -> str:
    (line,) = [each for each in caplog.messages if each.startswith("Since the checkpoint")]
    return line


def test_what_changes_on_a_resume_is_said_and_recorded(
    tiny_corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run, config = tmp_path / "run", tmp_path / "run" / "config.yaml"
    tasks = "--model.tasks=[{class_path: BinaryCrossEntropy, init_args: {weight: %s}}]"
    assert main(words(tiny_corpus, run, tasks % 1.0)) == 0
    first = written(config)
    assert kept(run) == first
    assert first["trainer"]["max_epochs"] == 2
    assert "Since the checkpoint" not in caplog.text
    other = [tasks % 0.5, "--trainer.max_epochs=3", "--data.augmentation.flip=0.25"]
    with caplog.at_level("INFO"):
        assert main(words(tiny_corpus, run, *other, "--ckpt_path=last")) == 0
    line = said(caplog)
    assert "model.tasks.0.init_args.weight 0.5 (was 1.0)" in line
    assert "trainer.max_epochs 3 (was 2)" in line
    assert "data.augmentation.flip 0.25 (was 0.5)" in line
    assert line.count("(was") == 3
    second = written(config)
    assert (second["trainer"]["max_epochs"], second["data"]["augmentation"]["flip"]) == (3, 0.25)
    assert written(run / "config.until_step_8.yaml") == first
    assert kept(run) == second
    # A copy of the run knows as much without any other file.
    (tmp_path / "copy" / "checkpoints").mkdir(parents=True)
    copy = tmp_path / "copy" / "checkpoints" / "last.ckpt"
    copy.write_bytes((run / "checkpoints" / "last.ckpt").read_bytes())
    caplog.clear()
    more = [*other[:2], "--trainer.max_epochs=4", "--data.augmentation.flip=0.25"]
    with caplog.at_level("INFO"):
        assert main(words(tiny_corpus, tmp_path / "copy", *more, f"--ckpt_path={copy}")) == 0
    assert "trainer.max_epochs 4 (was 3)" in said(caplog)
    assert not list((tmp_path / "copy").glob("config.until*"))


def test_a_training_that_was_refused_leaves_the_record_of_before(
    tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = "--model.schedule={class_path: torch.optim.lr_scheduler.StepLR, init_args: "
    assert main(words(tiny_corpus, tmp_path, steps + "{step_size: 3}}")) == 0
    before = (tmp_path / "config.yaml").read_bytes()
    more = ["--ckpt_path=last", "--trainer.max_epochs=3"]
    for wrong in (steps + "{step_size: 4}}", "--checkpoint.monitor=val/nothing"):
        error_of(words(tiny_corpus, tmp_path, *more, wrong), capsys)
        assert (tmp_path / "config.yaml").read_bytes() == before
    assert not list(tmp_path.glob("config.until*"))
