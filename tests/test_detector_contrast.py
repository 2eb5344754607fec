"""Label-informed MoCo inside the detector: what a loop of a training must keep right."""

import copy
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import MixedPrecision
from torch import Tensor

from deepfake_mtl.detector import Detector
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.losses import label_informed_info_nce
from deepfake_mtl.models import KeyQueue, MomentumEncoder
from deepfake_mtl.tasks import (
    BinaryContrast,
    BinaryCrossEntropy,
    ContrastiveTask,
    ManipulationContrast,
    ManipulationCrossEntropy,
    MoCoSettings,
    Task,
)
from tests.worlds import TinyEncoder, loader, trainer

LABELS = [0, 1, 0, 2, 3, 0, 4]
MOCO = MoCoSettings(dim=5, queue_size=11, neighbours=3, momentum=0.9)


def tasks(names: str = "con con") -> list[Task]:
    """Tasks for real or fake and, where there is a second word, for the manipulation."""
    kinds: list[dict[str, Any]] = [
        {"ce": BinaryCrossEntropy, "con": BinaryContrast},
        {"ce": ManipulationCrossEntropy, "con": ManipulationContrast},
    ]
    return [kind[word](hidden_features=8) for kind, word in zip(kinds, names.split(), strict=False)]


def detector(names: str = "con con", *, norm: bool = False, **options: object) -> Detector:
    torch.manual_seed(0)
    defaults = {"learning_rate": 0.05, "moco": MOCO, "schedule": "constant"}
    return Detector(TinyEncoder(norm), tasks(names), **{**defaults, **options})


def remedy(name: str) -> MoCoSettings:
    return replace(MOCO, batch_norm_remedy=name)


def silent(model: Detector) -> Detector:
    """Let steps run without a trainer that is in a loop."""
    model.trainer = pl.Trainer(logger=False, accelerator="cpu", enable_checkpointing=False)
    model.log = lambda *_, **__: None
    return model


def contrastive(model: Detector) -> list[ContrastiveTask]:
    return [task for task in model.network.tasks.values() if isinstance(task, ContrastiveTask)]


def key_weights(model: Detector) -> list[Tensor]:
    copies = [*model.key_encoders.values(), *(task.key_projection for task in contrastive(model))]
    return [p.detach().clone() for each in copies for p in each.parameters()]


def query_weights(model: Detector) -> list[Tensor]:
    sources = [model.network.encoder, *(task.projection for task in contrastive(model))]
    return [p.detach().clone() for each in sources for p in each.parameters()]


