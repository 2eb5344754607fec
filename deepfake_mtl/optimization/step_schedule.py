"""A schedule of learning rates whose factor depends on the step alone."""

from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from deepfake_mtl.errors import ConfigurationError


class StepSchedule(LambdaLR):
    """Multiply the learning rate of every group by a factor of the step.

    Unlike in LambdaLR, groups may be added later, as by Lightning's BaseFinetuning, and a rate that
    somebody else has set in between is where the schedule goes on from.

    Args:
        optimizer: Whose rates they are.
        factor: The factor of each step, from 0.
    """

    def __init__(self, optimizer: Optimizer, factor: Callable[[int], float]) -> None:
        super().__init__(optimizer, factor)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where a checkpoint stands.

        Raises:
            ConfigurationError: It is of a schedule of another class.
        """
        if "lr_lambdas" not in state_dict:
            raise ConfigurationError(
                "schedule is constant or cosine, but the checkpoint was trained with a schedule of "
                "another class: give that, or begin a new training"
            )
        super().load_state_dict(state_dict)

    def get_lr(self) -> list[float]:  # type: ignore[override]
        """Return the rates of this step."""
        factor: Callable[[int], float] = self.lr_lambdas[0]
        given: list[Any] = getattr(self, "_last_lr", [])
        before = factor(self.last_epoch - 1) if given else 1.0
        rates = []
        for position, group in enumerate(self.optimizer.param_groups):
            added = position >= len(given)
            if "initial_lr" not in group if added else group["lr"] != given[position]:
                group["initial_lr"] = group["lr"] / before if before else group["lr"]
            rates.append(group["initial_lr"] * factor(self.last_epoch))
        return rates
