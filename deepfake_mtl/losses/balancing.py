"""From one loss a task to the one that is minimised."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.models.precision import FullPrecisionModule


class LossBalance(FullPrecisionModule, ABC):
    """What makes one loss of those of several tasks.

    Args:
        names: Names of the tasks.

    Raises:
        ConfigurationError: There is no task, or one stands twice.

    Example:
        >>> import torch
        >>> from deepfake_mtl.losses import LossBalance
        >>> class Largest(LossBalance):
        ...     def total(self, losses):
        ...         return losses.max()
        ...     def factors(self):
        ...         return {}
        >>> losses = {"binary": torch.tensor(0.5), "manipulation": torch.tensor(1.5)}
        >>> Largest(["binary", "manipulation"])(losses)
        tensor(1.5000)
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        if not names or len(set(names)) < len(names):
            raise ConfigurationError(f"each task is to stand once in the list, got {list(names)}")
        self.names = tuple(names)

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Return the total of the losses.

        Args:
            losses: One scalar a task.

        Returns:
            A scalar.

        Raises:
            ConfigurationError: The tasks are others than those that it was made for.
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
    """The weighted sum.

    Args:
        weights: Weight of each task.

    Raises:
        ConfigurationError: There is no task, or a weight is negative.

    Example:
        >>> import torch
        >>> from deepfake_mtl.losses import FixedWeights
        >>> weights = FixedWeights({"binary": 1.0, "manipulation": 0.5})
        >>> weights({"binary": torch.tensor(2.0), "manipulation": torch.tensor(3.0)})
        tensor(3.5000)
    """

    weights: Tensor

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__(list(weights))
        for name, weight in weights.items():
            if weight < 0:
                raise ConfigurationError(
                    f"task {name}: weight is {weight}, but must not be negative"
                )
        values = torch.tensor(list(weights.values()), dtype=torch.float32)
        # Not in checkpoints: the weights of this run's configuration hold.
        self.register_buffer("weights", values, persistent=False)

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

    Args:
        names: Names of the tasks.

    Raises:
        ConfigurationError: There is no task, or one stands twice.

    Example:
        >>> import torch
        >>> from deepfake_mtl.losses import UncertaintyWeights
        >>> weights = UncertaintyWeights(["binary", "manipulation"])
        >>> weights({"binary": torch.tensor(2.0), "manipulation": torch.tensor(3.0)}).item()
        5.0
        >>> weights.log_variance.tolist()
        [0.0, 0.0]
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(names)
        self.log_variance = nn.Parameter(torch.zeros(len(self.names)))

    def total(self, losses: Tensor) -> Tensor:
        """Return the sum of exp(-s) * loss + s / 2."""
        return (torch.exp(-self.log_variance) * losses + 0.5 * self.log_variance).sum()

    def factors(self) -> dict[str, Tensor]:
        """Return exp(-s) of each task."""
        values = torch.exp(-self.log_variance.detach())
        return dict(zip(self.names, values, strict=True))
