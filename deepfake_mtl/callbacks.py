"""What a run leaves behind: results, predictions, a page, pictures, and how its tasks agree."""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from deepfake_mtl.data.clips import EvaluationClips
from deepfake_mtl.data.datamodule import DeepfakeDataModule
from deepfake_mtl.data.protocol import unseen_manipulations
from deepfake_mtl.data.records import MANIPULATION_CLASSES, ORIGINAL
from deepfake_mtl.data.splits import SPLIT_NAMES
from deepfake_mtl.data.whole_files import open_whole
from deepfake_mtl.detector import Detector, LossObserver
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.evaluation.conflict import ConflictRow
from deepfake_mtl.evaluation.environment import environment
from deepfake_mtl.evaluation.examples import Example, choose_examples
from deepfake_mtl.evaluation.files import FEATURES
from deepfake_mtl.evaluation.page import write_page
from deepfake_mtl.evaluation.predictions import Prediction, collect_predictions, write_predictions
from deepfake_mtl.evaluation.results import (
    SCHEMA_VERSION,
    Corpus,
    Counts,
    Partial,
    Results,
    write_results,
)
from deepfake_mtl.evaluation.table import format_table
from deepfake_mtl.losses import ConflictMeter
from deepfake_mtl.metrics import VideoScores
from deepfake_mtl.precision import precision_record
from deepfake_mtl.run_folder import PARTIAL, set_aside


class _About(TypedDict):
    """What `ResultsWriter` says of a test before it has ended; see `Results`."""

    corpus: Corpus
    checkpoint: str | None
    config: Mapping[str, object]


class ResultsWriter(Callback):
    """Writes what a test or a prediction found into the run folder, and prints the table of a test.

    After a test: ``results.json``, ``predictions.csv`` and ``results.html``. After a prediction:
    ``predict/predictions.csv``. What a part of a test or prediction found, as with
    ``limit_test_batches`` or ``fast_dev_run``, goes to ``partial`` below; what another test had
    found is moved to ``earlier`` below.

    Args:
        folder: The run folder.
        config: The configuration, in plain values.
    """

    def __init__(self, folder: Path, config: Mapping[str, object]) -> None:
        self.folder = folder
        self._config = config
        self._corrupt: list[str] = []
        self._place: Path | None = None

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Begin another test."""
        self._place = None

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Gather what each rank could not read."""
        self._corrupt = _gather(_datamodule(trainer).report().corrupt)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the files of a test."""
        if not trainer.is_global_zero:
            return
        datamodule, detector = _datamodule(trainer), _detector(pl_module)
        predictions = detector.test_predictions
        results = self._results(trainer, datamodule, detector)
        folder = self.place_of_test(trainer)
        write_predictions(folder, predictions)
        write_results(folder, results)
        chosen = choose_examples(predictions, results["held_out"])
        page = write_page(
            folder,
            results,
            predictions,
            [Example(each, _frames(datamodule, each)) for each in chosen],
            title=_title(results["held_out"]),
        )
        print(format_table(results))
        print(f"Results, predictions and a page are in {page.parent}: open {page}")

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the scores of a prediction."""
        if not trainer.is_global_zero:
            return
        detector = _detector(pl_module)
        if detector.predict_table is None:
            return
        records = _datamodule(trainer).records("predict")
        names = detector.network.column_names[1:]
        predictions = collect_predictions(detector.predict_table, names, records)
        part = _part(trainer.num_predict_batches, trainer.predict_dataloaders)
        folder = self.folder / "predict"
        path = write_predictions(folder / PARTIAL if part else folder, predictions)
        print(f"Scores of {len(predictions)} videos are in {path}")

    def place_of_test(self, trainer: pl.Trainer) -> Path:
        """Return where the files of the running test go, after making room there.

        Args:
            trainer: On its first process; its test has begun.
        """
        if self._place is None:
            part = _part(trainer.num_test_batches, trainer.test_dataloaders)
            self._place = self.folder / PARTIAL if part else self.folder
            aside = set_aside(self._place, self._about(trainer))
            if aside is not None:
                print(f"The results of another test that were in {self._place} are now in {aside}")
        return self._place

    def _about(self, trainer: pl.Trainer) -> _About:
        """Return what is tested."""
        report = _datamodule(trainer).report()
        return {
            "corpus": {
                "name": report.corpus,
                "root": report.root,
                "compression": report.compression,
                "synthetic": report.synthetic,
            },
            "checkpoint": None if trainer.ckpt_path is None else str(trainer.ckpt_path),
            "config": dict(self._config),
        }

    def _results(
        self,
        trainer: pl.Trainer,
        datamodule: DeepfakeDataModule,
        detector: Detector,
    ) -> Results:
        if detector.test_metrics is None:
            raise TypeError("ResultsWriter needs the metrics of a test")
        predictions = detector.test_predictions
        report = datamodule.report()
        counts: Counts = {"missing": report.missing, "corrupt": self._corrupt}
        for split in SPLIT_NAMES:
            if methods := report.counts.get(split):
                real = methods.get(ORIGINAL, 0)
                counts[split] = {"real": real, "fake": sum(methods.values()) - real}
        tested = {each.method for each in predictions}
        held_out = list(unseen_manipulations(detector.held_out, tested))
        part = _part(trainer.num_test_batches, trainer.test_dataloaders)
        if part is not None:
            fakes = sum(each.label for each in predictions)
            counts["test"] = {"real": len(predictions) - fakes, "fake": fakes}
        about = self._about(trainer)
        results: Results = {
            "schema_version": SCHEMA_VERSION,
            "corpus": about["corpus"],
            "held_out": held_out,
            "seed": report.seed,
            "checkpoint": about["checkpoint"],
            "counts": counts,
            "precision": {
                "training": detector.trained_precision,
                "test": precision_record(str(trainer.precision), trainer.strategy.root_device),
            },
            "figures": detector.test_metrics,
            "config": about["config"],
            "versions": environment(),
        }
        if part is not None:
            results["partial"] = part
        rows = [row for each in _monitors(trainer) for row in each.rows]
        if rows:
            results["gradient_conflict"] = rows
        return results


