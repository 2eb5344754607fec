"""Training clips as the network sees them, in TensorBoard."""

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger

from deepfake_mtl.data.batches import ClipBatch
from deepfake_mtl.data.records import MANIPULATION_CLASSES


class ClipStrip(Callback):
    """Log some training clips to TensorBoard as the network sees them, once an epoch.

    Each row is a clip, eight of its frames from left to right.

    Args:
        clips: Number of clips.
        frames: Number of frames of each.
    """

    def __init__(self, clips: int = 4, frames: int = 8) -> None:
        self._clips = clips
        self._frames = frames

    def on_train_batch_start(
        self, trainer: pl.Trainer, _module: pl.LightningModule, batch: ClipBatch, batch_idx: int
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
