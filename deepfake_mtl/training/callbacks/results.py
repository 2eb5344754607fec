"""What a test or a prediction leaves behind: results, predictions, a page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from deepfake_mtl.data.clips import EvaluationClips
from deepfake_mtl.data.datamodule import DeepfakeDataModule
from deepfake_mtl.data.protocol import unseen_manipulations
from deepfake_mtl.data.records import ORIGINAL
from deepfake_mtl.data.splits import SPLIT_NAMES
from deepfake_mtl.detector import Detector
from deepfake_mtl.evaluation.environment import environment
from deepfake_mtl.evaluation.examples import Example, choose_examples
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
from deepfake_mtl.models.distributed import of_all_ranks
from deepfake_mtl.optimization.precision import precision_record
from deepfake_mtl.training.callbacks.conflict import GradientConflictMonitor
from deepfake_mtl.training.callbacks.parts import datamodule_of, detector_of
from deepfake_mtl.training.run_folder import PARTIAL, set_aside


class _About(TypedDict):
    """What `ResultsWriter` says of a test before it has ended; see `Results`."""

    corpus: Corpus
    checkpoint: str | None
    config: Mapping[str, object]


class ResultsWriter(Callback):
    """Write what a test or a prediction found into the run folder, and print the table of a test.

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
        gathered = of_all_ranks(datamodule_of(trainer).report().corrupt)
        self._corrupt = sorted({failure for some in gathered for failure in some})

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the files of a test."""
        if not trainer.is_global_zero:
            return
        datamodule, detector = datamodule_of(trainer), detector_of(pl_module)
        predictions = detector.test_predictions
        results = self._results(trainer, detector)
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
        detector = detector_of(pl_module)
        if detector.predict_table is None:
            return
        records = datamodule_of(trainer).records("predict")
        names = detector.network.column_names[1:]
        predictions = collect_predictions(detector.predict_table, names, records)
        part = _part(trainer.num_predict_batches, trainer.predict_dataloaders)
        folder = self.folder / "predict"
        path = write_predictions(folder / PARTIAL if part else folder, predictions)
        print(f"Scores of {len(predictions)} videos are in {path}")

    def place_of_test(self, trainer: pl.Trainer) -> Path:
        """Return where the files of the running test go, after making room there.

        Args:
            trainer: Trainer on its first process; its test has begun.
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
        report = datamodule_of(trainer).report()
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

    def _results(self, trainer: pl.Trainer, detector: Detector) -> Results:
        if detector.test_metrics is None:
            raise TypeError("ResultsWriter needs the metrics of a test")
        predictions = detector.test_predictions
        report = datamodule_of(trainer).report()
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
            "versions": environment(trainer.strategy.root_device),
        }
        if part is not None:
            results["partial"] = part
        rows = [row for each in _monitors(trainer) for row in each.rows]
        if rows:
            results["gradient_conflict"] = rows
        return results


def _frames(datamodule: DeepfakeDataModule, prediction: Prediction) -> Any:  # noqa: ANN401
    """Read the first clip of a test video as the network saw it, T x H x W x 3."""
    dataset = datamodule.test_dataloader().dataset
    if not isinstance(dataset, EvaluationClips):
        raise TypeError("expected a dataset of evaluation clips")
    keys = [record.key for record in dataset.records]
    return dataset[keys.index(prediction.key)]["clip"].permute(1, 2, 3, 0).numpy()


def _monitors(trainer: pl.Trainer) -> list[GradientConflictMonitor]:
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return [each for each in callbacks if isinstance(each, GradientConflictMonitor)]


def _part(batches: Sequence[float], loaders: Any) -> Partial | None:  # noqa: ANN401 (Lightning's)
    """Return how many batches of how many are gone through; None of all of them."""
    done = int(sum(batches))
    there = sum(map(len, loaders if isinstance(loaders, list | tuple) else [loaders]))
    return None if done >= there else {"batches": done, "of": there}


def _title(held_out: Sequence[str]) -> str:
    return f"{' and '.join(held_out)} held out" if held_out else "No manipulation held out"
