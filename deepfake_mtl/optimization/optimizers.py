"""What makes the steps of a detector: by a short name, or any class that does the same."""

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

from pytorch_lightning.utilities.types import LRSchedulerConfigType, OptimizerLRSchedulerConfig
from torch import nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.losses import FixedWeights, GradientSurgery, LossBalance, UncertaintyWeights
from deepfake_mtl.optimization.step_schedule import StepSchedule

ParameterGroup = dict[str, Any]

OptimizerFactory = Callable[[Iterable[ParameterGroup], float], Optimizer]
"""Makes an optimizer of parameter groups and a learning rate, as the classes of `torch.optim`."""

ScheduleFactory = Callable[[Optimizer], LRScheduler]
"""Makes a schedule of learning rates of an optimizer; `functools.partial` holds its options."""

OptimizerName = Literal["adam", "adamw"]
ScheduleName = Literal["constant", "cosine"]
Interval = Literal["step", "epoch"]
BalanceName = Literal["fixed", "uncertainty", "upgrad", "pcgrad"]

_OPTIMIZERS: Final[dict[str, OptimizerFactory]] = {"adam": Adam, "adamw": AdamW}
_SCHEDULES: Final = ("constant", "cosine")
_BALANCES: Final[dict[str, Callable[[], LossBalance]]] = {
    "fixed": FixedWeights,
    "uncertainty": UncertaintyWeights,
    "upgrad": partial(GradientSurgery, "upgrad"),
    "pcgrad": partial(GradientSurgery, "pcgrad"),
}


@dataclass
class Optimization:
    """How the parameters of a detector are optimized.

    Attributes:
        optimizer: Name of the optimizer, or what makes one.
        learning_rate: Peak learning rate.
        head_learning_rate: Learning rate of the tasks' layers; None takes `learning_rate`.
        weight_decay: Weight decay of all parameters but those of the balance.
        warmup_steps: Optimizer steps in which the learning rate rises linearly.
        schedule: Name of the schedule of learning rates, or what makes one.
        schedule_interval: After what a schedule without a name moves on; None is ``epoch``.

    Raises:
        ConfigurationError: A number is out of range.
    """

    optimizer: OptimizerName | OptimizerFactory = "adam"
    learning_rate: float = 1e-3
    head_learning_rate: float | None = None
    weight_decay: float = 1e-5
    warmup_steps: int = 0
    schedule: ScheduleName | ScheduleFactory = "cosine"
    schedule_interval: Interval | None = None

    def __post_init__(self) -> None:
        rates = [x for x in (self.learning_rate, self.head_learning_rate) if x is not None]
        if min(rates) <= 0 or min(self.weight_decay, self.warmup_steps) < 0:
            raise ConfigurationError(
                f"learning_rate is {self.learning_rate}, head_learning_rate "
                f"{self.head_learning_rate}, weight_decay {self.weight_decay}, warmup_steps "
                f"{self.warmup_steps}: the first two must be positive, the others not negative"
            )

    def configure(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        heads: Iterable[nn.Parameter],
        balance: Iterable[nn.Parameter],
        steps: float,
        manual: bool,
    ) -> OptimizerLRSchedulerConfig:
        """Create the optimizer, with three groups of parameters, and the schedule of its rates.

        Args:
            parameters: All parameters, of which those that are frozen are left out, and those of no
                other group go with the encoders.
            heads: Parameters of the tasks.
            balance: Parameters of the loss balance, which do not decay.
            steps: Steps of the whole training; infinite where nothing ends it.
            manual: Whether the steps are made by hand, so that no schedule is told a metric.

        Raises:
            ConfigurationError: One of them cannot be made, or an option would do nothing.
        """
        head_group, balance_group = _trained(heads), _trained(balance)
        grouped = {id(each) for each in (*head_group, *balance_group)}
        encoders = [each for each in _trained(parameters) if id(each) not in grouped]
        optimizer = self.build_optimizer(
            [
                {"params": encoders},
                {"params": head_group, "lr": self.head_learning_rate or self.learning_rate},
                {"params": balance_group, "weight_decay": 0.0},
            ]
        )
        schedule = self.build_schedule(optimizer, steps)
        if manual and isinstance(schedule["scheduler"], ReduceLROnPlateau):
            raise ConfigurationError(
                "under gradient surgery, Lightning tells schedules no metric to look at: take "
                "another than ReduceLROnPlateau"
            )
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def build_optimizer(self, groups: Sequence[ParameterGroup]) -> Optimizer:
        """Create an optimizer.

        Args:
            groups: Parameters; a group may have a learning rate or weight decay of its own. Empty
                groups are left out.

        Raises:
            ConfigurationError: The name is unknown, weight decay is given twice or is not known to
                the optimizer, or the optimizer refuses its options or the parameters.
        """
        rates = {"lr": self.learning_rate, "weight_decay": self.weight_decay}
        parameters = [{**rates, **group} for group in groups if group["params"]]
        if not parameters:
            raise ConfigurationError("nothing is left to train: every parameter is frozen")
        if not isinstance(self.optimizer, str):
            factory, parameters = self.optimizer, _united(parameters)
        elif self.optimizer in _OPTIMIZERS:
            factory = _OPTIMIZERS[self.optimizer]
        else:
            raise ConfigurationError(
                f"optimizer is {self.optimizer!r}: choose among {', '.join(_OPTIMIZERS)}, or give "
                "a class such as torch.optim.SGD"
            )
        try:
            # Not all take groups: one alone is handed on as what it holds.
            single = parameters[0]["params"] if len(parameters) == 1 else parameters
            built = factory(single, self.learning_rate)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"the optimizer cannot be made: {error}") from error
        _set_weight_decay(built, parameters, self.weight_decay)
        return built

    def build_schedule(self, optimizer: Optimizer, steps: float) -> LRSchedulerConfigType:
        """Create the schedule of learning rates, as Lightning wants it described.

        Args:
            optimizer: Whose rates they are.
            steps: Steps of the whole training; infinite where nothing ends it.

        Raises:
            ConfigurationError: The name is unknown, a cosine has no end, the schedule refuses its
                options, or another option would do nothing.
        """
        interval = self.schedule_interval
        if isinstance(self.schedule, str):
            if interval is not None:
                raise ConfigurationError(
                    f"schedule_interval is {interval!r}, but the schedule {self.schedule!r} "
                    "changes with every step: leave it out"
                )
            factor = _factor(self.schedule, self.warmup_steps, steps)
            return {"scheduler": StepSchedule(optimizer, factor), "interval": "step"}
        if self.warmup_steps:
            raise ConfigurationError(
                f"warmup_steps is {self.warmup_steps}, but belongs to the schedules "
                f"{' and '.join(_SCHEDULES)}: set it to 0, or let your own schedule warm up"
            )
        try:
            scheduler = self.schedule(optimizer)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"the schedule cannot be made: {error}") from error
        config: LRSchedulerConfigType = {"scheduler": scheduler, "interval": interval or "epoch"}
        if isinstance(scheduler, ReduceLROnPlateau):
            monitor = getattr(scheduler, "monitor", None)
            if monitor is None:
                raise ConfigurationError(
                    "ReduceLROnPlateau is not told what to look at: take "
                    "pytorch_lightning.cli.ReduceLROnPlateau, and set its monitor, such as val/auc"
                )
            config["monitor"] = str(monitor)
        return config


