"""Tasks that are learnt by label-informed MoCo."""

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from deepfake_mtl.losses import label_informed_info_nce, nearest_key_accuracy
from deepfake_mtl.metrics.names import NEIGHBOURS
from deepfake_mtl.metrics.neighbours import neighbour_vote
from deepfake_mtl.models import KeyQueue, MLPHead, MomentumEncoder
from deepfake_mtl.models.precision import without_half
from deepfake_mtl.tasks.base import BINARY, MANIPULATION, Features, Task, TaskStep
from deepfake_mtl.tasks.moco import MoCoSettings


class ContrastiveTask(Task):
    """Label-informed MoCo: clips of one class are drawn together, others pushed apart.

    A query is the projection (a 3-layer MLP) of an encoder's features of a clip. It is compared
    with keys, which a momentum encoder and a momentum projection make of second views: its own, and
    those of earlier batches in a queue with their labels. Positives are the own key and every key
    in the queue of the same class (UberNCE of CoCLR, Han et al., NeurIPS 2020, arXiv 2010.09709).
    Slots of the queue that are still empty are left out of the loss. The queue starts empty, so
    that the very first batch has no negatives, and a loss of zero.

    A contrastive task has no classes among its outputs. Two predictors give some, neither of which
    trains the encoder; the paper does not say what it does here, so both are assumptions:

    - ``<name>``: an online probe, a 3-layer MLP that learns by cross-entropy on features that are
      detached from the encoder;
    - ``<name>_neighbours``: a vote of the keys in the queue that are nearest to the query of the
      clip. The momentum encoder is not run in evaluation.

    Args:
        name: See `Task`; likewise `label`, `classes` and `weight`.
        label: Key of the labels; see `Task`.
        classes: Names of the classes; see `Task`.
        weight: Factor of the loss; see `Task`.
        hidden_features: Width of the hidden layers of projection and probe.
        loss: Loss in the place of `deepfake_mtl.losses.label_informed_info_nce`: a module that
            turns queries and their own keys (float, B x D each), labels (int64, B), and keys and
            labels of the queue (K x D, and K, -1 for empty slots) into a scalar. The temperature of
            `moco` is then that of the vote alone.
    """

    logged = (
        *("train/loss", "train/probe_loss", "train/accuracy", "train/nearest_key_accuracy"),
        "val/probe_loss",
    )

    def __init__(
        self,
        name: str,
        label: str,
        classes: tuple[str, ...],
        *,
        weight: float,
        hidden_features: int,
        loss: nn.Module | None = None,
    ) -> None:
        super().__init__(name, label, classes, weight=weight)
        self.loss = loss
        self._hidden_features = hidden_features

    @property
    def predictor_names(self) -> tuple[str, ...]:
        """Return the names of the probe and of the vote."""
        return (self.name, self.name + NEIGHBOURS)

    def build(self, in_features: int, moco: MoCoSettings) -> None:
        """See `Task.build`."""
        self._moco = moco
        self.queue = KeyQueue(moco.queue_size, moco.dim)
        self.projection = MLPHead(in_features, moco.dim, self._hidden_features)
        self.key_projection = MomentumEncoder(self.projection)
        self.probe = MLPHead(in_features, len(self.classes), self._hidden_features)

    def learn(self, features: Features, labels: Tensor) -> TaskStep:
        """See `Task.learn`; puts the keys into the queue, so all ranks must call it."""
        if features.second_key is None:
            raise ValueError(f"task {self.name} needs keys of the second views")
        stored = self.queue.snapshot()
        queries = self.projection(features.first)
        keys = self.key_projection(features.second_key)
        loss = self._contrast(queries, keys, labels, stored)
        self.queue.enqueue(keys, labels, equal_ranks=features.equal_ranks)
        if features.second is not None and features.first_key is not None:
            other_keys = self.key_projection(features.first_key)
            other = self._contrast(self.projection(features.second), other_keys, labels, stored)
            loss = (loss + other) / 2
            self.queue.enqueue(other_keys, labels, equal_ranks=features.equal_ranks)
        logits = self.probe(features.first.detach())
        metrics = {
            "accuracy": (logits.detach().argmax(dim=1) == labels).float().mean(),
            "nearest_key_accuracy": nearest_key_accuracy(queries, labels, *stored),
        }
        return TaskStep(loss, functional.cross_entropy(without_half(logits), labels), metrics)

    def predict(self, features: Tensor) -> dict[str, Tensor]:
        """See `Task.predict`."""
        vote = neighbour_vote(
            self.projection(features),
            self.queue.keys,
            self.queue.labels,
            len(self.classes),
            self._moco.neighbours,
            self._moco.temperature,
        )
        return {
            self.name: self.probe(features).float().softmax(dim=1),
            self.name + NEIGHBOURS: vote.float(),
        }

    def validation_metrics(self, features: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return the loss of the probe; see `Task.validation_metrics`."""
        return {"probe_loss": functional.cross_entropy(without_half(self.probe(features)), labels)}

    def update_keys(self) -> None:
        """Let the key projection follow; once for each step of the optimizer, after it."""
        self.key_projection.update(self.projection, self._moco.momentum)

    def _contrast(
        self, queries: Tensor, keys: Tensor, labels: Tensor, stored: tuple[Tensor, Tensor]
    ) -> Tensor:
        if self.loss is not None:
            loss: Tensor = self.loss(queries, keys, labels, *stored)
            return loss
        return label_informed_info_nce(
            queries, keys, labels, *stored, temperature=self._moco.temperature
        )


class _Preset(ContrastiveTask):
    """A contrastive task of a certain name, label and classes.

    Args:
        weight: See `ContrastiveTask`; likewise the rest.
        hidden_features: Width of the hidden layers of projection and probe.
        loss: Loss in the place of label-informed InfoNCE.

    Attributes:
        of: Name, label and classes.
    """

    of: ClassVar[tuple[str, str, tuple[str, ...]]]

    def __init__(
        self, weight: float = 1.0, hidden_features: int = 512, loss: nn.Module | None = None
    ) -> None:
        super().__init__(*self.of, weight=weight, hidden_features=hidden_features, loss=loss)


class BinaryContrast(_Preset):
    """Real or fake, by label-informed MoCo; see `ContrastiveTask`.

    Args:
        weight: Factor of the loss in the sum of all tasks' losses (assumption: 1).
        hidden_features: Width of the hidden layers of projection and probe (assumption).
        loss: Loss in the place of label-informed InfoNCE; see `ContrastiveTask`.
    """

    of = BINARY


class ManipulationContrast(_Preset):
    """Which manipulation, or none, by label-informed MoCo; see `ContrastiveTask`.

    Classes are those of `ManipulationCrossEntropy`. That originals are one of them is an
    assumption.

    Args:
        weight: Factor of the loss in the sum of all tasks' losses (assumption: 1).
        hidden_features: Width of the hidden layers of projection and probe (assumption).
        loss: Loss in the place of label-informed InfoNCE; see `ContrastiveTask`.
    """

    of = MANIPULATION
