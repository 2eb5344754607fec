"""The best checkpoint of a run folder, and the best few."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor

from deepfake_mtl.errors import CheckpointError, ConfigurationError
from deepfake_mtl.models.checkpoint_files import load_checkpoint
from deepfake_mtl.training.checkpoints.files import BEST, name_also
from deepfake_mtl.training.checkpoints.lock import FolderLock

_NAME = Path(BEST).stem
_KEPT = "epoch={epoch}-step={step}"


class BestCheckpoint(FolderLock, ModelCheckpoint):
    """Lightning's `ModelCheckpoint`, whose ``best.ckpt`` is always the best of its folder.

    With `save_top_k` of 1 that is the file that is written; with others, the k best (-1: all) are
    written as ``epoch=<epoch>-step=<step>.ckpt``, and ``best.ckpt`` is another name of the best of
    them (a copy, where the file system has no links). 0 writes nothing.

    A resumed training reads from the files that are there how good they are. So a run folder may be
    moved, and whatever checkpoint a training goes on from, ``best.ckpt`` gives way to better ones
    only.

    While a training goes on, its folder is locked for others.

    Args:
        dirpath: Folder of the checkpoints; see `ModelCheckpoint`.
        filename: Name of what is written, without its ending; None for the above. Several files
            need names of their own: a pattern with ``{epoch}``, ``{step}`` or a logged metric.
        monitor: Name of the logged metric that decides.
        save_top_k: Number of checkpoints to keep.
        mode: Whether the best value is the greatest (``max``) or the least (``min``).
        auto_insert_metric_name: Whether names of files hold those of metrics.
        enable_version_counter: Whether a file whose name is taken gets another; always so where
            several are kept under names of your own.
        **options: Further options of `ModelCheckpoint`.

    Raises:
        ConfigurationError: There is no such number of checkpoints, or several are to be kept under
            one name.
    """

    def __init__(
        self,
        dirpath: str | None = None,
        filename: str | None = None,
        monitor: str | None = "val/auc",
        save_top_k: int = 1,
        mode: str = "max",
        auto_insert_metric_name: bool = False,
        enable_version_counter: bool = False,
        **options: Any,  # noqa: ANN401 (Lightning's)
    ) -> None:
        if save_top_k < -1:
            raise ConfigurationError(
                f"save_top_k is {save_top_k}: it is the number of checkpoints to keep, -1 for all"
            )
        several = save_top_k not in (0, 1)
        if filename in (None, _NAME):
            filename = _KEPT if several else _NAME
        elif several and "{" not in str(filename):
            raise ConfigurationError(
                f"filename is {filename!r} and save_top_k {save_top_k}: each checkpoint would be "
                f"written over the one before. Name them apart, as in '{_KEPT}', or leave filename "
                "out"
            )
        elif several:
            enable_version_counter = True
        super().__init__(
            dirpath=dirpath,
            filename=filename,
            monitor=monitor,
            save_top_k=save_top_k,
            mode=mode,
            auto_insert_metric_name=auto_insert_metric_name,
            enable_version_counter=enable_version_counter,
            **options,
        )
        self._named: Tensor | None = None

    @property
    def state_key(self) -> str:
        """Return the key of `ModelCheckpoint`: checkpoints with the one suit the other."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Lock the folder, if anything is to be written there.

        Raises:
            ConfigurationError: Another training writes there.
        """
        super().setup(trainer, pl_module, stage)
        if self.save_top_k != 0:
            self.lock(trainer, str(self.dirpath))

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """See `ModelCheckpoint`; names the best."""
        super().on_train_batch_end(trainer, *args, **kwargs)
        self._name_best(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """See `ModelCheckpoint`; names the best."""
        super().on_train_epoch_end(trainer, pl_module)
        self._name_best(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """See `ModelCheckpoint`; names the best."""
        super().on_validation_end(trainer, pl_module)
        self._name_best(trainer)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, _module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Look which of the best checkpoints are in the folder, and how good they are.

        Lightning takes a checkpoint's word for it, as long as the folder's name is the same, and
        else forgets all.
        """
        state = checkpoint["callbacks"].get(self.state_key)
        if state is None or self.dirpath is None or "://" in str(self.dirpath):
            return
        found = self._find(state) if trainer.is_global_zero else {}
        kept, self._named = trainer.strategy.broadcast((found, self._named))
        before, there = state["dirpath"], str(self.dirpath)
        if state["best_model_path"] and not kept and trainer.state.fn == TrainerFn.FITTING:
            rank_zero_info(f"The best checkpoints of {before} are not in {there}: begin anew there")
        ranked = sorted(kept, key=lambda path: float(kept[path]), reverse=self.mode == "max")
        if self.save_top_k > 0:
            ranked = ranked[: self.save_top_k]
        full = len(ranked) == self.save_top_k
        infinity = torch.tensor(-torch.inf if self.mode == "max" else torch.inf)
        state.update(
            dirpath=self.dirpath,
            best_k_models={path: kept[path] for path in ranked},
            best_model_path=ranked[0] if ranked else "",
            best_model_score=kept[ranked[0]] if ranked else None,
            kth_best_model_path=ranked[-1] if full else "",
            kth_value=kept[ranked[-1]] if full else infinity,
            last_model_path=self._here(state["last_model_path"], before),
        )

    def _find(self, state: dict[str, Any]) -> dict[str, Tensor]:
        """Return the checkpoints that are kept in the folder, with their scores."""
        best = str(Path(str(self.dirpath)) / BEST)
        scores = {
            self._here(path, state["dirpath"]): score
            for path, score in state["best_k_models"].items()
        }
        if self.filename == _NAME:
            scores.setdefault(best, None)
        else:
            self._named = self._score(best, None)
        read = {path: self._score(path, score) for path, score in scores.items()}
        return {path: score for path, score in read.items() if score is not None}

    def _score(self, path: str, otherwise: Tensor | None) -> Tensor | None:
        """Return how good a checkpoint was when it was written; None where there is none."""
        if not Path(path).is_file():
            return None
        try:
            content = load_checkpoint(Path(path))
        except CheckpointError:
            return None
        own = content.get("callbacks", {}).get(self.state_key)  # none of weights alone
        score: Tensor | None = otherwise if own is None else own["current_score"]
        return score

    def _here(self, path: str, before: str | None) -> str:
        """Return the path of a file in this folder for one in the folder of before."""
        inside = before is not None and path.startswith(str(before))
        return str(self.dirpath) + path[len(str(before)) :] if inside else path

    def _name_best(self, trainer: pl.Trainer) -> None:
        """Let ``best.ckpt`` be the best of those that are kept under other names."""
        path, score = Path(self.best_model_path), self.best_model_score
        if not self.best_model_path or path.name == BEST or "://" in self.best_model_path:
            return
        if score is not None:
            better = torch.gt if self.mode == "max" else torch.lt
            if self._named is not None and not better(score, self._named):
                return
            self._named = score
        if trainer.is_global_zero and path.is_file():
            name_also(path, path.with_name(BEST))