def build_balance(balance: BalanceName | LossBalance) -> LossBalance:
    """Return the loss balance of a name; one that was made already as it is.

    Raises:
        ConfigurationError: The name is unknown, or gradient surgery is not installed.
    """
    if isinstance(balance, LossBalance):
        return balance
    if balance not in _BALANCES:
        raise ConfigurationError(
            f"balance is {balance!r}: choose among {', '.join(_BALANCES)}, or give a subclass of "
            "deepfake_mtl.losses.LossBalance"
        )
    return _BALANCES[balance]()


def follow_steps(optimizer: Optimizer, action: Callable[[], None]) -> None:
    """Do something after each step of an optimizer from now on.

    Where a gradient is not finite, a gradient scaler leaves the step out, but calls an optimizer
    that is fused: it is told, and leaves the weights alone. Neither is a step.

    Args:
        optimizer: The optimizer.
        action: What is done.
    """

    def after(stepped: Optimizer, *_: object) -> None:
        if not getattr(stepped, "found_inf", False):
            action()

    optimizer.register_step_post_hook(after)


def _factor(schedule: str, warmup_steps: int, steps: float) -> Callable[[int], float]:
    if schedule not in _SCHEDULES:
        raise ConfigurationError(
            f"schedule is {schedule!r}: choose among {', '.join(_SCHEDULES)}, or give a class such "
            "as torch.optim.lr_scheduler.StepLR"
        )
    if schedule == "cosine" and math.isinf(steps):
        raise ConfigurationError(
            "a cosine schedule needs an end: set `max_epochs` or `max_steps`, "
            'or `schedule="constant"`'
        )

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        if schedule == "constant":
            return 1.0
        progress = (step - warmup_steps) / max(steps - warmup_steps, 1)
        return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))

    return factor


def _trained(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    return [parameter for parameter in parameters if parameter.requires_grad]


def _united(groups: Sequence[ParameterGroup]) -> list[ParameterGroup]:
    """Put groups into one that differ in nothing: not every optimizer takes several."""
    united: list[ParameterGroup] = []
    for group in groups:
        options = {name: value for name, value in group.items() if name != "params"}
        for other in united:
            if {**other, "params": None} == {**options, "params": None}:
                other["params"] = [*other["params"], *group["params"]]
                break
        else:
            united.append({**options, "params": list(group["params"])})
    return united


def _set_weight_decay(
    optimizer: Optimizer, groups: Sequence[ParameterGroup], weight_decay: float
) -> None:
    name = type(optimizer).__name__
    if "weight_decay" not in optimizer.defaults:
        if weight_decay:
            raise ConfigurationError(
                f"weight_decay is {weight_decay}, but {name} has none: set it to 0"
            )
        return
    own = optimizer.defaults["weight_decay"]
    signature = inspect.signature(type(optimizer)).parameters
    if own not in (weight_decay, signature["weight_decay"].default):
        raise ConfigurationError(
            f"weight_decay is {weight_decay} of the detector and {own} of {name}: leave out that "
            "of the optimizer"
        )
    optimizer.defaults["weight_decay"] = weight_decay  # of groups that are added later
    for built, group in zip(optimizer.param_groups, groups, strict=True):
        built["weight_decay"] = group["weight_decay"]