class GradientConflictMonitor(Callback):
    """Measures how the gradients of the tasks stand to each other on the encoder that they share.

    For every stage of the encoder and every two tasks: the cosine between the gradients of their
    weighted losses (below 0, a step for the one undoes some of the other), and the ratio of their
    norms (the first task's over the second's). Logged as ``conflict/<stage>/<task>-<task>/cosine``
    and ``.../norm_ratio``, and kept in checkpoints, from where a test draws them into its page.

    The gradients are those of a whole step of the optimizer: summed over its micro-batches,
    averaged over ranks, in float32, and without the scale of a gradient scaler. A step that is
    measured costs about two backward passes more. Where no two tasks share an encoder there is
    nothing to measure.

    Args:
        every_n_steps: Steps of the optimizer between two measurements; 0 for none.

    Attributes:
        rows: What was measured so far, in the order of time.

    Raises:
        ConfigurationError: The number is negative.
    """

    def __init__(self, every_n_steps: int = 100) -> None:
        if every_n_steps < 0:
            raise ConfigurationError(f"every_n_steps is {every_n_steps}, but must not be negative")
        self._every_n_steps = every_n_steps
        self._meter: ConflictMeter | None = None
        self._observer: LossObserver | None = None
        self._measures = False
        self.rows: list[ConflictRow] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen to the losses of the detector, where tasks share its encoder."""
        detector = _detector(pl_module)
        if (
            self._every_n_steps == 0
            or len(detector.network.tasks) == 1
            or detector.separate_encoders
        ):
            return
        stages = {
            name: parameters
            for name, parameters in detector.network.encoder.stages().items()
            if any(parameter.requires_grad for parameter in parameters)
        }
        meter = self._meter = ConflictMeter(stages)

        def observe(losses: Mapping[str, Tensor]) -> None:
            self._measures = trainer.global_step % self._every_n_steps == 0
            if self._measures:
                scaler = getattr(trainer.precision_plugin, "scaler", None)
                meter.add(losses, 1.0 if scaler is None else scaler.get_scale())

        self._observer = observe
        detector.loss_observers.append(observe)

    def on_before_optimizer_step(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        optimizer: Optimizer,  # noqa: ARG002
    ) -> None:
        """Compare what the micro-batches of this step added up to."""
        if self._meter is None or not self._measures:
            return
        self._measures = False
        for group, pairs in self._meter.compute().items():
            for (first, second), conflict in pairs.items():
                cosine, ratio = float(conflict.cosine), float(conflict.norm_ratio)
                place = f"conflict/{group}/{first}-{second}"
                pl_module.log(f"{place}/cosine", cosine)
                pl_module.log(f"{place}/norm_ratio", ratio)
                self.rows.append(
                    {
                        "step": trainer.global_step,
                        "group": group,
                        "tasks": [first, second],
                        "cosine": _finite(cosine),
                        "norm_ratio": _finite(ratio),
                    }
                )

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Listen no longer, also after an interruption."""
        if self._observer is not None:
            _detector(pl_module).loss_observers.remove(self._observer)
        self._meter = self._observer = None
        self._measures = False

    def state_dict(self) -> dict[str, Any]:
        """Return what was measured."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what was measured before."""
        self.rows = list(state_dict["rows"])


