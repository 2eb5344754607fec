"""A callback that ends a process of a training, without a word."""

import os
from pathlib import Path
from typing import Any

import pytorch_lightning as pl


class DyingRank(pl.Callback):
    """Ends the process of a rank in its third step."""

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == 2 and trainer.global_rank == self.rank:
            (Path(trainer.default_root_dir) / "dies").touch()
            os._exit(1)
