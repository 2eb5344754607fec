"""A task: the label that it reads, its head, its loss, and what its outputs mean."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from deepfake_mtl.data.records import MANIPULATION_CLASSES
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.models.heads import MLPHead

LabelKey = Literal["is_fake", "manipulation"]


class Task(nn.Module, ABC):
    """One of the things that a detector learns from the shared features.

    Args:
        name: Prefix of the task's figures in logs and results.
        label: Key of the labels in a batch.
        weight: Factor of the loss in the sum of all tasks' losses.

    Raises:
        ConfigurationError: The weight is negative.
    """

    def __init__(self, name: str, label: LabelKey, weight: float) -> None:
        super().__init__()
        if weight < 0:
            raise ConfigurationError(f"task {name}: weight is {weight}, but must not be negative")
        self.name = name
        self.label: LabelKey = label
        self.weight = weight

    @abstractmethod
    def build(self, in_features: int) -> None:
        """Make the layers for features of this length; called once by the detector."""

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Turn features (B x in_features) into logits (B x classes)."""

    @abstractmethod
    def loss(self, logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the mean loss over a batch, a scalar, not yet weighted."""

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the columns of `probabilities`."""

    @abstractmethod
    def probabilities(self, logits: Tensor) -> Tensor:
        """Turn logits (B x classes) into probabilities in float32 (B x classes)."""

    def fake_probability(self, logits: Tensor) -> Tensor:
        """Return the probability that a clip is manipulated, float32, B."""
        return (1 - self.probabilities(logits)[:, 0]).clamp(0, 1)


class _CrossEntropy(Task):
    """A 3-layer MLP head with softmax and cross-entropy."""

    def __init__(
        self,
        name: str,
        label: LabelKey,
        classes: Sequence[str],
        *,
        weight: float,
        class_weights: Sequence[float] | None,
        label_smoothing: float,
        hidden_features: int,
        dropout: float,
    ) -> None:
        super().__init__(name, label, weight)
        self._classes = tuple(classes)
        self._label_smoothing = label_smoothing
        self._hidden_features = hidden_features
        self._dropout = dropout
        self._class_weights: Tensor | None
        if class_weights is not None and len(class_weights) != len(self._classes):
            raise ConfigurationError(
                f"task {name}: class_weights has {len(class_weights)} entries, but there are "
                f"{len(self._classes)} classes: {', '.join(self._classes)}"
            )
        self.register_buffer(
            "_class_weights",
            None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32),
            persistent=False,
        )

    @property
    def classes(self) -> tuple[str, ...]:
        return self._classes

    def build(self, in_features: int) -> None:
        self.head = MLPHead(in_features, len(self._classes), self._hidden_features, self._dropout)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.head(features)
        return logits

    def loss(self, logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        return functional.cross_entropy(
            logits,
            batch[self.label],
            weight=self._class_weights,
            label_smoothing=self._label_smoothing,
        )

    def probabilities(self, logits: Tensor) -> Tensor:
        return logits.float().softmax(dim=1)


class BinaryCrossEntropy(_CrossEntropy):
    """Real or fake, by cross-entropy.

    Args:
        weight: Factor of the loss in the sum of all tasks' losses (assumption: 1).
        class_weights: Weights of real and fake in the loss; none by default.
        label_smoothing: Share of the target that is spread over both classes.
        hidden_features: Width of the head's hidden layers (assumption).
        dropout: Dropout before the head's last layer (assumption: none).
    """

    def __init__(
        self,
        weight: float = 1.0,
        class_weights: list[float] | None = None,
        label_smoothing: float = 0.0,
        hidden_features: int = 512,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            "binary",
            "is_fake",
            ("real", "fake"),
            weight=weight,
            class_weights=class_weights,
            label_smoothing=label_smoothing,
            hidden_features=hidden_features,
            dropout=dropout,
        )


class ManipulationCrossEntropy(_CrossEntropy):
    """Which manipulation, or none, by cross-entropy.

    There is a class for each manipulation and for originals, whatever is held out, so that a class
    means the same in every fold; the held-out one merely gets no examples. That originals are a
    class of this task is an assumption.

    Args:
        weight: Factor of the loss in the sum of all tasks' losses (assumption: 1).
        class_weights: Weights of original, Deepfakes, Face2Face, FaceSwap and NeuralTextures in
            the loss; none by default.
        label_smoothing: Share of the target that is spread over all classes.
        hidden_features: Width of the head's hidden layers (assumption).
        dropout: Dropout before the head's last layer (assumption: none).
    """

    def __init__(
        self,
        weight: float = 1.0,
        class_weights: list[float] | None = None,
        label_smoothing: float = 0.0,
        hidden_features: int = 512,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            "manipulation",
            "manipulation",
            MANIPULATION_CLASSES,
            weight=weight,
            class_weights=class_weights,
            label_smoothing=label_smoothing,
            hidden_features=hidden_features,
            dropout=dropout,
        )
