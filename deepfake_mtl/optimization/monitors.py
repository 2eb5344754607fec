"""Metrics that callbacks and schedules compare: they are to exist, and to be numbers."""

from collections.abc import Collection, Container, Iterator

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from deepfake_mtl.errors import ConfigurationError

_ALWAYS = ("epoch", "step")
_OWN_PACKAGES = ("pytorch_lightning", "deepfake_mtl")


def refuse_unknown(trainer: pl.Trainer, names: Container[str], prefixes: tuple[str, ...]) -> None:
    """Refuse to begin a training in which somebody waits for a metric that nobody logs.

    Nothing is refused where a callback from elsewhere may log further ones.

    Args:
        trainer: Trainer of the training.
        names: The metrics that the module logs.
        prefixes: Beginnings of other names that it logs.

    Raises:
        ConfigurationError: A monitored metric is not among them.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    if any(type(each).__module__.partition(".")[0] not in _OWN_PACKAGES for each in callbacks):
        return
    for owner, monitor in _monitors(trainer):
        if monitor not in names and monitor not in _ALWAYS and not monitor.startswith(prefixes):
            raise ConfigurationError(
                f"{owner} monitors {monitor!r}, which is not logged: choose another monitor, such "
                "as val/auc or train/loss"
            )


def refuse_missing(trainer: pl.Trainer, missing: Collection[str], reason: str) -> None:
    """Refuse to compare a metric that does not exist: it would be best for ever, or end the run.

    Args:
        trainer: Trainer of the training.
        missing: Names of metrics that are not numbers.
        reason: Why.

    Raises:
        ConfigurationError: One of them is monitored.
    """
    for owner, monitor in _monitors(trainer):
        if monitor in missing:
            raise ConfigurationError(
                f"{owner} monitors {monitor!r}, which does not exist here: {reason}. Validate on "
                "more (limit_val_batches), or choose another monitor"
            )


def _monitors(trainer: pl.Trainer) -> Iterator[tuple[str, str]]:
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    for callback in callbacks:
        monitor = getattr(callback, "monitor", None)
        if isinstance(monitor, str):
            yield type(callback).__name__, monitor
    for config in trainer.lr_scheduler_configs:
        if config.reduce_on_plateau and config.monitor is not None:
            yield type(config.scheduler).__name__, config.monitor
