"""Tasks that are learnt by cross-entropy."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.models.heads import MLPHead
from deepfake_mtl.models.precision import without_half
from deepfake_mtl.tasks.base import BINARY, MANIPULATION, Features, Task, TaskStep
from deepfake_mtl.tasks.moco import MoCoSettings


class CrossEntropyTask(Task):
    """A 3-layer MLP head with softmax and cross-entropy, or another loss of logits and labels.

    Args:
        name: Prefix of the task's metrics in logs and results.
        label: Key of the labels in a batch, or a name of the task's own; see `Task`.
        classes: Names of the classes, by label.
        weight: Factor of the loss in the sum of all tasks' losses.
        class_weights: Weights of the classes in the loss; none by default.
        label_smoothing: Share of the target that is spread over all classes.
        hidden_features: Width of the head's hidden layers (assumption).
        dropout: Dropout before the head's last layer (assumption: none).
        loss: Loss in the place of cross-entropy: a module that turns logits (float32, B x classes)
            and labels (int64, B) into a scalar.

    Raises:
        ConfigurationError: The weight is negative, there are not as many class weights as classes,
            or an option of cross-entropy is given beside another loss.
    """

    logged = ("train/loss", "train/accuracy", "val/loss")

    def __init__(
        self,
        name: str,
        label: str,
        classes: tuple[str, ...],
        *,
        weight: float = 1.0,
        class_weights: Sequence[float] | None = None,
        label_smoothing: float = 0.0,
        hidden_features: int = 512,
        dropout: float = 0.0,
        loss: nn.Module | None = None,
    ) -> None:
        super().__init__(name, label, classes, weight=weight)
        if loss is not None and (class_weights is not None or label_smoothing):
            raise ConfigurationError(
                f"task {name}: class_weights and label_smoothing are options of cross-entropy, and "
                f"{type(loss).__name__} stands in its place: leave them out"
            )
        self.loss = loss
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
        """Make the head; see `Task.build`."""
        self.head = MLPHead(in_features, len(self.classes), self._hidden_features, self._dropout)

    def learn(self, features: Features, labels: Tensor) -> TaskStep:
        """Return the loss of a training batch; see `Task.learn`."""
        logits: Tensor = self.head(features.first)
        right = (logits.detach().argmax(dim=1) == labels).float()
        return TaskStep(self._loss(logits, labels), None, {"accuracy": right.mean()})

    def predict(self, features: Tensor) -> dict[str, Tensor]:
        """Return the probabilities of the head; see `Task.predict`."""
        return {self.name: self.head(features).float().softmax(dim=1)}

    def validation_metrics(self, features: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return the loss of a validation batch; see `Task.validation_metrics`."""
        return {"loss": self._loss(self.head(features), labels)}

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        logits = without_half(logits)  # on a GPU, autocast would round likelihoods as well
        if self.loss is not None:
            loss: Tensor = self.loss(logits, labels)
            return loss
        return functional.cross_entropy(
            logits, labels, weight=self._class_weights, label_smoothing=self._label_smoothing
        )


class _Preset(CrossEntropyTask):
    """A cross-entropy task of a certain name, label and classes.

    Args:
        weight: See `CrossEntropyTask`; likewise the rest.
        class_weights: Weights of the classes.
        label_smoothing: Share of the target that is spread.
        hidden_features: Width of the head's hidden layers.
        dropout: Dropout before the head's last layer.
        loss: Loss in the place of cross-entropy.

    Attributes:
        of: Name, label and classes.
    """

    of: ClassVar[tuple[str, str, tuple[str, ...]]]

    def __init__(
        self,
        weight: float = 1.0,
        class_weights: list[float] | None = None,
        label_smoothing: float = 0.0,
        hidden_features: int = 512,
        dropout: float = 0.0,
        loss: nn.Module | None = None,
    ) -> None:
        super().__init__(
            *self.of,
            weight=weight,
            class_weights=class_weights,
            label_smoothing=label_smoothing,
            hidden_features=hidden_features,
            dropout=dropout,
            loss=loss,
        )


class BinaryCrossEntropy(_Preset):
    """Real or fake, by cross-entropy.

    Args:
        weight: Factor of the loss in the sum of all tasks' losses (assumption: 1).
        class_weights: Weights of real and fake in the loss; none by default.
        label_smoothing: Share of the target that is spread over both classes.
        hidden_features: Width of the head's hidden layers (assumption).
        dropout: Dropout before the head's last layer (assumption: none).
        loss: Loss in the place of cross-entropy; see `CrossEntropyTask`.
    """

    of = BINARY


class ManipulationCrossEntropy(_Preset):
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
        loss: Loss in the place of cross-entropy; see `CrossEntropyTask`.
    """

    of = MANIPULATION
