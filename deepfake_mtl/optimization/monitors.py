"""Metrics that callbacks and schedules compare: they are to exist, and to be numbers."""

from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches

import pytorch_lightning as pl
from pytorch_lightning.callbacks import BaseFinetuning, Callback, LearningRateMonitor

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.tasks import Task

_ALWAYS = ("epoch", "step")
_OWN_PACKAGES = ("pytorch_lightning", "deepfake_mtl")


def task_metrics(tasks: Iterable[Task], *, weighs: bool) -> tuple[set[str], tuple[str, ...]]:
    """Return what a detector logs of its tasks.

    Args:
        tasks: The tasks.
        weighs: Whether the weights of their losses are logged.

    Returns:
        The names, and beginnings of those that tasks do not say.
    """
    names: set[str] = set()
    beginnings: list[str] = []
    for task in tasks:
        if weighs:
            names.add(f"train/{task.name}/weight")
        if task.logged is None:
            beginnings += [f"train/{task.name}/", f"val/{task.name}/"]
        for each in task.logged or ():
            stage, _, metric = each.partition("/")
            names.add(f"{stage}/{task.name}/{metric}")
    return names, tuple(beginnings)


def refuse_unknown(
    trainer: pl.Trainer, names: Collection[str], beginnings: tuple[str, ...] = ()
) -> None:
    """Refuse to begin a training in which somebody waits for a metric that nobody logs.

    Nothing is refused where a callback from elsewhere may log further ones. A callback of this
    library says what it logs by an attribute, ``logged``.

    Args:
        trainer: Trainer of the training, whose callbacks have begun it.
        names: The metrics that the module logs.
        beginnings: Beginnings of other names that it may log.

    Raises:
        ConfigurationError: A monitored metric is not among them.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    if any(type(each).__module__.partition(".")[0] not in _OWN_PACKAGES for each in callbacks):
        return
    known = {*names, *_ALWAYS}
    for each in callbacks:
        known.update(getattr(each, "logged", ()))
        if isinstance(each, LearningRateMonitor):
            known.update(_rates(each))
            if any(isinstance(other, BaseFinetuning) for other in callbacks):
                beginnings = (*beginnings, "lr-")  # of groups that are added later
    for owner, monitor in _monitors(trainer):
        if monitor not in known and not monitor.startswith(beginnings):
            near = get_close_matches(monitor, sorted(known), 1) or ["val/auc"]
            raise ConfigurationError(
                f"{owner} monitors {monitor!r}, which is not logged: choose another monitor, such "
                f"as {near[0]} or train/loss"
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


def _rates(callback: LearningRateMonitor) -> Iterator[str]:
    yield from callback.lrs
    if callback.log_momentum:
        yield from callback.last_momentum_values
    if callback.log_weight_decay:
        yield from callback.last_weight_decay_values
