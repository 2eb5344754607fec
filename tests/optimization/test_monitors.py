"""Whether a metric that somebody waits for is logged, and is a number."""

from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.optimization.monitors import refuse_missing, refuse_unknown


class Elsewhere(pl.Callback):
    """May log whatever it likes."""


class StepLR:
    """Has the name of a schedule."""


def trainer(*monitors: str, schedule: str | None = None, plateau: bool = True) -> Any:
    schedules = SimpleNamespace(reduce_on_plateau=plateau, monitor=schedule, scheduler=StepLR())
    callbacks = [pl.callbacks.EarlyStopping(monitor) for monitor in monitors]
    return SimpleNamespace(callbacks=callbacks, lr_scheduler_configs=[schedules])


def test_what_is_logged_may_be_monitored_and_nothing_else() -> None:
    for logged in ("val/auc", "train/loss", "epoch", "step"):
        refuse_unknown(trainer(logged), {"val/auc"}, ("train/",))
        refuse_unknown(trainer(schedule=logged), {"val/auc"}, ("train/",))
    for other in ("val/loss", "my/train/loss", "Epoch"):
        message = f"EarlyStopping monitors '{other}', which is not logged"
        with pytest.raises(ConfigurationError, match=message):
            refuse_unknown(trainer("val/auc", other), {"val/auc"}, ("train/",))
    with pytest.raises(ConfigurationError, match="StepLR monitors 'val/loss'"):
        refuse_unknown(trainer(schedule="val/loss"), {"val/auc"}, ("train/",))
    refuse_unknown(trainer(schedule="val/loss", plateau=False), (), ("train/",))
    refuse_unknown(trainer(), (), ("train/",))


def test_rates_are_known_unless_groups_are_added_later() -> None:
    rates = pl.callbacks.LearningRateMonitor()
    rates.lrs = {"lr-Adam": []}
    run = trainer("lr-Adam")
    with pytest.raises(ConfigurationError, match="'lr-Adam', which is not logged"):
        refuse_unknown(run, {"val/auc"})
    run.callbacks.append(rates)
    refuse_unknown(run, {"val/auc"})
    other = trainer("lr-Adam/pg2")
    other.callbacks.append(rates)
    with pytest.raises(ConfigurationError, match=r"'lr-Adam/pg2', which .* such as lr-Adam or"):
        refuse_unknown(other, {"val/auc"})
    other.callbacks.append(pl.callbacks.BackboneFinetuning())
    refuse_unknown(other, {"val/auc"})


def test_a_callback_from_elsewhere_may_log_more() -> None:
    run = trainer("val/loss")
    run.callbacks.append(Elsewhere())
    refuse_unknown(run, {"val/auc"}, ("train/",))


def test_what_is_no_number_must_not_be_compared() -> None:
    refuse_missing(trainer("val/auc", schedule="val/auc"), [], "why")
    refuse_missing(trainer("val/accuracy"), ["val/auc"], "why")
    with pytest.raises(
        ConfigurationError, match="EarlyStopping monitors 'val/auc', which does not exist here: why"
    ):
        refuse_missing(trainer("val/accuracy", "val/auc"), ["val/auc"], "why")
    with pytest.raises(ConfigurationError, match="StepLR monitors 'val/eer'"):
        refuse_missing(trainer(schedule="val/eer"), ["val/auc", "val/eer"], "why")
