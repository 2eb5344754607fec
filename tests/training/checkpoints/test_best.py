"""``best.ckpt`` is the best of its folder, however many are kept and wherever the folder is.

The truth is the list of scores that a training is made to have.
"""

import random
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from deepfake_mtl.cli import main
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.training.checkpoints.best import BestCheckpoint
from deepfake_mtl.training.checkpoints.last import LastCheckpoint
from tests.test_cli import fit_words
from tests.worlds import trainer


class Scored(pl.LightningModule):
    """Its score in validation, the n-th of a list after n steps, is its only weight."""

    def __init__(self, scores: list[float]) -> None:
        super().__init__()
        self.scores = scores
        self.score = nn.Parameter(torch.zeros(()))

    def training_step(self, batch: Tensor, _: int) -> Tensor:
        return 0 * self.score * batch.sum()

    def on_train_batch_end(self, *_: Any) -> None:
        self.score.data.fill_(self.scores[self.trainer.global_step - 1])

    def validation_step(self, _: Tensor, __: int) -> None:
        self.log("val/auc", self.score.detach().clone())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


def fit(run: Path, scores: list[float], resume: Path | None = None, **options: Any) -> None:
    """Train for an epoch of one step a score."""
    every = options.pop("every", None)
    best = BestCheckpoint(str(run / "checkpoints"), **options)
    loader = DataLoader(torch.zeros(1, 1))
    training = trainer(
        run,
        max_epochs=len(scores),
        enable_checkpointing=True,
        callbacks=[best, LastCheckpoint(every)],
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="The dirpath has changed")
        training.fit(Scored(scores), loader, loader, ckpt_path=resume)


def scores_of(run: Path) -> dict[str, float]:
    """Return the weight of each checkpoint, which is its score."""
    return {
        path.name: float(torch.load(path, weights_only=True)["state_dict"]["score"])
        for path in (run / "checkpoints").glob("*.ckpt")
    }


def rising(seed: int, count: int = 7) -> list[float]:
    return [float(torch.tensor(value)) for value in random.Random(seed).sample(range(99), count)]


@pytest.mark.parametrize(
    ("seed", "keep", "mode"),
    [(0, 0, "max"), (1, 1, "max"), (2, 2, "min"), (3, 3, "max"), (4, 3, "max"), (5, -1, "max")],
)
def test_the_k_best_are_kept(seed: int, keep: int, mode: str, tmp_path: Path) -> None:
    scores = rising(seed)
    fit(tmp_path, scores, save_top_k=keep, mode=mode)
    there = scores_of(tmp_path)
    assert there.pop("last.ckpt") == scores[-1]
    assert there.pop("previous.ckpt") == scores[-2]
    ranked = sorted(scores, reverse=mode == "max")
    if keep == 0:
        assert there == {}
        return
    assert there.pop("best.ckpt") == ranked[0]
    expected = ranked if keep == -1 else ranked[:keep] if keep > 1 else []
    assert there == {
        f"epoch={epoch}-step={epoch + 1}.ckpt": score
        for epoch, score in enumerate(scores)
        if score in expected
    }


