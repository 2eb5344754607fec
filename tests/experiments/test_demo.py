"""The demo's commands on a world and a training so small that they only show that they work."""

import json
from pathlib import Path

import pytest

from deepfake_mtl.cli import main
from deepfake_mtl.experiments import demo
from deepfake_mtl.synthetic import SyntheticConfig
from deepfake_mtl.training import command


@pytest.mark.slow
def test_the_demo_goes_all_the_way_and_goes_on_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "_WORLD", SyntheticConfig(identities=6, size=32, seconds=0.8))
    smaller = ["--trainer.max_epochs=1", "--data.size=32", "--data.num_workers=0"]
    run_whole = command.run_trainer_command
    monkeypatch.setattr(command, "run_trainer_command", lambda words: run_whole([*words, *smaller]))
    words = ["demo", "--out", str(tmp_path), "--held_out", "Deepfakes"]
    assert main(words) == 0
    run = tmp_path / "Deepfakes"
    results = json.loads((run / "results.json").read_text())
    assert results["corpus"]["synthetic"] is True
    assert results["held_out"] == ["Deepfakes"]
    assert results["figures"]["held_out"]["fake"] == 2
    assert results["figures"]["seen"]["fake"] == 6
    page = (run / "results.html").read_text()
    assert "Synthetic corpus" in page
    assert page.count("<img") > 0
    assert "Synthetic corpus" in capsys.readouterr().out

    trained = (run / "checkpoints" / "last.ckpt").read_bytes()
    (run / "results.html").unlink()
    assert main(words) == 0
    assert (run / "results.html").is_file()
    assert (run / "checkpoints" / "last.ckpt").read_bytes() == trained
