"""From one loss a task to one step."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self

import torch
from torch import Tensor, nn

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.models.precision import FullPrecisionModule


class LossBalance(FullPrecisionModule, ABC):
    """What makes one loss of those of several tasks.

    It is created without knowing the tasks, so that a configuration can name it by its
    ``class_path``, and then built for them. A subclass implements `total` and `factors`, and
    extends `build` where it has parameters.

    Attributes:
        learns: Whether the factors change in training, so that they are worth a log.
        names: Names of the tasks; empty before `build`.

    Example:
        >>> import torch
        >>> from deepfake_mtl.losses import LossBalance
        >>> class Largest(LossBalance):
        ...     def total(self, losses):
        ...         return losses.max()
        ...     def factors(self):
        ...         return {}
        >>> balance = Largest().build({"binary": 1.0, "manipulation": 1.0})
        >>> balance({"binary": torch.tensor(0.5), "manipulation": torch.tensor(1.5)})
        tensor(1.5000)
    """

    learns: ClassVar[bool] = True
    names: tuple[str, ...] = ()

    def build(self, weights: Mapping[str, float]) -> Self:
        """Prepare for the tasks; called once.

        Args:
            weights: Weight of each task by its name, as configured.

        Returns:
            This balance.

        Raises:
            ConfigurationError: There is no task, or the weights are of no use to this balance.
        """
        if not weights:
            raise ConfigurationError("there is no task whose loss could be balanced")
        self.names = tuple(weights)
        return self

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Return the total of the losses.

        Args:
            losses: One scalar a task.

        Returns:
            A scalar.

        Raises:
            ConfigurationError: The tasks are others than those that it was built for.
        """
        if set(losses) != set(self.names):
            raise ConfigurationError(
                f"losses are of {', '.join(losses)}, but weights of {', '.join(self.names)}"
            )
        return self.total(torch.stack([losses[name] for name in self.names]))

    @abstractmethod
    def total(self, losses: Tensor) -> Tensor:
        """Turn losses [tasks], in the order of `names`, into a scalar."""

    @abstractmethod
    def factors(self) -> dict[str, Tensor]:
        """Return what each loss is multiplied by now, for logs: scalars without a gradient."""


class FixedWeights(LossBalance):
    """The weighted sum, with the weights of the tasks.

    Example:
        >>> import torch
        >>> from deepfake_mtl.losses import FixedWeights
        >>> balance = FixedWeights().build({"binary": 1.0, "manipulation": 0.5})
        >>> balance({"binary": torch.tensor(2.0), "manipulation": torch.tensor(3.0)})
        tensor(3.5000)
    """

    learns = False
    weights: Tensor

    def build(self, weights: Mapping[str, float]) -> Self:
        """Take the weights of the tasks; see `LossBalance.build`.

        Raises:
            ConfigurationError: There is no task, or a weight is negative.
        """
        for name, weight in weights.items():
            if weight < 0:
                raise ConfigurationError(
                    f"task {name}: weight is {weight}, but must not be negative"
                )
        values = torch.tensor(list(weights.values()), dtype=torch.float32)
        # Not in checkpoints: the weights of this run's configuration hold.
        self.register_buffer("weights", values, persistent=False)
        return super().build(weights)

    def total(self, losses: Tensor) -> Tensor:
        """Return the sum of weight * loss."""
        return (self.weights * losses).sum()

    def factors(self) -> dict[str, Tensor]:
        """Return the weights."""
        return dict(zip(self.names, self.weights.clone(), strict=True))


class UncertaintyWeights(LossBalance):
    """Weights that are learnt as uncertainties (Kendall et al., CVPR 2018, arXiv 1705.07115).

    With s = log sigma^2, a parameter for each task that starts at 0, the total is the sum of
    exp(-s) * loss + s / 2: the paper's form for classification, loss / sigma^2 + log sigma
    (section 3.2; its 1/2 before the loss belongs to regression). A contrastive loss takes it too,
    being the cross-entropy of a softmax over keys. For a constant loss the minimum is at
    sigma^2 = 2 * loss. The total may become negative.

    Give the parameter to the optimizer without weight decay, which would pull all weights to 1.

    Example:
        >>> import torch
        >>> from deepfake_mtl.losses import UncertaintyWeights
        >>> balance = UncertaintyWeights().build({"binary": 1.0, "manipulation": 1.0})
        >>> balance({"binary": torch.tensor(2.0), "manipulation": torch.tensor(3.0)}).item()
        5.0
        >>> balance.log_variance.tolist()
        [0.0, 0.0]
    """

    def build(self, weights: Mapping[str, float]) -> Self:
        """Make the parameter; see `LossBalance.build`.

        Raises:
            ConfigurationError: There are fewer than two tasks, or a weight is not 1.
        """
        _refuse_one_task("uncertainty weights", weights)
        if any(weight != 1 for weight in weights.values()):
            raise ConfigurationError(
                "weights of losses are learnt, so that those of the tasks, "
                f"{dict(weights)}, would only shift where they start: leave them at 1"
            )
        self.log_variance = nn.Parameter(torch.zeros(len(weights)))
        return super().build(weights)

    def total(self, losses: Tensor) -> Tensor:
        """Return the sum of exp(-s) * loss + s / 2."""
        return (torch.exp(-self.log_variance) * losses + 0.5 * self.log_variance).sum()

    def factors(self) -> dict[str, Tensor]:
        """Return exp(-s) of each task."""
        values = torch.exp(-self.log_variance.detach())
        return dict(zip(self.names, values, strict=True))


