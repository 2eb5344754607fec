"""Options of the optimizer on resume: those of the configuration hold, not the checkpoint's."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pytorch_lightning as pl
from torch.optim import lr_scheduler
from torch.optim.lr_scheduler import LambdaLR

from deepfake_mtl.errors import ConfigurationError

_PEAK: Final = "initial_lr"
"""What a schedule multiplies."""

_OF_SCHEDULES: Final = frozenset({_PEAK, "max_lr", "min_lr", "max_momentum", "base_momentum"})
"""What schedules note in the groups of an optimizer."""

_DERIVED: Final = frozenset({"_schedule_phases", "_milestones", "max_lrs", "total_size"})
"""What schedules of PyTorch make of options that they do not keep."""


class ConfiguredOptions:
    """Options of optimizers and schedules as configured, before a checkpoint's replace them.

    Lightning restores optimizers and schedules whole, so that another learning rate, weight decay
    or length of a schedule would stand in the records of a resumed training and nowhere else.

    Options are what a class is made with. What else stands in groups or schedules, such as the
    running estimates of some optimizers, is theirs.

    Args:
        trainer: Trainer with optimizers and schedules as configured.
    """

    def __init__(self, trainer: pl.Trainer) -> None:
        self._groups = [
            [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
            for optimizer in trainer.optimizers
        ]
        self._schedules = [
            (each.scheduler, _options(each.scheduler), frozenset(vars(each.scheduler)))
            for each in trainer.lr_scheduler_configs
        ]

    def apply(self, trainer: pl.Trainer) -> list[str]:
        """Put options as configured in the place of those that a checkpoint brought back.

        Moments and the place in the schedule stay as restored. Where nothing was changed, nothing
        changes.

        Args:
            trainer: Trainer with optimizers and schedules as restored.

        Returns:
            What has changed, for people.

        Raises:
            ConfigurationError: The schedule is another one; or the learning rate was changed under
                a schedule that goes from one rate to the next, so that nobody knows where it would
                be.
        """
        for schedule, options, names in self._schedules:
            _refuse_another_schedule(schedule, options, names)
        changes: dict[str, None] = {}
        for optimizer, groups in zip(trainer.optimizers, self._groups, strict=True):
            configs = trainer.lr_scheduler_configs
            own = [each.scheduler for each in configs if each.scheduler.optimizer is optimizer]
            known = {"lr", _PEAK, "weight_decay", *_parameters(type(optimizer))}
            for group, options in zip(optimizer.param_groups, groups, strict=True):
                # Momentary values are the schedule's; without one there are no others.
                moved = {"lr"} if own else set()
                if "max_momentum" in group:
                    moved |= {"momentum", "betas"}
                for name, value in options.items():
                    if name not in known - moved or group.get(name) == value:
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


def refuse_another_optimizer(trainer: pl.Trainer) -> None:
    """Refuse to give an optimizer what one of another class has kept.

    Args:
        trainer: Trainer with optimizers as configured, before they are restored from a checkpoint.

    Raises:
        ConfigurationError: They have other options, or divide the parameters otherwise.
    """
    checkpoint: Mapping[str, Any] = trainer._checkpoint_connector._loaded_checkpoint  # noqa: SLF001
    states: Sequence[Mapping[str, Any]] = checkpoint.get("optimizer_states", [])
    for optimizer, state in zip(trainer.optimizers, states, strict=False):
        saved, groups = state.get("param_groups", []), optimizer.param_groups
        name = type(optimizer).__name__
        for before, now in zip(saved, groups, strict=False):
            odd = before.keys() - now.keys() - _OF_SCHEDULES
            if odd and now.keys() - before.keys() - _OF_SCHEDULES:
                raise ConfigurationError(
                    f"the optimizer is {name}, but the checkpoint was trained with another, which "
                    f"has {', '.join(sorted(odd))}: give that, or begin a new training"
                )
        counts = [[len(group["params"]) for group in each] for each in (saved, groups)]
        if saved and counts[0] != counts[1]:
            raise ConfigurationError(
                f"the groups of {name} have {counts[1]} parameters, but those of the checkpoint "
                f"{counts[0]}: give the optimizer, head_learning_rate and balance that it was "
                "trained with, and freeze the same, or begin a new training"
            )


def _refuse_another_schedule(
    schedule: object, options: Mapping[str, object], names: frozenset[str]
) -> None:
    restored = _options(schedule)
    for name, value in options.items():
        if restored[name] != value:
            raise ConfigurationError(
                f"{name.lstrip('_')} of {type(schedule).__name__} is {value}, but the checkpoint "
                f"was trained with {restored[name]}, and a schedule cannot go on as another: give "
                "that, or begin a new training"
            )
    # Schedules take up whatever is restored, that of another class, too.
    kinds = {each for each in vars(lr_scheduler).values() if inspect.isclass(each)}
    of_some = {"lr_lambdas"}.union(*map(_parameters, kinds))
    odd = (vars(schedule).keys() - names) & of_some
    if odd:
        raise ConfigurationError(
            f"the schedule is {type(schedule).__name__}, but the checkpoint was trained with "
            f"another, which has {', '.join(sorted(odd))}: give that, or begin a new training"
        )


def _options(schedule: object) -> dict[str, object]:
    """Return what a schedule was made with, as far as it keeps it, and that of those within."""
    progress = {"optimizer", "last_epoch"}
    names = {*_parameters(type(schedule)), *_DERIVED} - progress
    own = {name: value for name, value in vars(schedule).items() if name in names}
    for index, each in enumerate(getattr(schedule, "_schedulers", ())):
        own.update({f"{name} ({index})": value for name, value in _options(each).items()})
    return own


def _parameters(kind: type) -> set[str]:
    """Return the names of what a class and those that it derives from are made with."""
    made = [vars(each).get("__init__") for each in kind.__mro__]
    return {
        n for each in made if inspect.isfunction(each) for n in inspect.signature(each).parameters
    }


def _follow(schedule: LambdaLR) -> None:
    """Compute the rates of the present step, as the schedule itself does."""
    # Groups that a callback has added since have no schedule.
    groups = schedule.optimizer.param_groups[: len(schedule.lr_lambdas)]
    schedule.base_lrs = [group[_PEAK] for group in groups]
    for group, factor in zip(groups, schedule.lr_lambdas, strict=True):
        group["lr"] = group[_PEAK] * factor(schedule.last_epoch)
    schedule._last_lr = [group["lr"] for group in groups]  # noqa: SLF001 (of get_last_lr)
