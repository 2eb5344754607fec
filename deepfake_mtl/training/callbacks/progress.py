"""A progress bar for devices that are not to be waited for."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar


class CalmProgressBar(TQDMProgressBar):
    """A progress bar that reads the metrics of steps when it is drawn, and is drawn seldom.

    Lightning reads whatever is logged for a progress bar after every batch, whether it is drawn or
    not. A GPU is waited for at each reading, and then has nothing to do for a while.

    Args:
        refresh_rate: Number of batches after which it is drawn.
    """

    def __init__(self, refresh_rate: int = 20) -> None:
        super().__init__(refresh_rate=refresh_rate)

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """Return what is shown: what Lightning shows, the loss, and the accuracies of the tasks."""
        shown = {
            name: value.item()
            for name, value in trainer.callback_metrics.items()
            if name == "train/loss" or (name.startswith("train/") and name.endswith("/accuracy"))
        }
        return {**super().get_metrics(trainer, pl_module), **shown}
