"""Tasks that are learnt by cross-entropy."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from deepfake_mtl.data.records import BINARY_CLASSES, MANIPULATION_CLASSES
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.models.heads import MLPHead
from deepfake_mtl.tasks.base import Features, LabelKey, Task, TaskStep
from deepfake_mtl.tasks.moco import MoCoSettings


class _CrossEntropy(Task):
    """A 3-layer MLP head with softmax and cross-entropy."""

    def __init__(
        self,
        name: str,
        label: LabelKey,
        classes: tuple[str, ...],
        *,
        weight: float,
        class_weights: Sequence[float] | None,
        label_smoothing: float,
        hidden_features: int,
        dropout: float,
    ) -> None:
        super().__init__(name, label, classes, weight=weight)
        self._label_smoothing = label_smoothing
        self._hidden_features = hidden_features
        self._dropout = dropout
        self._class_weights: Tensor | None
        if class_weights is not None and len(class_weights) != len(classes):
            raise ConfigurationError(
                f"task {name}: class_weights has {len(class_weights)} entries, but there are "
                f"{len(classes)} classes: {', '.join(classes)}"
            )
        self.register_buffer(
            "_class_weights",
            None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32),
            persistent=False,
        )

    def build(self, in_features: int, moco: MoCoSettings) -> None:  # noqa: ARG002
        self.head = MLPHead(in_features, len(self.classes), self._hidden_features, self._dropout)

    def learn(self, features: Features, labels: Tensor) -> TaskStep:
        logits: Tensor = self.head(features.first)
        right = (logits.detach().argmax(dim=1) == labels).float()
        return TaskStep(self._loss(logits, labels), None, {"accuracy": right.mean()})

    def predict(self, features: Tensor) -> dict[str, Tensor]:
        return {self.name: self.head(features).float().softmax(dim=1)}

    def validation_figures(self, features: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"loss": self._loss(self.head(features), labels)}

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(
            logits, labels, weight=self._class_weights, label_smoothing=self._label_smoothing
        )


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
            BINARY_CLASSES,
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
