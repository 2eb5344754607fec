"""What a run leaves behind: results, predictions, a page, and pictures of its clips."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger

from deepfake_mtl.data.clips import EvaluationClips
from deepfake_mtl.data.datamodule import DeepfakeDataModule, Stage
from deepfake_mtl.data.records import MANIPULATION_CLASSES, ORIGINAL
from deepfake_mtl.detector import Detector
from deepfake_mtl.evaluation.environment import environment
from deepfake_mtl.evaluation.examples import Example, choose_examples
from deepfake_mtl.evaluation.page import write_page
from deepfake_mtl.evaluation.predictions import Prediction, write_predictions
from deepfake_mtl.evaluation.results import (
    SCHEMA_VERSION,
    Counts,
    Results,
    evaluate,
    write_results,
)
from deepfake_mtl.evaluation.table import format_table
from deepfake_mtl.metrics import VideoTable


class ResultsWriter(Callback):
    """Writes what a test or a prediction found into the run folder, and prints the table of a test.

    After a test: ``results.json``, ``predictions.csv`` and ``results.html``. After a prediction:
    ``predict/predictions.csv``.

    Args:
        folder: The run folder.
        config: The configuration, in plain values.
    """

    def __init__(self, folder: Path, config: Mapping[str, object]) -> None:
        self._folder = folder
        self._config = config
        self._corrupt: list[str] = []

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Gather what each rank could not read."""
        self._corrupt = _gather(_datamodule(trainer).report().corrupt)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the files of a test."""
        if not trainer.is_global_zero:
            return
        datamodule, detector = _datamodule(trainer), _detector(pl_module)
        predictions = _predictions(datamodule, "test", detector.test_table, detector.output_names)
        results = self._results(trainer, datamodule, detector, predictions)
        write_predictions(self._folder, predictions)
        write_results(self._folder, results)
        chosen = choose_examples(predictions, detector.held_out)
        page = write_page(
            self._folder,
            results,
            predictions,
            [Example(each, _frames(datamodule, each)) for each in chosen],
            title=_title(detector.held_out),
        )
        print(format_table(results))
        print(f"Results, predictions and a page are in {page.parent}: open {page}")

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the scores of a prediction."""
        if not trainer.is_global_zero:
            return
        detector = _detector(pl_module)
        predictions = _predictions(
            _datamodule(trainer), "predict", detector.predict_table, detector.output_names
        )
        path = write_predictions(self._folder / "predict", predictions)
        print(f"Scores of {len(predictions)} videos are in {path}")

    def _results(
        self,
        trainer: pl.Trainer,
        datamodule: DeepfakeDataModule,
        detector: Detector,
        predictions: Sequence[Prediction],
    ) -> Results:
        report = datamodule.report()
        counts: Counts = {"missing": report.missing, "corrupt": self._corrupt}
        for split in ("train", "val", "test"):
            methods = report.counts[split]
            real = methods[ORIGINAL]
            counts[split] = {"real": real, "fake": sum(methods.values()) - real}
        return {
            "schema_version": SCHEMA_VERSION,
            "corpus": {
                "name": report.corpus,
                "root": report.root,
                "compression": report.compression,
                "synthetic": report.synthetic,
            },
            "held_out": list(detector.held_out),
            "seed": report.seed,
            "checkpoint": None if trainer.ckpt_path is None else str(trainer.ckpt_path),
            "counts": counts,
            "figures": evaluate(predictions, detector.held_out, float(detector.threshold)),
            "config": dict(self._config),
            "versions": environment(),
        }


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


def _predictions(
    datamodule: DeepfakeDataModule,
    stage: Stage,
    table: VideoTable | None,
    names: Sequence[str],
) -> list[Prediction]:
    if table is None:
        return []
    records = datamodule.records(stage)
    rows = zip(table.video.tolist(), table.clips.tolist(), table.outputs.tolist(), strict=True)
    return [
        Prediction(
            key=records[video].key,
            method=records[video].method,
            label=records[video].is_fake,
            score=outputs[0],
            clips=clips,
            outputs=dict(zip(names[1:], outputs[1:], strict=True)),
        )
        for video, clips, outputs in rows
    ]


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


def _title(held_out: Sequence[str]) -> str:
    return f"{' and '.join(held_out)} held out" if held_out else "No manipulation held out"
