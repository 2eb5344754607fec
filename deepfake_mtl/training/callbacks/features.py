"""The features of the test videos, as a file."""

import io
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from deepfake_mtl.data.batches import ClipBatch
from deepfake_mtl.evaluation.files import FEATURES
from deepfake_mtl.metrics import VideoScores
from deepfake_mtl.training.callbacks.parts import datamodule_of, detector_of
from deepfake_mtl.training.callbacks.results import ResultsWriter
from deepfake_mtl.util.files import open_whole


class FeatureWriter(Callback):
    """Write the features of the test videos: ``features.npz``, beside the results.

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
        encoder = detector_of(pl_module).network.encoder

        def keep(_module: torch.nn.Module, _inputs: object, features: Tensor) -> None:
            self._latest = features

        self._means = VideoScores(encoder.feature_dim)
        self._handle = encoder.register_forward_hook(keep)

    def on_test_batch_end(
        self,
        _trainer: pl.Trainer,
        _module: pl.LightningModule,
        _outputs: object,
        batch: ClipBatch,
        *_: object,
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
        records = datamodule_of(trainer).records("test")
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


def _place_of_test(trainer: pl.Trainer) -> Path:
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    folders = [each.place_of_test(trainer) for each in callbacks if isinstance(each, ResultsWriter)]
    return folders[0] if folders else Path(trainer.default_root_dir)
