"""A task: the label that it reads, its layers, its loss, and what its outputs mean."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Final, NamedTuple

import torch
from torch import Tensor, nn

from deepfake_mtl.data.records import BINARY_CLASSES, MANIPULATION_CLASSES, VideoRecord
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.tasks.moco import MoCoSettings

BINARY: Final = ("binary", "is_fake", BINARY_CLASSES)
"""Name, label and classes of the tasks that tell real from fake."""

MANIPULATION: Final = ("manipulation", "manipulation", MANIPULATION_CLASSES)
"""Name, label and classes of the tasks that tell manipulations apart."""


class Features(NamedTuple):
    """What the encoders make of a training batch of B clips, each B x F.

    Attributes:
        first: Features of the clips, by the encoder.
        second: Features of the second views, by the encoder; where contrast is symmetric.
        first_key: Features of the clips, by the momentum encoder, without a gradient;
            where contrast is symmetric.
        second_key: Features of the second views, by the momentum encoder, without a gradient;
            where a task is contrastive.
        equal_ranks: Whether B is known to be the same on all ranks.
    """

    first: Tensor
    second: Tensor | None = None
    first_key: Tensor | None = None
    second_key: Tensor | None = None
    equal_ranks: bool = False


class TaskStep(NamedTuple):
    """What a task makes of a training batch; all scalars, means over the batch, not yet weighted.

    Attributes:
        loss: Trains the encoder and the task's head.
        probe_loss: Trains a probe on detached features, and nothing else; None where there is none.
        metrics: For logs, without a gradient.
    """

    loss: Tensor
    probe_loss: Tensor | None
    metrics: dict[str, Tensor]


class Task(nn.Module, ABC):
    """One of the things that a detector learns from the features of its encoder.

    A task with a label of its own implements `label_of`. Its predictions are written for every
    video, but no metric of real and fake is computed of them, unless its first class is ``real`` or
    ``original``.

    Args:
        name: Prefix of the task's metrics in logs and results.
        label: Key of the labels in a batch, such as ``is_fake``; or a name of the task's own.
        classes: Names of the classes, by label; the first of a primary task is what is real.
        weight: Factor of the loss in the sum of all tasks' losses.

    Attributes:
        logged: What `learn` (``train/...``) and `validation_metrics` (``val/...``) return for logs:
            ``train/accuracy`` is logged as ``train/<name>/accuracy``. With it, a monitor that does
            not exist is refused before the first step. None where it is not known: a class that has
            one of these methods of its own says it anew.

    Raises:
        ConfigurationError: The weight is negative.
    """

    logged: ClassVar[tuple[str, ...] | None] = None

    def __init_subclass__(cls, **options: Any) -> None:  # noqa: ANN401
        super().__init_subclass__(**options)
        if {"learn", "validation_metrics"} & vars(cls).keys() and "logged" not in vars(cls):
            cls.logged = None

    def __init__(self, name: str, label: str, classes: tuple[str, ...], *, weight: float) -> None:
        super().__init__()
        if weight < 0:
            raise ConfigurationError(f"task {name}: weight is {weight}, but must not be negative")
        self.name = name
        self.label = label
        self.classes = classes
        self.weight = weight

    @property
    def predictor_names(self) -> tuple[str, ...]:
        """Return the names of the predictors; the first says what the task's score is."""
        return (self.name,)

    def label_of(self, record: VideoRecord) -> int:
        """Return the label of a video, for a task whose label is not a key of the batches.

        Args:
            record: What is known of the video without opening it.

        Raises:
            ConfigurationError: The task does not know.
        """
        raise ConfigurationError(
            f"task {self.name}: the batches have no {self.label!r} of {record.key}; name another "
            "label, or let the class of the task implement label_of"
        )

    def labels_of(self, records: Sequence[VideoRecord]) -> Tensor:
        """Return the labels of videos by `label_of`, an int64 tensor [videos].

        Raises:
            ConfigurationError: The task does not know a label, or it is not that of a class.
        """
        labels = [self.label_of(record) for record in records]
        for label, record in zip(labels, records, strict=True):
            if not 0 <= label < len(self.classes):
                raise ConfigurationError(
                    f"task {self.name}: the label of {record.key} is {label}, but there are "
                    f"{len(self.classes)} classes: {', '.join(self.classes)}"
                )
        return torch.tensor(labels, dtype=torch.int64)

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
            features: Features of B clips.
            labels: Int64 tensor [B].
        """

    @abstractmethod
    def predict(self, features: Tensor) -> dict[str, Tensor]:
        """Turn features (B x F) into probabilities (B x classes, float32) by name of the predictor.

        The names are `predictor_names`.
        """

    @abstractmethod
    def validation_metrics(self, features: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return losses of a validation batch (features B x F, labels B) for logs; scalars."""
