"""A task: the label that it reads, its layers, its loss, and what its outputs mean."""

from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

from torch import Tensor, nn

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.tasks.moco import MoCoSettings

LabelKey = Literal["is_fake", "manipulation"]


class Features(NamedTuple):
    """What the encoders make of a training batch of B clips, each B x F.

    Attributes:
        first: Of the clips, by the encoder.
        second: Of the second views, by the encoder; where contrast is symmetric.
        first_key: Of the clips, by the momentum encoder, without a gradient; likewise.
        second_key: Of the second views, by the momentum encoder, without a gradient; where a task
            is contrastive.
    """

    first: Tensor
    second: Tensor | None = None
    first_key: Tensor | None = None
    second_key: Tensor | None = None


class TaskStep(NamedTuple):
    """What a task makes of a training batch; all scalars, means over the batch, not yet weighted.

    Attributes:
        loss: Trains the encoder and the task's head.
        probe_loss: Trains a probe on detached features, and nothing else; None where there is none.
        figures: For logs, without a gradient.
    """

    loss: Tensor
    probe_loss: Tensor | None
    figures: dict[str, Tensor]


class Task(nn.Module, ABC):
    """One of the things that a detector learns from the features of its encoder.

    Args:
        name: Prefix of the task's figures in logs and results.
        label: Key of the labels in a batch.
        classes: Names of the classes, by label; the first is what is real.
        weight: Factor of the loss in the sum of all tasks' losses.

    Raises:
        ConfigurationError: The weight is negative.
    """

    def __init__(
        self, name: str, label: LabelKey, classes: tuple[str, ...], *, weight: float
    ) -> None:
        super().__init__()
        if weight < 0:
            raise ConfigurationError(f"task {name}: weight is {weight}, but must not be negative")
        self.name = name
        self.label: LabelKey = label
        self.classes = classes
        self.weight = weight

    @property
    def predictor_names(self) -> tuple[str, ...]:
        """Return the names of the predictors; the first says what the task's score is."""
        return (self.name,)

    @abstractmethod
    def build(self, in_features: int, moco: MoCoSettings) -> None:
        """Make the layers for features of this length; called once by the detector.

        Args:
            in_features: F.
            moco: What all contrastive tasks have in common; for others of no account.
        """

    @abstractmethod
    def learn(self, features: Features, labels: Tensor) -> TaskStep:
        """Return the losses of a training batch.

        Args:
            features: Of B clips.
            labels: Int64 tensor [B].
        """

    @abstractmethod
    def predict(self, features: Tensor) -> dict[str, Tensor]:
        """Turn features (B x F) into probabilities (B x classes, float32) by name of the predictor.

        The names are `predictor_names`.
        """

    @abstractmethod
    def validation_figures(self, features: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return losses of a validation batch (features B x F, labels B) for logs; scalars."""