class FeatureWriter(Callback):
    """Writes the features of the test videos: ``features.npz``, beside the results.

    It holds ``features`` (float32, videos x features of the primary task's encoder, each the mean
    over a video's clips), ``keys`` and ``methods`` (str, videos), sorted by key.

    Args:
        write: Whether to do so.
    """

    def __init__(self, write: bool = False) -> None:
        self._write = write
        self._means: VideoScores | None = None
        self._latest: Tensor | None = None
        self._handle: RemovableHandle | None = None

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Listen to the encoder."""
        if not self._write:
            return
        encoder = _detector(pl_module).network.encoder

        def keep(_module: torch.nn.Module, _inputs: object, features: Tensor) -> None:
            self._latest = features

        self._means = VideoScores(encoder.feature_dim)
        self._handle = encoder.register_forward_hook(keep)

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,  # noqa: ARG002
        pl_module: pl.LightningModule,  # noqa: ARG002
        outputs: object,  # noqa: ARG002
        batch: Any,  # noqa: ANN401 (Lightning's)
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Take in the features of a batch."""
        if self._means is not None and self._latest is not None:
            self._means.update(
                batch["video"], batch["clip_index"], batch["manipulation"], self._latest
            )

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Write the file."""
        if self._means is None:
            return
        table = self._means.compute()
        if not trainer.is_global_zero:
            return
        records = _datamodule(trainer).records("test")
        rows = sorted(range(len(table)), key=lambda row: records[int(table.video[row])].key)
        found = [records[int(table.video[row])] for row in rows]
        with open_whole(_place_of_test(trainer) / FEATURES) as file:
            content = io.BytesIO()
            np.savez_compressed(
                content,
                features=table.outputs[rows].float().numpy(),
                keys=np.array([record.key for record in found]),
                methods=np.array([record.method for record in found]),
            )
            file.append(content.getvalue())

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Listen no longer, also after an interruption."""
        if self._handle is not None:
            self._handle.remove()
        self._handle = self._means = self._latest = None


class ClipStrip(Callback):
    """Logs some training clips to TensorBoard as the network sees them, once an epoch.

    Each row is a clip, eight of its frames from left to right.

    Args:
        clips: Number of clips.
        frames: Number of frames of each.
    """

    def __init__(self, clips: int = 4, frames: int = 8) -> None:
        self._clips = clips
        self._frames = frames

    def on_train_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002
        batch: Any,  # noqa: ANN401 (Lightning's)
        batch_idx: int,
    ) -> None:
        """Log the first clips of the first batch of an epoch."""
        if batch_idx != 0 or not trainer.is_global_zero:
            return
        clips = batch["clip"][: self._clips]
        positions = torch.linspace(0, clips.shape[2] - 1, self._frames).long()
        rows = [torch.cat(list(clip[:, positions].unbind(dim=1)), dim=2) for clip in clips]
        strip = torch.cat(rows, dim=1).cpu()
        names = [MANIPULATION_CLASSES[label] for label in batch["manipulation"][: self._clips]]
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("train/clips", strip, trainer.global_step)
                logger.experiment.add_text("train/clips", ", ".join(names), trainer.global_step)


def _datamodule(trainer: pl.Trainer) -> DeepfakeDataModule:
    datamodule = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(datamodule, DeepfakeDataModule):
        raise TypeError("ResultsWriter needs a DeepfakeDataModule")
    return datamodule


def _detector(module: pl.LightningModule) -> Detector:
    if not isinstance(module, Detector):
        raise TypeError("ResultsWriter needs a Detector")
    return module


def _frames(datamodule: DeepfakeDataModule, prediction: Prediction) -> Any:  # noqa: ANN401
    """Read the first clip of a test video as the network saw it, T x H x W x 3."""
    dataset = datamodule.test_dataloader().dataset
    if not isinstance(dataset, EvaluationClips):
        raise TypeError("expected a dataset of evaluation clips")
    keys = [record.key for record in dataset.records]
    return dataset[keys.index(prediction.key)]["clip"].permute(1, 2, 3, 0).numpy()


def _gather(failures: Sequence[str]) -> list[str]:
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return list(failures)
    gathered: list[list[str]] = [[] for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather_object(gathered, list(failures))
    return sorted({failure for some in gathered for failure in some})


def _monitors(trainer: pl.Trainer) -> list[GradientConflictMonitor]:
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return [each for each in callbacks if isinstance(each, GradientConflictMonitor)]


def _place_of_test(trainer: pl.Trainer) -> Path:
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    folders = [each.place_of_test(trainer) for each in callbacks if isinstance(each, ResultsWriter)]
    return folders[0] if folders else Path(trainer.default_root_dir)


def _part(batches: Sequence[float], loaders: Any) -> Partial | None:  # noqa: ANN401 (Lightning's)
    """Return how many batches of how many are gone through; None of all of them."""
    done = int(sum(batches))
    there = sum(map(len, loaders if isinstance(loaders, list | tuple) else [loaders]))
    return None if done >= there else {"batches": done, "of": there}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _title(held_out: Sequence[str]) -> str:
    return f"{' and '.join(held_out)} held out" if held_out else "No manipulation held out"
