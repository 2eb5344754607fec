"""The LightningModule that scores videos: validation, test and prediction."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor, nn

from deepfake_mtl.data.clips import EvaluationClips
from deepfake_mtl.data.contract import FoldContract
from deepfake_mtl.data.datamodule import DeepfakeDataModule
from deepfake_mtl.data.protocol import DATA_STATE, TEST_SETS, data_state
from deepfake_mtl.errors import CheckpointError, ConfigurationError
from deepfake_mtl.evaluation.measuring import evaluate
from deepfake_mtl.evaluation.predictions import Prediction, collect_predictions
from deepfake_mtl.evaluation.results import Metrics, PrecisionRecord
from deepfake_mtl.metrics import VideoScores, VideoTable, calibrate_threshold
from deepfake_mtl.metrics.predictors import Report, named_metrics, report_predictors
from deepfake_mtl.network import MultiTaskNetwork, current_names, misfit
from deepfake_mtl.optimization.monitors import refuse_missing
from deepfake_mtl.optimization.precision import PRECISION, precision_record
from deepfake_mtl.tasks import Task


class EvaluationModule(pl.LightningModule):
    """Score videos with a network, and keep to one fold of leaving a manipulation out.

    A batch is a `deepfake_mtl.data.batches.ClipBatch`, or any mapping with the same keys. The
    score of a clip is its probability of fake by the first predictor, that of a video the mean over
    its clips. Validation logs metrics of videos as ``val/auc`` and so on. Test logs them as
    ``test/held_out/auc`` for originals against held-out manipulations and ``test/seen/auc`` for
    originals against the others; a metric that does not exist is NaN in logs. Metrics of further
    predictors are logged as ``val/<predictor>/auc``.

    Args:
        network: Encoders and tasks.
        held_out: Manipulations that are not trained on; None where data or checkpoint say.

    Attributes:
        fold: What is held out.
        threshold: The threshold that is best on validation videos (balanced accuracy); a buffer.
        test_table: Scores of the videos of the last test.
        test_predictions: The same by the names of the videos.
        test_metrics: What `deepfake_mtl.evaluation.evaluate` makes of them, which is what is
            logged, printed and written.
        predict_table: Scores of the videos of the last prediction.
        trained_precision: Precision in which the checkpoint that was loaded was trained.
    """

    threshold: Tensor
    test_table: VideoTable | None = None
    test_predictions: Sequence[Prediction] = ()
    test_metrics: Metrics | None = None
    predict_table: VideoTable | None = None
    trained_precision: PrecisionRecord | None = None

    def __init__(self, network: MultiTaskNetwork, held_out: str | list[str] | None) -> None:
        super().__init__()
        self.fold = FoldContract(held_out)
        self.network = network
        columns = len(network.column_names)
        self.val_scores = VideoScores(columns)
        self.test_scores = VideoScores(columns)
        self.predict_scores = VideoScores(columns)
        self._own_labels: dict[tuple[str, str], Tensor] = {}
        self.register_buffer("threshold", torch.tensor(0.5))
        self.register_load_state_dict_pre_hook(_take_older_names)  # type: ignore[no-untyped-call]

    def forward(self, clip: Tensor) -> dict[str, Tensor]:
        """Turn clips into probabilities; see `deepfake_mtl.network.MultiTaskNetwork.forward`."""
        outputs: dict[str, Tensor] = self.network(clip)
        return outputs

    @property
    def held_out(self) -> tuple[str, ...]:
        """Names of the manipulations that are held out, in canonical order.

        Raises:
            ConfigurationError: The data has another fold.
        """
        self._take_fold()
        return self.fold.held_out

    @property
    def reads_freely(self) -> bool:
        """Whether nothing is waited for where a number is read, as on a CPU."""
        return self.device.type == "cpu"

    @property
    def backbone(self) -> nn.Module:
        """The encoders, by the name that Lightning's BackboneFinetuning knows them by."""
        return nn.ModuleList([branch.encoder for branch in self.network.branches()])

    def setup(self, stage: str) -> None:  # noqa: ARG002
        """Take the fold of the data.

        Raises:
            ConfigurationError: The data has another fold.
        """
        self._own_labels.clear()
        datamodule = self.datamodule
        if datamodule is not None:
            self.fold.take_data(datamodule.held_out)
            # As the datamodule spells it, with which Lightning compares it.
            self._record_fold(datamodule.hparams.get("held_out", list(datamodule.held_out)))

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:  # noqa: ARG002
        """Score the clips of a batch."""
        if self.trainer.state.fn == TrainerFn.FITTING:
            self.check_batch(batch)
        clips = len(batch["clip"])
        outputs: dict[str, Tensor] = {}
        for _, encoder, tasks in self.network.branches():
            features = encoder(batch["clip"])
            for task in tasks:
                outputs.update(task.predict(features))
                if not clips:
                    continue
                metrics = task.validation_metrics(features, self.labels(task, batch))
                for name, metric in metrics.items():
                    self.log(f"val/{task.name}/{name}", metric, sync_dist=True, batch_size=clips)
        self._collect(outputs, batch, self.val_scores)

    def on_validation_epoch_end(self) -> None:
        """Turn clip scores into metrics of videos, and calibrate the threshold."""
        table = self.val_scores.compute()
        self.val_scores.reset()
        threshold = calibrate_threshold(table.scores, table.fake)
        if threshold is not None and not self.trainer.sanity_checking:
            self.threshold.fill_(threshold)
        missing = self._log_metrics(
            "val", report_predictors(table, self.network.classes, float(self.threshold))
        )
        if self.trainer.state.fn == TrainerFn.FITTING and not self.trainer.sanity_checking:
            fakes = int(table.fake.sum())
            reason = f"{len(table) - fakes} originals and {fakes} fakes were validated"
            refuse_missing(self.trainer, missing, reason)

    def test_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:  # noqa: ARG002
        """Score the clips of a batch."""
        self._collect(self(batch["clip"]), batch, self.test_scores)

    def on_test_epoch_end(self) -> None:
        """Turn clip scores into metrics of videos, unseen and seen manipulations apart."""
        table = self.test_scores.compute()
        self.test_scores.reset()
        self.test_table = table
        dataset = getattr(self.trainer.test_dataloaders, "dataset", None)
        records = dataset.records if isinstance(dataset, EvaluationClips) else None
        self.test_predictions = collect_predictions(table, self.network.column_names[1:], records)
        metrics = evaluate(self.test_predictions, self.held_out, float(self.threshold))
        self.test_metrics = metrics
        for of in TEST_SETS:
            reports = {name: predictor[of] for name, predictor in metrics["readouts"].items()}
            first = self.network.fake_predictors[0]
            self._log_metrics(f"test/{of}", {**reports, first: metrics[of]})

    def predict_step(
        self,
        batch: Mapping[str, Tensor],
        batch_idx: int,  # noqa: ARG002
    ) -> dict[str, Tensor]:
        """Score the clips of a batch, and return the probabilities of each predictor."""
        outputs: dict[str, Tensor] = self(batch["clip"])
        self._collect(outputs, batch, self.predict_scores)
        return {"video": batch["video"], "clip_index": batch["clip_index"], **outputs}

    def on_predict_epoch_end(self) -> None:
        """Turn clip scores into scores of videos."""
        self.predict_table = self.predict_scores.compute()
        self.predict_scores.reset()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the precision, and the state of the data under a name that no class has."""
        if self._trainer is not None:
            device = self._trainer.strategy.root_device
            checkpoint[PRECISION] = precision_record(str(self._trainer.precision), device)
        datamodule = self.datamodule
        if datamodule is not None:
            # Lightning keeps it under the name of the class, where no other class would find it;
            # that of a subclass may lack what a checkpoint must know.
            own = checkpoint.pop(type(datamodule).__qualname__, {})
            checkpoint[DATA_STATE] = {**DeepfakeDataModule.state_dict(datamodule), **own}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the precision, and compare the fold with that of a checkpoint.

        The names of the classes that it was made with do not matter.

        Raises:
            CheckpointError: It belongs to another fold, or to other data; see
                `DeepfakeDataModule.load_state_dict`.
        """
        self.trained_precision = checkpoint.get(PRECISION)
        state, datamodule = data_state(checkpoint), self.datamodule
        trained = checkpoint.get("hyper_parameters", {}).get("held_out")
        if state is not None:
            trained = list(state["held_out"])
            if datamodule is not None:
                datamodule.load_state_dict(dict(state))
        if trained is not None:
            known = self.fold.known
            self.fold.take_checkpoint(trained)
            if not known:
                self._record_fold(trained)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:  # noqa: ANN401 (PyTorch's)
        """Load weights; see `torch.nn.Module.load_state_dict`.

        Raises:
            CheckpointError: They are those of other tasks, or of another encoder.
        """
        try:
            return super().load_state_dict(state_dict, strict=strict, assign=assign)
        except RuntimeError as error:
            raise CheckpointError(misfit(self.network, state_dict, error)) from error

    @property
    def datamodule(self) -> DeepfakeDataModule | None:
        """The datamodule of the trainer, where there is one and it is of this library."""
        trainer = self._trainer
        datamodule = None if trainer is None else trainer.datamodule  # type: ignore[attr-defined]
        return datamodule if isinstance(datamodule, DeepfakeDataModule) else None

    def check_batch(self, batch: Mapping[str, Tensor]) -> None:
        """Refuse to learn, or to calibrate, from what is held out.

        A datamodule leaves it out by itself: only others are looked at, which waits for the device.

        Raises:
            ConfigurationError: The batch holds some of it, or the data has another fold.
        """
        if not self._take_fold():
            self.fold.check_batch(batch["manipulation"])

    def labels(self, task: Task, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the labels of a batch for a task: its own, where the batch does not hold them.

        Raises:
            ConfigurationError: Neither the batch nor the task says them.
        """
        if task.label in batch:
            return batch[task.label]
        stage: Literal["train", "val"] = "train" if self.trainer.training else "val"
        labels = self._own_labels.get((task.name, stage))
        if labels is None:
            if self.datamodule is None:
                raise ConfigurationError(
                    f"task {task.name}: the batches hold no {task.label!r}, and which videos they "
                    "are of is known of a DeepfakeDataModule alone; add the labels to the batches"
                )
            labels = task.labels_of(self.datamodule.records(stage)).to(self.device)
            self._own_labels[task.name, stage] = labels
        return labels[batch["video"]]

    def validated_kinds(self) -> Collection[bool]:
        """Return whether the videos to be validated are fake; nothing where that is not known."""
        datamodule, batches = self.datamodule, self.trainer.num_val_batches
        if datamodule is None or not batches or not batches[0]:
            return ()
        return datamodule.validated_kinds(int(batches[0]))

    def _take_fold(self) -> bool:
        """Belong to the fold of the datamodule, and return whether there is one.

        Wherever the fold counts, since a subclass may have hooks of its own.
        """
        datamodule = self.datamodule
        if datamodule is not None:
            self.fold.take_data(datamodule.held_out)
        return datamodule is not None

    def _record_fold(self, spelled: str | list[str] | None) -> None:
        """Write the fold into the hyper-parameters."""
        self.hparams["held_out"] = spelled
        self._hparams_initial.update(held_out=spelled)  # type: ignore[union-attr, operator]

    def _collect(
        self, outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor], scores: VideoScores
    ) -> None:
        columns = self.network.columns(outputs)
        scores.update(batch["video"], batch["clip_index"], batch["manipulation"], columns)

    def _log_metrics(self, prefix: str, reports: Mapping[str, Report | None]) -> list[str]:
        """Log the metrics of each predictor, and return the names of those that do not exist."""
        metrics = named_metrics(self.network.fake_predictors, reports)
        for name, value in metrics.items():
            self.log(
                f"{prefix}/{name}",
                math.nan if value is None else value,
                prog_bar=prefix == "val" and name == "auc",
            )
        return [f"{prefix}/{name}" for name, value in metrics.items() if value is None]


def _take_older_names(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:  # noqa: ARG001
    """Let checkpoints load whose detector held encoder and tasks without a network."""
    renamed = current_names(state, prefix)
    state.clear()
    state.update(renamed)
