"""Options of the optimizer on resume: those of the configuration hold, not the checkpoint's."""

from collections.abc import Sequence
from typing import Any, Final

from pytorch_lightning.utilities.types import LRSchedulerConfig
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from deepfake_mtl.errors import ConfigurationError

GroupOptions = list[dict[str, Any]]

_PEAK: Final = "initial_lr"
"""What a schedule multiplies."""


def options_of(optimizers: Sequence[Optimizer]) -> list[GroupOptions]:
    """Return the options of each group of parameters of each optimizer."""
    return [
        [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
        for optimizer in optimizers
    ]


def apply_options(
    optimizers: Sequence[Optimizer],
    schedules: Sequence[LRSchedulerConfig],
    configured: Sequence[GroupOptions],
) -> list[str]:
    """Put options as configured in the place of those that a checkpoint brought back.

    Lightning restores optimizers and schedules whole, so that another learning rate or weight decay
    would stand in the records of a resumed training and nowhere else. Moments and the place in the
    schedule stay as restored. Where nothing was changed, nothing changes.

    Args:
        optimizers: Optimizers as restored.
        schedules: Schedules as restored.
        configured: What `options_of` returned before.

    Returns:
        What has changed, for people.

    Raises:
        ConfigurationError: The learning rate was changed under a schedule that goes from one rate
            to the next, so that nobody knows where it would be.
    """
    changes: dict[str, None] = {}
    for optimizer, groups in zip(optimizers, configured, strict=True):
        own = [each.scheduler for each in schedules if each.scheduler.optimizer is optimizer]
        for group, options in zip(optimizer.param_groups, groups, strict=True):
            for name, value in options.items():
                # The momentary rate is the schedule's; without one there is no other.
                if (name == "lr" and own) or group.get(name) == value:
                    continue
                label = "learning_rate" if name in ("lr", _PEAK) else name
                changes[f"{label} {value} (was {group.get(name)})"] = None
                if name == _PEAK and not all(isinstance(each, LambdaLR) for each in own):
                    raise ConfigurationError(
                        f"learning_rate is {value}, but the checkpoint was trained with "
                        f"{group.get(name)}, and its schedule cannot go on with another: give "
                        "that, or begin a new training"
                    )
                group[name] = value
        for schedule in own:
            if isinstance(schedule, LambdaLR):
                _follow(schedule)
    return list(changes)


def _follow(schedule: LambdaLR) -> None:
    """Compute the rates of the present step, as the schedule itself does."""
    # Groups that a callback has added since have no schedule.
    groups = schedule.optimizer.param_groups[: len(schedule.lr_lambdas)]
    schedule.base_lrs = [group[_PEAK] for group in groups]
    for group, factor in zip(groups, schedule.lr_lambdas, strict=True):
        group["lr"] = group[_PEAK] * factor(schedule.last_epoch)
    schedule._last_lr = [group["lr"] for group in groups]  # noqa: SLF001 (of get_last_lr)