class Steps(Protocol):
    """An optimizer, or what Lightning wraps around one."""

    def zero_grad(self) -> None:
        """Forget the gradients."""

    def step(self) -> Any:  # noqa: ANN401 (whatever the optimizer returns)
        """Change the parameters."""


class GradientBalance(FixedWeights, ABC):
    """What combines the gradients of weighted losses on shared parameters, and makes the step.

    A subclass implements `backward` and `aggregate`. `total` and `factors` are those of the
    weighted sum.

    Example:
        >>> import torch
        >>> from deepfake_mtl.losses import GradientBalance
        >>> class PlainSum(GradientBalance):
        ...     def backward(self, losses, features, shared):
        ...         torch.stack([*losses.values()]).sum().backward()
        ...     def aggregate(self, shared, others=()):
        ...         return self.factors()
        >>> balance = PlainSum().build({"binary": 1.0, "manipulation": 1.0})
        >>> shared = torch.nn.Parameter(torch.tensor(1.0))
        >>> losses = {"binary": 1 * shared, "manipulation": 2 * shared}
        >>> balance.step(torch.optim.SGD([shared], lr=0.25), losses, [shared], [shared], [])
        >>> shared.item()
        0.25
    """

    def build(self, weights: Mapping[str, float]) -> Self:
        """Take the weights of the tasks; see `LossBalance.build`.

        Raises:
            ConfigurationError: There are fewer than two tasks, or a weight is negative.
        """
        _refuse_one_task("gradient surgery", weights)
        return super().build(weights)

    @abstractmethod
    def backward(
        self,
        losses: Mapping[str, Tensor],
        features: Tensor | Sequence[Tensor],
        shared: Iterable[nn.Parameter],
    ) -> None:
        """Add the gradients of a micro-batch; the graph is freed.

        Args:
            losses: One scalar a task, multiplied by its weight.
            features: All tensors through which the losses depend on shared parameters.
            shared: Parameters of the encoder; those that are frozen are passed over.
        """

    @abstractmethod
    def aggregate(
        self, shared: Iterable[nn.Parameter], others: Iterable[nn.Parameter] = ()
    ) -> dict[str, Tensor]:
        """Put the combined gradient into ``.grad``; once for each step of the optimizer.

        All ranks must call it.

        Args:
            shared: The parameters that `backward` was given.
            others: All other trained parameters, whose gradients are averaged over the ranks.

        Returns:
            The factor of each task's gradient in the combination.
        """

    def step(
        self,
        optimizer: Steps,
        losses: Mapping[str, Tensor],
        features: Sequence[Tensor],
        shared: Iterable[nn.Parameter],
        others: Iterable[nn.Parameter],
        *,
        probe_loss: Tensor | None = None,
        scale: Tensor | float = 1.0,
    ) -> None:
        """Make one step of an optimizer of all parameters from one batch.

        Args:
            optimizer: The optimizer.
            losses: One scalar a task, multiplied by its weight.
            features: See `backward`.
            shared: See `backward`.
            others: All other trained parameters.
            probe_loss: A loss that does not depend on the features; None where there is none.
            scale: Scale of the gradients, that of the gradient scaler under float16.
        """
        optimizer.zero_grad()
        parameters = list(shared)
        self.backward({name: scale * loss for name, loss in losses.items()}, features, parameters)
        if probe_loss is not None:
            torch.autograd.backward(scale * probe_loss)
        self.aggregate(parameters, others)
        optimizer.step()


def _refuse_one_task(balance: str, weights: Mapping[str, float]) -> None:
    if len(weights) < 2:
        raise ConfigurationError(
            f"{balance} need several losses, but there is only one task, hence nothing to "
            "balance: use the balance 'fixed'"
        )
