"""What a task makes of features, against the functions that it is put together from."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from deepfake_mtl.data.records import BINARY_CLASSES, MANIPULATION_CLASSES
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.losses import label_informed_info_nce, nearest_key_accuracy
from deepfake_mtl.metrics import neighbour_vote
from deepfake_mtl.tasks import (
    BinaryContrast,
    BinaryCrossEntropy,
    ContrastiveTask,
    CrossEntropyTask,
    Features,
    ManipulationContrast,
    ManipulationCrossEntropy,
    MoCoSettings,
    Task,
)

BINARY = (BinaryCrossEntropy, BinaryContrast)
MANIPULATION = (ManipulationCrossEntropy, ManipulationContrast)
CROSS_ENTROPY = (BinaryCrossEntropy, ManipulationCrossEntropy)
CONTRAST = (BinaryContrast, ManipulationContrast)
MOCO = MoCoSettings(dim=5, queue_size=11, neighbours=3, momentum=0.75, temperature=0.3)
LABELS = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1])


def built(task: Task, moco: MoCoSettings = MOCO) -> Task:
    torch.manual_seed(0)
    task.build(4, moco)
    return task


def features(seed: int = 0) -> Tensor:
    return torch.randn(8, 4, generator=torch.Generator().manual_seed(seed))


def widths(task: Task) -> set[int]:
    return {p.shape[0] for p in task.parameters()}


@pytest.mark.parametrize("kind", [*BINARY, *MANIPULATION])
def test_what_a_task_is_called_and_of_what_it_is_made(kind: type[Task]) -> None:
    name, label, classes = (
        ("binary", "is_fake", BINARY_CLASSES)
        if kind in BINARY
        else ("manipulation", "manipulation", MANIPULATION_CLASSES)
    )
    task = built(kind())
    assert (task.name, task.label, task.classes, task.weight) == (name, label, classes, 1)
    assert 512 in widths(task)
    assert 512 not in widths(built(kind(hidden_features=7)))
    assert 7 in widths(built(kind(hidden_features=7)))
    assert kind(weight=0.0).weight == 0
    probabilities = task.predict(features())
    assert tuple(probabilities) == task.predictor_names
    for each in probabilities.values():
        assert each.dtype == torch.float32
        assert each.shape == (8, len(classes))
        torch.testing.assert_close(each.sum(dim=1), torch.ones(8))


@pytest.mark.parametrize("kind", CROSS_ENTROPY)
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_is_that_of_pytorch(
    kind: type[Task], smoothing: float, weighted: bool
) -> None:
    weights = list(range(1, len(kind().classes) + 1)) if weighted else None
    task = built(kind(label_smoothing=smoothing, class_weights=weights))
    given = features()
    # Logits may be shifted: the logarithm of probabilities does as well.
    logits = task.predict(given)[task.name].log()
    expected = functional.cross_entropy(
        logits,
        LABELS,
        weight=None if weights is None else torch.tensor(weights, dtype=torch.float32),
        label_smoothing=smoothing,
    )
    step = task.learn(Features(given), LABELS)
    torch.testing.assert_close(step.loss, expected)
    torch.testing.assert_close(task.validation_metrics(given, LABELS), {"loss": expected})
    assert step.probe_loss is None
    assert set(step.metrics) == {"accuracy"}
    assert step.metrics["accuracy"] == (logits.argmax(dim=1) == LABELS).float().mean()
    assert not task.state_dict().keys() & {"_class_weights"}


def test_a_task_of_ones_own_has_the_same_defaults() -> None:
    own = built(CrossEntropyTask("binary", "is_fake", BINARY_CLASSES))
    plain = built(BinaryCrossEntropy())
    assert own.weight == plain.weight
    losses = [task.learn(Features(features()), LABELS).loss for task in (own, plain)]
    assert torch.equal(*losses)


@pytest.mark.parametrize("kind", [*BINARY, *MANIPULATION])
def test_settings_that_make_no_sense_are_refused(kind: type[Task]) -> None:
    with pytest.raises(ConfigurationError, match=r"weight is -0\.1, but must not be negative"):
        kind(weight=-0.1)
    if kind in CROSS_ENTROPY:
        with pytest.raises(ConfigurationError, match=r"has 3 entries, but there are [25] classes"):
            kind(class_weights=[1, 1, 1])


@pytest.mark.parametrize("kind", CROSS_ENTROPY)
def test_dropout_is_in_training_alone_and_only_where_asked_for(kind: type[Task]) -> None:
    def differs(task: Task) -> bool:
        first, second = (task.learn(Features(features()), LABELS).loss for _ in range(2))
        return not torch.equal(first, second)

    plain = built(kind())
    assert not differs(plain)
    trained = plain.learn(Features(features()), LABELS).loss
    assert torch.equal(trained, plain.eval().learn(Features(features()), LABELS).loss)
    assert differs(built(kind(dropout=0.5)))
    assert not differs(built(kind(dropout=0.5)).eval())


def contrastive(kind: type[ContrastiveTask]) -> ContrastiveTask:
    """A task with a full queue, whose keys no longer are its queries."""
    task = built(kind(hidden_features=8))
    assert isinstance(task, ContrastiveTask)
    for seed in (5, 6):
        task.queue.enqueue(task.key_projection(features(seed)), LABELS.roll(seed))
    with torch.no_grad():
        for parameter in task.projection.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return task


@pytest.mark.parametrize("kind", CONTRAST)
@pytest.mark.parametrize("symmetric", [False, True])
def test_a_step_of_contrast(kind: type[ContrastiveTask], symmetric: bool) -> None:
    task = contrastive(kind)
    first, second, first_key, second_key = (features(seed).requires_grad_() for seed in range(4))
    stored = task.queue.snapshot()

    def contrast(query: Tensor, key: Tensor) -> Tensor:
        return label_informed_info_nce(
            task.projection(query), task.key_projection(key), LABELS, *stored, temperature=0.3
        )

    loss = contrast(first, second_key)
    if symmetric:
        loss = (loss + contrast(second, first_key)) / 2
    logits = task.predict(first)[task.name].log()
    given = (first, second, first_key, second_key) if symmetric else (first, None, None, second_key)
    step = task.learn(Features(*given), LABELS)
    torch.testing.assert_close(step.loss, loss)
    torch.testing.assert_close(step.probe_loss, functional.cross_entropy(logits, LABELS))
    assert step.metrics == {
        "accuracy": (logits.argmax(dim=1) == LABELS).float().mean(),
        "nearest_key_accuracy": nearest_key_accuracy(task.projection(first), LABELS, *stored),
    }
    # The probe learns, and sends no gradient to the encoder; keys get none.
    assert torch.autograd.grad(step.probe_loss, first, retain_graph=True, allow_unused=True) == (
        None,
    )
    step.loss.backward()
    assert first.grad is not None
    assert second_key.grad is first_key.grad is None
    # The newest keys are in the queue, in the order of the two directions.
    newest = task.key_projection(first_key if symmetric else second_key)
    slots = (task.queue.pointer - 8 + torch.arange(8)) % 11
    torch.testing.assert_close(task.queue.keys[slots], functional.normalize(newest))
    assert torch.equal(task.queue.labels[slots], LABELS)


class Towards(nn.Module):
    """Pulls queries to their own keys, and to the first of their class in the queue."""

    def forward(
        self, queries: Tensor, keys: Tensor, labels: Tensor, queue: Tensor, queue_labels: Tensor
    ) -> Tensor:
        nearest = queue[(labels[:, None] == queue_labels).int().argmax(1)]
        return (queries - keys).square().mean() + (queries - nearest).square().mean()


@pytest.mark.parametrize("kind", CONTRAST)
def test_another_loss_stands_in_the_place_of_info_nce(kind: type[ContrastiveTask]) -> None:
    task, given = contrastive(kind), [features(seed) for seed in range(4)]
    task.loss = kind(loss=Towards()).loss
    (queue, labels), projected = task.queue.snapshot(), [task.projection(each) for each in given]
    keys = [task.key_projection(each) for each in given]
    expected = Towards()(projected[0], keys[3], LABELS, queue, labels)
    expected = (expected + Towards()(projected[1], keys[2], LABELS, queue, labels)) / 2
    torch.testing.assert_close(task.learn(Features(*given), LABELS).loss, expected)


@pytest.mark.parametrize("kind", CONTRAST)
def test_neighbours_vote_by_the_settings(kind: type[ContrastiveTask]) -> None:
    task, given = contrastive(kind), features(7)
    expected = neighbour_vote(
        task.projection(given),
        *task.queue.snapshot(),
        len(task.classes),
        k=3,
        temperature=0.3,
    )
    assert task.predictor_names == (task.name, f"{task.name}_neighbours")
    torch.testing.assert_close(task.predict(given)[f"{task.name}_neighbours"], expected)
    logits = task.predict(given)[task.name].log()
    torch.testing.assert_close(
        task.validation_metrics(given, LABELS),
        {"probe_loss": functional.cross_entropy(logits, LABELS)},
    )


def test_the_key_projection_follows_by_the_momentum() -> None:
    task = contrastive(BinaryContrast)
    before = [p.detach().clone() for p in task.key_projection.parameters()]
    task.update_keys()
    for old, new, query in zip(
        before, task.key_projection.parameters(), task.projection.parameters(), strict=True
    ):
        torch.testing.assert_close(new, 0.75 * old + 0.25 * query)


def test_contrast_needs_keys() -> None:
    with pytest.raises(ValueError, match="binary needs keys of the second views"):
        contrastive(BinaryContrast).learn(Features(features()), LABELS)


@pytest.mark.parametrize("name", ["dim", "queue_size", "temperature", "neighbours"])
def test_settings_must_be_positive(name: str) -> None:
    for value in (0, -1):
        with pytest.raises(ConfigurationError, match=rf"moco.{name} is {value}, but must be pos"):
            replace(MOCO, **{name: value})
    assert getattr(replace(MOCO, **{name: 1}), name) == 1


def test_the_momentum_has_a_range_and_all_settings_a_default() -> None:
    for value in (-0.1, 1.1):
        with pytest.raises(ConfigurationError, match="must be from 0 to 1"):
            replace(MOCO, momentum=value)
    for value in (0, 1):
        assert replace(MOCO, momentum=value).momentum == value
    assert MoCoSettings() == MoCoSettings(
        dim=128,
        queue_size=2048,
        momentum=0.999,
        temperature=0.07,
        symmetric=False,
        batch_norm_remedy="none",
        neighbours=20,
    )