class Snapshots(pl.Callback):
    """Weights before the training and at every checkpoint that a callback could write."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, list[Tensor], list[Tensor]]] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Detector, *_: object) -> None:
        self.seen.append((trainer.global_step, query_weights(pl_module), key_weights(pl_module)))


@pytest.mark.parametrize("micro_batches", [1, 3])
def test_keys_follow_once_a_step_of_the_optimizer(micro_batches: int, tmp_path: Path) -> None:
    model, spy = detector("con con"), Snapshots()
    keys = key_weights(model)
    for key, query in zip(keys, query_weights(model), strict=True):
        assert torch.equal(key, query)
    data = loader(LABELS * 2, batch_size=4, views=2)
    run = trainer(tmp_path, accumulate_grad_batches=micro_batches, callbacks=[spy])
    run.fit(model, data)
    assert run.global_step == -(-len(data) // micro_batches) < len(data) + 1
    step = 0
    for now, queries, actual in spy.seen:
        if now > step:
            step = now
            keys = [0.9 * old + 0.1 * new for old, new in zip(keys, queries, strict=True)]
        # Between steps they stand still; a callback's checkpoint already holds the update.
        torch.testing.assert_close(actual, keys)
    assert step == run.global_step


@pytest.mark.parametrize("fused", [False, True])
def test_keys_stay_where_a_gradient_scaler_skips_the_step(fused: bool, tmp_path: Path) -> None:
    class Infinite(Snapshots):
        def on_after_backward(self, trainer: pl.Trainer, pl_module: Detector) -> None:
            if trainer.global_step == 1 and len(self.seen) == 1:
                pl_module.network.encoder.first.weight.grad[0, 0] = float("inf")

    model, spy = detector(optimizer=partial(torch.optim.Adam, fused=fused)), Infinite()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    plugin = MixedPrecision("16-mixed", "cpu", scaler)
    run = trainer(tmp_path, plugins=plugin, callbacks=[spy])
    run.fit(model, loader(LABELS, batch_size=4, views=2))
    assert scaler.get_scale() == 2.0**11
    moved = [
        [
            any(not torch.equal(*pair) for pair in zip(a[kind], b[kind], strict=True))
            for kind in (1, 2)
        ]
        for a, b in pairwise(spy.seen)
    ]
    assert moved == [[False, False], *[[True, True]] * (len(spy.seen) - 2)]


def test_a_step_equals_plain_pytorch() -> None:
    """The same losses and gradients as the building blocks, put together by hand."""
    model = silent(detector("con con"))
    plain = copy.deepcopy(model)
    encoder, heads = plain.network.encoder, [task.projection for task in contrastive(plain)]
    key_encoder, key_heads = MomentumEncoder(encoder), [MomentumEncoder(head) for head in heads]
    queues = [KeyQueue(11, 5), KeyQueue(11, 5)]
    # Batches of four in a queue of eleven, the last one of two.
    for batch in loader(LABELS, batch_size=4, views=2):
        features, second = encoder(batch["clip"]), key_encoder(batch["second_clip"])
        total = torch.zeros(())
        for head, key_head, queue, label in zip(
            heads, key_heads, queues, ("is_fake", "manipulation"), strict=True
        ):
            keys = key_head(second)
            stored = queue.snapshot()
            total = total + label_informed_info_nce(head(features), keys, batch[label], *stored)
            queue.enqueue(keys, batch[label])
        plain.zero_grad()
        total.backward()
        model.zero_grad()
        loss = model.training_step(batch, 0)
        assert loss is not None
        loss.backward()
        torch.testing.assert_close(
            [p.grad for p in model.network.encoder.parameters()],
            [p.grad for p in encoder.parameters()],
        )
    for task, queue in zip(contrastive(model), queues, strict=True):
        assert torch.equal(task.queue.labels, queue.labels)
        torch.testing.assert_close(task.queue.keys, queue.keys)
        assert int(task.queue.pointer) == 14 % 11
        # The momentum networks never get a gradient, and the probe sends none to the encoder.
        assert all(p.grad is None for p in task.key_projection.parameters())
        assert all(p.grad is not None for p in task.probe.parameters())
    assert all(p.grad is None and not p.requires_grad for p in model.key_encoders.parameters())


def test_symmetric_is_the_mean_of_both_directions() -> None:
    batch = next(iter(loader(LABELS, batch_size=4, views=2)))
    swapped = {**batch, "clip": batch["second_clip"], "second_clip": batch["clip"]}
    before = next(iter(loader(LABELS[::-1], batch_size=4, views=2)))
    losses = []
    for symmetric, given in ((False, batch), (False, swapped), (True, batch)):
        model = silent(detector("con", moco=replace(MOCO, symmetric=symmetric)))
        contrastive(model)[0].queue.enqueue(
            model.key_encoders["binary"](before["clip"]).repeat(1, 2)[:, :5], before["is_fake"]
        )
        seen: dict[str, Tensor] = {}
        model.loss_observers.append(seen.update)
        model.training_step(given, 0)
        losses.append(seen["binary"])
        queued = contrastive(model)[0].queue.labels[4:]
        assert (queued >= 0).sum() == (7 if symmetric else 4)
    torch.testing.assert_close((losses[0] + losses[1]) / 2, losses[2])


def test_evaluation_does_not_run_the_momentum_encoder(tmp_path: Path) -> None:
    model = detector("con con")
    trainer(tmp_path, max_epochs=2).fit(model, loader(LABELS, views=2))
    with torch.no_grad():
        for copied in (
            *model.key_encoders.values(),
            *(t.key_projection for t in contrastive(model)),
        ):
            for parameter in copied.parameters():
                parameter.fill_(torch.nan)
    (figures,) = trainer(tmp_path).test(model, loader(LABELS), verbose=False)
    assert figures["test/seen/auc"] >= 0
    assert "test/seen/binary_neighbours/auc" in figures
    assert "test/seen/manipulation_neighbours/accuracy" in figures
    table = model.test_table
    assert table is not None
    assert table.outputs.isfinite().all()
    assert table.outputs.shape[1] == len(model.network.column_names) == 1 + 2 * 2 + 2 * 5
    # Each predictor is a distribution over its classes.
    torch.testing.assert_close(
        table.outputs[:, 1:3].sum(1), torch.ones(len(table), dtype=torch.float64)
    )


def test_it_learns_and_both_predictors_tell(tmp_path: Path) -> None:
    labels = [0, 1, 2, 0, 3, 4, 0, 0] * 4
    model = detector("con con", learning_rate=0.02)
    trainer(tmp_path, max_epochs=12).fit(model, loader(labels, 8, views=2, shuffle=True))
    (figures,) = trainer(tmp_path).test(model, loader(labels), verbose=False)
    assert figures["test/seen/balanced_accuracy"] > 0.9
    assert figures["test/seen/binary_neighbours/balanced_accuracy"] > 0.9


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    def run(folder: Path, epochs: int, resume: Path | None = None) -> Detector:
        model = detector("con con", norm=True, schedule="constant")
        saver = pl.callbacks.ModelCheckpoint(folder, filename="last", every_n_train_steps=1)
        fitting = trainer(
            folder,
            max_epochs=epochs,
            enable_checkpointing=True,
            callbacks=[saver],
            deterministic=True,
        )
        fitting.fit(model, loader(LABELS, 4, views=2), ckpt_path=resume)
        return model

    whole = run(tmp_path / "whole", 5)
    run(tmp_path / "part", 2)
    resumed = run(tmp_path / "rest", 5, tmp_path / "part" / "last.ckpt")
    expected = whole.state_dict()
    assert "network.tasks.binary.queue.keys" in expected
    for name, value in resumed.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_separate_encoders_share_nothing() -> None:
    model = silent(detector("con con", separate_encoders=True))
    assert set(model.key_encoders) == {"binary", "manipulation"}
    batch = next(iter(loader(LABELS, views=2)))
    shared = silent(detector("con con"))
    for _ in range(2):  # the very first has no negatives, hence no gradient
        losses: dict[str, Tensor] = {}
        model.loss_observers[:] = [losses.update]
        total, expected = model.training_step(batch, 0), shared.training_step(batch, 0)
    torch.testing.assert_close(total, expected)  # they start alike
    other = list(model.network.other_encoders["manipulation"].parameters())
    first = torch.autograd.grad(
        losses["binary"], [*model.network.encoder.parameters(), *other], allow_unused=True
    )
    assert all(g is not None and g.abs().sum() > 0 for g in first[: len(other)])
    assert all(g is None for g in first[len(other) :])


def test_learnt_weights_do_not_decay(tmp_path: Path) -> None:
    model = detector("ce con", balance="uncertainty", weight_decay=0.5)
    run = trainer(tmp_path)
    run.fit(model, loader(LABELS, views=2))
    (weights,) = model.balance.parameters()
    groups = run.optimizers[0].param_groups
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert decays[id(weights)] == 0
    assert set(decays) == {id(p) for p in model.parameters() if p.requires_grad}
    assert (weights != 0).all()


@pytest.mark.parametrize("names", ["ce ce", "con con"])
def test_surgery_without_conflict_is_the_plain_step(names: str, tmp_path: Path) -> None:
    pytest.importorskip("torchjd")
    ends = []
    for balance in ("fixed", "upgrad"):
        model = detector(names, balance=balance, learning_rate=1e-3)
        for task in model.network.tasks.values():
            task.label = "is_fake"  # the same question twice, by different heads
        if names == "con con":
            first, second = contrastive(model)
            second.projection.load_state_dict(first.projection.state_dict())
            second.key_projection.load_state_dict(first.key_projection.state_dict())
        else:
            head = model.network.tasks["binary"].head.state_dict()
            head["5.weight"] = torch.cat([head["5.weight"], torch.zeros(3, 8)])
            head["5.bias"] = torch.cat([head["5.bias"], torch.full((3,), -1e4)])  # of no weight
            model.network.tasks["manipulation"].head.load_state_dict(head)
        run = trainer(tmp_path, max_steps=4, max_epochs=-1)
        run.fit(model, loader(LABELS, views=2))
        assert run.global_step == 4
        ends.append([*query_weights(model), *key_weights(model)])
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-4, atol=1e-6)


def test_what_would_do_nothing_is_refused(tmp_path: Path) -> None:
    def message(model: Detector, views: int = 2, **options: object) -> str:
        with pytest.raises(ConfigurationError) as error:
            trainer(tmp_path, **options).fit(model, loader(LABELS, views=views))
        return str(error.value)

    assert "`second_view`" in message(detector("ce con"), views=1)
    assert "does nothing on one rank" in message(detector(norm=True, moco=remedy("shuffle")))
    assert "does nothing on one rank" in message(detector(norm=True, moco=remedy("sync")))
    assert "no task is contrastive" in message(detector("ce", moco=remedy("shuffle")))
    for options, expected in (
        ({"names": "con", "balance": "uncertainty"}, "only one task"),
        ({"balance": "upgrad", "separate_encoders": True}, "share nothing"),
        ({"balance": "loudest"}, "choose among fixed"),
        ({"moco": remedy("average")}, "no BatchNorm"),
    ):
        with pytest.raises(ConfigurationError, match=expected):
            detector(**options)
    with pytest.raises(ConfigurationError, match="leave them at 1"):
        Detector(
            TinyEncoder(),
            [BinaryCrossEntropy(weight=2.0), ManipulationCrossEntropy()],
            balance="uncertainty",
        )
    for settings, expected in (
        ({"temperature": 0}, "temperature is 0, but must be positive"),
        ({"momentum": 1.1}, "from 0 to 1"),
        ({"batch_norm_remedy": "prayer"}, "choose among none, shuffle, sync, average"),
    ):
        with pytest.raises(ConfigurationError, match=expected):
            MoCoSettings(**settings)