@pytest.mark.parametrize(
    ("seed", "keep", "linked"), [(0, 1, True), (1, 2, True), (2, 2, False), (3, -1, True)]
)
def test_a_moved_run_knows_its_best(
    seed: int, keep: int, linked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not linked:
        monkeypatch.setattr("os.link", lambda *_: (_ for _ in ()).throw(OSError("no links")))
    scores = rising(seed)
    fit(tmp_path / "run", scores[:4], save_top_k=keep)
    for number, end in enumerate((5, 6, 7)):
        place = tmp_path / f"copy {number}"
        shutil.copytree(tmp_path / "run", place)
        shutil.rmtree(tmp_path / "run")
        fit(place, scores[:end], place / "checkpoints" / "last.ckpt", save_top_k=keep)
        there = scores_of(place)
        assert there["best.ckpt"] == max(scores[:end])
        kept = {score for name, score in there.items() if name.startswith("epoch")}
        best = sorted(scores[:end], reverse=True)
        assert kept == set({1: [], -1: best}.get(keep, best[:keep]))
        place.rename(tmp_path / "run")


@pytest.mark.parametrize("keep", [1, 3])
def test_no_checkpoint_leads_to_a_worse_best(keep: int, tmp_path: Path) -> None:
    """A training goes on from before its best, and is less lucky."""
    fit(tmp_path, [5, 3, 9, 4], save_top_k=keep, every=1)
    kept = tmp_path / "early.ckpt"
    fit(tmp_path / "early", [5, 3], save_top_k=keep)
    shutil.copy(tmp_path / "early" / "checkpoints" / "last.ckpt", kept)
    fit(tmp_path, [5, 3, 6, 8], kept, save_top_k=keep)
    assert scores_of(tmp_path)["best.ckpt"] == 9
    fit(tmp_path, [5, 3, 6, 8, 10], tmp_path / "checkpoints" / "last.ckpt", save_top_k=keep)
    assert scores_of(tmp_path)["best.ckpt"] == 10


@pytest.mark.parametrize("keep", [1, 2])
@pytest.mark.parametrize("damaged", [True, False])
def test_where_the_best_is_lost_it_begins_anew(damaged: bool, keep: int, tmp_path: Path) -> None:
    fit(tmp_path / "run", [5, 9], save_top_k=keep)
    for path in (tmp_path / "run" / "checkpoints").glob("*.ckpt"):
        if path.name != "last.ckpt":
            path.write_bytes(b"torn") if damaged else path.unlink()
    fit(tmp_path / "run", [5, 9, 6], tmp_path / "run/checkpoints/last.ckpt", save_top_k=keep)
    assert scores_of_sound(tmp_path / "run")["best.ckpt"] == 6


def scores_of_sound(run: Path) -> dict[str, float]:
    for path in (run / "checkpoints").glob("*.ckpt"):
        if path.stat().st_size < 10:
            path.unlink()
    return scores_of(run)


def test_a_run_that_begins_elsewhere_has_a_best_of_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fit(tmp_path / "run", [5, 9])
    with caplog.at_level("INFO"):
        fit(tmp_path / "new", [5, 9, 6, 7], tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert scores_of(tmp_path / "new")["best.ckpt"] == 7
    assert scores_of(tmp_path / "run")["best.ckpt"] == 9
    assert "begin anew there" in caplog.text


def test_names_of_ones_own(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="filename is 'mine' and save_top_k 3"):
        BestCheckpoint(filename="mine", save_top_k=3)
    with pytest.raises(ConfigurationError, match="save_top_k is -2"):
        BestCheckpoint(save_top_k=-2)
    # That do not tell them apart: another is found.
    fit(tmp_path, [5.0, 9.25, 9.375, 3.0], filename="run {val/auc:.0f}", save_top_k=2)
    there = scores_of(tmp_path)
    kept = {name: score for name, score in there.items() if name.startswith("run 9")}
    assert sorted(kept.values()) == [9.25, 9.375]
    assert there["best.ckpt"] == 9.375


def test_by_the_command_line(tiny_corpus: Path, tmp_path: Path) -> None:
    words = [
        "--model.encoder=tests.worlds.TinyEncoder",
        "--checkpoint.save_top_k=3",
        "--trainer.max_epochs=5",
        "--model.learning_rate=0.05",
    ]
    assert main(fit_words(tiny_corpus, tmp_path / "run", *words)) == 0
    folder = tmp_path / "run" / "checkpoints"
    kept = list(folder.glob("epoch=*-step=*.ckpt"))
    assert len(kept) == 3
    state = torch.load(folder / "last.ckpt", weights_only=True)["callbacks"]
    (key,) = [key for key in state if key.startswith("ModelCheckpoint")]
    assert set(state[key]["best_k_models"]) == {str(path) for path in kept}
    best = max(
        state[key]["best_k_models"], key=lambda path: float(state[key]["best_k_models"][path])
    )
    assert Path(best).read_bytes() == (folder / "best.ckpt").read_bytes()
