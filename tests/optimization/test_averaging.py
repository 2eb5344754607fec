"""Averaged weights (Lightning's callback): what is no weight is not averaged."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging, WeightAveraging
from sklearn import metrics as sklearn_metrics
from torch import Tensor

from deepfake_mtl.detector import Detector
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.tasks import BinaryContrast, ManipulationCrossEntropy, MoCoSettings
from deepfake_mtl.training.checkpoints.last import LastCheckpoint
from tests.worlds import TinyEncoder, loader, trainer

LABELS = [0, 1, 2, 0, 4, 3] * 2
DECAY = 0.8


def parts() -> dict[str, Any]:
    tasks = [BinaryContrast(hidden_features=8), ManipulationCrossEntropy(hidden_features=8)]
    moco = MoCoSettings(dim=5, queue_size=11, neighbours=3, momentum=0.9)
    return {"encoder": TinyEncoder(norm=True), "tasks": tasks, "moco": moco}


class Witness(pl.Callback):
    """Averages weights and statistics by itself, and looks at what is validated."""

    def __init__(self, *, exponential: bool) -> None:
        self.exponential = exponential
        self.average: dict[str, Tensor] = {}
        self.steps = 0
        self.queue: dict[str, Tensor] = {}
        self.votes: list[bool] = []

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        assert trainer.global_step == self.steps + 1
        decay = DECAY if self.exponential else self.steps / (self.steps + 1)
        self.steps += 1
        state = {name: value.clone() for name, value in module.state_dict().items()}
        if not self.average:
            self.average = state
        self.average = {
            name: decay * old + (1 - decay) * state[name]
            for name, old in self.average.items()
            if is_averaged(name)
        }
        self.queue = {name: value for name, value in state.items() if ".queue." in name}

    def on_validation_batch_start(
        self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any
    ) -> None:
        if not trainer.sanity_checking:
            state = module.state_dict()
            assert len(self.queue) == 3
            self.votes += [torch.equal(state[name], value) for name, value in self.queue.items()]


def is_averaged(name: str) -> bool:
    return ".queue." not in name and name != "threshold" and "num_batches" not in name


def averaging(*, exponential: bool) -> WeightAveraging:
    return EMAWeightAveraging(decay=DECAY) if exponential else WeightAveraging()


def fit(
    folder: Path, *, exponential: bool = True, **options: Any
) -> tuple[Detector, Witness, pl.Trainer]:
    pl.seed_everything(3, verbose=False)
    witness = Witness(exponential=exponential)
    run = trainer(
        folder,
        enable_checkpointing=True,
        callbacks=[averaging(exponential=exponential), witness, LastCheckpoint()],
        **{"max_epochs": 2, **options},
    )
    model = Detector(**parts(), learning_rate=0.05)
    run.fit(model, loader(LABELS, views=2), loader(LABELS))
    return model, witness, run


@pytest.mark.parametrize("exponential", [True, False])
@pytest.mark.parametrize("options", [{}, {"max_steps": 8, "max_epochs": -1}], ids=["", "steps"])
def test_only_weights_are_averaged_and_the_threshold_is_theirs(
    options: dict[str, Any], exponential: bool, tmp_path: Path
) -> None:
    model, witness, _ = fit(tmp_path, exponential=exponential, **options)
    assert witness.votes
    assert all(witness.votes)
    path = tmp_path / "checkpoints" / "last.ckpt"
    saved = torch.load(path, weights_only=True)
    for state in (saved["state_dict"], model.state_dict()):
        for name, value in witness.average.items():
            if "key_" not in name:  # of no use but in training
                torch.testing.assert_close(state[name], value, msg=name)
        for name, value in witness.queue.items():
            assert torch.equal(state[name], value), name
    trained = saved["current_model_state"]
    assert not torch.equal(
        trained["network.encoder.first.weight"], model.network.encoder.first.weight
    )
    # What a test makes of the file: its threshold is the best of its own scores in validation.
    again = Detector.load_from_checkpoint(path, **parts())
    threshold = float(again.threshold)
    assert threshold == float(model.threshold) == float(trained["threshold"])
    if options:
        return  # of the last validation, before the last steps
    trainer(tmp_path).test(again, loader(LABELS), verbose=False)
    table = again.test_table
    assert table is not None
    reached = [
        sklearn_metrics.balanced_accuracy_score(table.fake, table.scores >= cut)
        for cut in (threshold, *table.scores.tolist())
    ]
    assert reached[0] == max(reached)


def test_a_resumed_training_has_the_same_state(tmp_path: Path) -> None:
    whole, _, _ = fit(tmp_path / "whole", max_epochs=3)
    fit(tmp_path / "half", max_epochs=2)
    last = tmp_path / "half" / "checkpoints" / "last.ckpt"
    pl.seed_everything(3, verbose=False)
    callbacks = [averaging(exponential=True), LastCheckpoint()]
    run = trainer(tmp_path / "half", enable_checkpointing=True, callbacks=callbacks, max_epochs=3)
    model = Detector(**parts(), learning_rate=0.05, schedule="constant")
    run.fit(model, loader(LABELS, views=2), loader(LABELS), ckpt_path=last)
    for name, value in whole.state_dict().items():
        if ".queue.labels" in name or ".pointer" in name:
            assert torch.equal(model.state_dict()[name], value), name


def test_checkpoints_without_the_average_are_refused(tmp_path: Path) -> None:
    best = pl.callbacks.ModelCheckpoint(tmp_path, "best", save_weights_only=True)
    run = trainer(
        tmp_path, enable_checkpointing=True, callbacks=[averaging(exponential=True), best]
    )
    with pytest.raises(ConfigurationError, match="save_weights_only to false"):
        run.fit(Detector(**parts()), loader(LABELS, views=2), loader(LABELS))
