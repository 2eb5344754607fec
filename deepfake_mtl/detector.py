"""The LightningModule: one encoder, several tasks."""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from deepfake_mtl.data.protocol import parse_held_out
from deepfake_mtl.data.records import MANIPULATION_CLASSES
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.metrics import (
    VideoScores,
    VideoTable,
    binary_report,
    calibrate_threshold,
)
from deepfake_mtl.models import S3D, Encoder
from deepfake_mtl.tasks import BinaryCrossEntropy, Task

_LOGGED_FIGURES = (
    "accuracy",
    "balanced_accuracy",
    "auc",
    "average_precision",
    "eer",
    "accuracy_calibrated",
)

_log = logging.getLogger(__name__)


class Detector(pl.LightningModule):
    """A video encoder shared by several tasks (arXiv 2308.13503).

    The first task is the primary one: its probability of fake is the score of a clip. The score of
    a video is the mean over its clips.

    A batch is a `deepfake_mtl.data.datamodule.ClipBatch`, or any mapping with the same keys.
    Validation logs figures of videos as ``val/auc`` and so on. Test logs them as
    ``test/held_out/auc`` for originals against held-out manipulations and ``test/seen/auc`` for
    originals against the others; a figure that does not exist is NaN in logs.

    The threshold that is best on validation videos (balanced accuracy) is kept in the checkpoint.
    After a test, ``test_table`` holds the scores of videos, after a prediction ``predict_table``.

    Args:
        encoder: Network from clips to features; an S3D by default.
        tasks: What is learnt; by default real or fake by cross-entropy.
        held_out: Manipulations that are not trained on, as of the datamodule.
        optimizer: ``adam`` or ``adamw`` (assumption: Adam, as CoCLR).
        learning_rate: Peak learning rate (assumption: 1e-3, as CoCLR).
        weight_decay: Weight decay of all parameters (assumption: 1e-5, as CoCLR).
        warmup_steps: Optimizer steps in which the learning rate rises linearly (assumption).
        schedule: What follows: ``constant`` or ``cosine`` down to zero (assumption).

    Raises:
        ConfigurationError: There is no task, two have one name, or a setting is out of range.
    """

    threshold: Tensor
    test_table: VideoTable | None = None
    predict_table: VideoTable | None = None

    def __init__(
        self,
        encoder: Encoder | None = None,
        tasks: list[Task] | None = None,
        held_out: str | list[str] | None = None,
        optimizer: Literal["adam", "adamw"] = "adam",
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-5,
        warmup_steps: int = 0,
        schedule: Literal["constant", "cosine"] = "cosine",
    ) -> None:
        super().__init__()
        if learning_rate <= 0 or weight_decay < 0 or warmup_steps < 0:
            raise ConfigurationError(
                f"learning_rate is {learning_rate}, weight_decay {weight_decay}, warmup_steps "
                f"{warmup_steps}: the first must be positive, the others not negative"
            )
        # The command line adds descriptions of these two: checkpoints hold plain values only.
        self.save_hyperparameters(ignore=["encoder", "tasks"])
        self.held_out = parse_held_out(held_out)
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.warmup_steps = warmup_steps
        self.schedule = schedule
        self._build_models(encoder or S3D(), tasks or [BinaryCrossEntropy()])
        self._build_metrics()
        self.register_buffer("threshold", torch.tensor(0.5))

    def forward(self, clip: Tensor) -> dict[str, Tensor]:
        """Turn clips (uint8, B x 3 x T x H x W) into the logits of each task, by its name."""
        features = self.encoder(clip)
        return {name: task(features) for name, task in self._named_tasks()}

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:  # noqa: ARG002
        """Return the weighted sum of the tasks' losses on a batch."""
        logits = self(batch["clip"])
        losses = self._losses(logits, batch)
        total = torch.stack(
            [task.weight * losses[name] for name, task in self._named_tasks()]
        ).sum()
        self.log("train/loss", total.detach(), prog_bar=True)
        for name, task in self._named_tasks():
            self.log(f"train/{name}/loss", losses[name].detach())
            right = logits[name].detach().argmax(dim=1) == batch[task.label]
            self.log(f"train/{name}/accuracy", right.float().mean(), prog_bar=True)
        return total

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:  # noqa: ARG002
        """Score the clips of a batch."""
        logits = self._score(batch, self.val_scores)
        if len(batch["clip"]):
            for name, loss in self._losses(logits, batch).items():
                self.log(f"val/{name}/loss", loss, sync_dist=True, batch_size=len(batch["clip"]))

    def on_validation_epoch_end(self) -> None:
        """Turn clip scores into figures of videos, and calibrate the threshold."""
        table = self.val_scores.compute()
        self.val_scores.reset()
        threshold = calibrate_threshold(table.scores, table.fake)
        if threshold is not None and not self.trainer.sanity_checking:
            self.threshold.fill_(threshold)
        self._log_report("val", table.scores, table.fake)

    def test_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:  # noqa: ARG002
        """Score the clips of a batch."""
        self._score(batch, self.test_scores)

    def on_test_epoch_end(self) -> None:
        """Turn clip scores into figures of videos, unseen and seen manipulations apart."""
        table = self.test_scores.compute()
        self.test_scores.reset()
        self.test_table = table
        held_out = [MANIPULATION_CLASSES.index(method) for method in self.held_out]
        unseen = torch.isin(table.label, torch.tensor(held_out, dtype=torch.int64))
        for name, chosen in (("held_out", unseen), ("seen", ~unseen)):
            rows = chosen | (table.label == 0)
            self._log_report(f"test/{name}", table.scores[rows], table.fake[rows])

    def predict_step(
        self,
        batch: Mapping[str, Tensor],
        batch_idx: int,  # noqa: ARG002
    ) -> dict[str, Tensor]:
        """Score the clips of a batch, and return them and the logits of each task."""
        logits = self._score(batch, self.predict_scores)
        return {"video": batch["video"], "clip_index": batch["clip_index"], **logits}

    def on_predict_epoch_end(self) -> None:
        """Turn clip scores into scores of videos."""
        self.predict_table = self.predict_scores.compute()
        self.predict_scores.reset()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return the optimizer and a learning rate that changes with every step.

        Raises:
            ConfigurationError: A cosine over an endless training is asked for.
        """
        optimizer_class: type[Optimizer] = {"adam": Adam, "adamw": AdamW}[self.optimizer]
        optimizer = optimizer_class(
            self.parameters(),
            lr=self.learning_rate,  # type: ignore[call-arg]
            weight_decay=self.weight_decay,
        )
        steps = self.trainer.estimated_stepping_batches
        if self.schedule == "cosine" and math.isinf(steps):
            raise ConfigurationError(
                "a cosine schedule needs an end: set --trainer.max_epochs or --trainer.max_steps, "
                "or --model.schedule constant"
            )

        def factor(step: int) -> float:
            if step < self.warmup_steps:
                return (step + 1) / (self.warmup_steps + 1)
            if self.schedule == "constant":
                return 1.0
            progress = (step - self.warmup_steps) / max(steps - self.warmup_steps, 1)
            return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))

        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LambdaLR(optimizer, factor), "interval": "step"},
        }

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the columns of a table's outputs: the score, then each task's probabilities."""
        names = [f"{name}/{c}" for name, task in self._named_tasks() for c in task.classes]
        return ("score", *names)

    def _build_models(self, encoder: Encoder, tasks: Sequence[Task]) -> None:
        names = [task.name for task in tasks]
        if len(set(names)) < len(names):
            raise ConfigurationError(f"each task is to stand once in the list, got {names}")
        self.encoder = encoder
        for task in tasks:
            task.build(encoder.feature_dim)
        self.tasks = nn.ModuleDict(dict(zip(names, tasks, strict=True)))

    def _build_metrics(self) -> None:
        outputs = len(self.output_names)
        self.val_scores = VideoScores(outputs)
        self.test_scores = VideoScores(outputs)
        self.predict_scores = VideoScores(outputs)

    def _named_tasks(self) -> list[tuple[str, Task]]:
        return [(name, task) for name, task in self.tasks.items() if isinstance(task, Task)]

    def _losses(
        self, logits: Mapping[str, Tensor], batch: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        return {name: task.loss(logits[name], batch) for name, task in self._named_tasks()}

    def _score(self, batch: Mapping[str, Tensor], scores: VideoScores) -> dict[str, Tensor]:
        logits: dict[str, Tensor] = self(batch["clip"])
        tasks = self._named_tasks()
        primary_name, primary = tasks[0]
        columns = [primary.fake_probability(logits[primary_name]).unsqueeze(1)]
        columns += [task.probabilities(logits[name]) for name, task in tasks]
        scores.update(
            batch["video"], batch["clip_index"], batch["manipulation"], torch.cat(columns, dim=1)
        )
        return logits

    def _log_report(self, prefix: str, scores: Tensor, labels: Tensor) -> None:
        report: dict[str, Any] = binary_report(scores, labels, float(self.threshold))
        for name in _LOGGED_FIGURES:
            value = report[name]
            self.log(
                f"{prefix}/{name}",
                math.nan if value is None else value,
                prog_bar=prefix == "val" and name == "auc",
            )
