"""Optimizers and schedules by class, and encoders that are frozen for a time."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.cli import ReduceLROnPlateau
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, StepLR

from deepfake_mtl.cli import main
from deepfake_mtl.detector import Detector
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.losses import FixedWeights
from deepfake_mtl.optimization.optimizers import Optimization, StepSchedule
from deepfake_mtl.tasks import BinaryCrossEntropy, ManipulationCrossEntropy
from tests.worlds import TINY, TinyEncoder, loader, trainer

LABELS = [0, 1, 0, 2, 3, 0, 4, 1]


def detector(**options: Any) -> Detector:
    torch.manual_seed(0)
    tasks = [BinaryCrossEntropy(hidden_features=8), ManipulationCrossEntropy(hidden_features=8)]
    return Detector(TinyEncoder(norm=True), tasks, **{"learning_rate": 0.05, **options})


class Multiplied(FixedWeights):
    """As somebody else would write a balance: the sum of the losses, several times."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def total(self, losses: Tensor) -> Tensor:
        return self.factor * super().total(losses)


class Rates(pl.Callback):
    """The learning rates that each step was made with."""

    def __init__(self) -> None:
        self.rows: list[list[float]] = []

    def on_before_optimizer_step(self, _: Any, __: Any, optimizer: Any) -> None:
        self.rows.append([group["lr"] for group in optimizer.param_groups])


class Thaw(pl.callbacks.BaseFinetuning):
    """Freezes the encoder in the first epoch."""

    def freeze_before_training(self, pl_module: Any) -> None:
        self.freeze(pl_module.network.encoder, train_bn=False)

    def finetune_function(self, pl_module: Any, epoch: int, optimizer: Any) -> None:
        if epoch == 1:
            self.unfreeze_and_add_param_group(pl_module.network.encoder, optimizer, lr=0.01)
        elif epoch > 1:  # Lightning freezes again on a resume, and restores the group alone
            self.make_trainable(pl_module.network.encoder)


@pytest.mark.parametrize("name", ["SGD", "RMSprop", "RAdam", "NAdam", "Adagrad", "LBFGS"])
def test_any_optimizer_makes_the_steps_that_it_makes_alone(name: str, tmp_path: Path) -> None:
    """The same losses are followed by the same class in plain PyTorch."""
    kind = getattr(torch.optim, name)
    decay = 0.0 if name == "LBFGS" else 0.01
    # LBFGS makes many steps of one, by which the last bits of float32 grow to all of them.
    options: dict[str, Any] = {"weight_decay": decay} if decay else {"max_iter": 2}
    batches = list(loader(LABELS))

    plain = detector()
    optimizer = kind(list(plain.parameters()), lr=0.05, **options)
    losses = nn.ModuleDict({"binary": nn.CrossEntropyLoss(), "manipulation": nn.CrossEntropyLoss()})

    def loss(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        features = plain.network.encoder(batch["clip"])
        return sum(
            losses[task](plain.network.tasks[task].head(features), batch[label])
            for task, label in (("binary", "is_fake"), ("manipulation", "manipulation"))
        )

    plain.train()
    for batch in batches:

        def closure(batch: dict[str, torch.Tensor] = batch) -> torch.Tensor:
            optimizer.zero_grad()
            value = loss(batch)
            value.backward()
            return value

        optimizer.step(closure)

    factory = kind if decay else partial(kind, **options)
    model = detector(optimizer=factory, schedule="constant", weight_decay=decay)
    trainer(tmp_path).fit(model, loader(LABELS))
    assert type(model.trainer.optimizers[0]) is kind
    for (place, value), (_, expected) in zip(
        model.named_parameters(), plain.named_parameters(), strict=True
    ):
        torch.testing.assert_close(value, expected, msg=place)


def test_a_schedule_by_class_moves_with_epochs_or_steps(tmp_path: Path) -> None:
    for interval, expected in (
        (None, [0.05] * 4 + [0.005] * 4),
        ("step", [0.05 * 0.1**step for step in range(8)]),
    ):
        for balance in ("fixed", "pcgrad"):
            if balance != "fixed":
                pytest.importorskip("torchjd")
            rates = Rates()
            model = detector(
                schedule=partial(StepLR, step_size=1),
                schedule_interval=interval,
                balance=balance,
                head_learning_rate=0.01,
            )
            trainer(tmp_path, max_epochs=2, callbacks=[rates]).fit(model, loader(LABELS))
            assert [row[0] for row in rates.rows] == pytest.approx(expected)
            assert [row[1] for row in rates.rows] == pytest.approx([r / 5 for r in expected])


def test_a_plateau_looks_at_what_it_is_told(tmp_path: Path) -> None:
    model = detector(
        schedule=partial(ReduceLROnPlateau, monitor="train/loss", patience=0, mode="max")
    )
    run = trainer(tmp_path, max_epochs=4)
    run.fit(model, loader(LABELS))
    assert run.lr_scheduler_configs[0].monitor == "train/loss"
    assert run.optimizers[0].param_groups[0]["lr"] < 0.05
    for options, expected in (
        ({"schedule": torch.optim.lr_scheduler.ReduceLROnPlateau}, "not told what to look at"),
        ({"schedule": StepLR}, "cannot be made"),
        ({"schedule": partial(StepLR, step_size=1), "warmup_steps": 3}, "warmup_steps is 3"),
        ({"schedule_interval": "epoch"}, "leave it out"),
        ({"optimizer": torch.optim.Rprop}, "Rprop has none: set it to 0"),
        ({"optimizer": partial(torch.optim.AdamW, weight_decay=0.3)}, "0.3 of AdamW"),
        ({"optimizer": partial(torch.optim.SGD, nesterov=True)}, "cannot be made: Nesterov"),
        ({"optimizer": "adamax"}, "choose among adam, adamw"),
        ({"schedule": "linear"}, "choose among constant, cosine"),
    ):
        with pytest.raises(ConfigurationError, match=expected):
            trainer(tmp_path).fit(detector(**options), loader(LABELS))


def test_named_schedules_are_those_of_before() -> None:
    """Rates to the last bit, as of `LambdaLR`, whose state they take up."""
    for schedule in ("constant", "cosine"):
        ends = []
        for kind in (StepSchedule, LambdaLR):
            weight = nn.Parameter(torch.zeros(2))
            groups = [{"params": [weight]}, {"params": [nn.Parameter(torch.ones(1))], "lr": 0.3}]
            options = Optimization("adam", 0.1, None, 0.0, 3, schedule)
            scheduler = options.build_schedule(options.build_optimizer(groups), 20)["scheduler"]
            if kind is LambdaLR:
                scheduler = LambdaLR(options.build_optimizer(groups), scheduler.lr_lambdas[0])
            rates = []
            for _ in range(20):
                rates.append([group["lr"] for group in scheduler.optimizer.param_groups])
                scheduler.optimizer.step()
                scheduler.step()
            ends.append((rates, scheduler.state_dict()))
        assert ends[0] == ends[1]


def test_a_frozen_encoder_is_learnt_once_it_is_thawed(tmp_path: Path) -> None:
    starts: list[torch.Tensor] = []

    class Spy(pl.Callback):
        def on_train_epoch_end(self, _: Any, module: Detector) -> None:
            starts.append(module.network.encoder.first.weight.detach().clone())

    rates, thaw = Rates(), Thaw()
    run = trainer(tmp_path, max_epochs=4, callbacks=[thaw, rates, Spy()])
    model = detector(schedule="cosine")
    first = model.network.encoder.first.weight.detach().clone()
    run.fit(model, loader(LABELS))
    assert torch.equal(first, starts[0])
    assert not torch.equal(first, starts[1])
    assert [len(row) for row in rates.rows] == [1] * 4 + [2] * 12
    # The rate that it was given falls by the same schedule as the others.
    shares = [row[1] / row[0] for row in rates.rows[4:]]
    assert rates.rows[4][1] == pytest.approx(0.01)
    assert shares == pytest.approx([shares[0]] * 12)


def test_a_thawed_training_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    ends = []
    for stop in (None, 2):
        thaw, model = Thaw(), detector(schedule="constant")
        run = trainer(tmp_path, max_epochs=stop or 4, callbacks=[thaw])
        run.fit(model, loader(LABELS))
        if stop is not None:
            run.save_checkpoint(tmp_path / "a.ckpt")
            thaw, model = Thaw(), detector(schedule="constant")
            run = trainer(tmp_path, max_epochs=4, callbacks=[thaw])
            run.fit(model, loader(LABELS), ckpt_path=tmp_path / "a.ckpt")
        ends.append(model.state_dict())
    for name, value in ends[0].items():
        assert torch.equal(value, ends[1][name]), name


@pytest.mark.parametrize("separate", [False, True])
def test_lightnings_own_finetuning_of_a_backbone(separate: bool, tmp_path: Path) -> None:
    rates = Rates()
    thaw = pl.callbacks.BackboneFinetuning(1, lambda _: 2.0, backbone_initial_ratio_lr=0.1)
    model = detector(schedule="constant", separate_encoders=separate)
    trainer(tmp_path, max_epochs=4, callbacks=[thaw, rates]).fit(model, loader(LABELS))
    encoders = [row[-1] for row in rates.rows]
    assert encoders[4::4] == pytest.approx([0.005, 0.01, 0.02])
    assert encoders[4:8] == pytest.approx([0.005] * 4)
    assert all(p.requires_grad for p in model.backbone.parameters())


def test_a_balance_from_elsewhere_makes_the_loss(tmp_path: Path) -> None:
    losses = []
    for balance in ("fixed", Multiplied(3.0)):
        model = detector(balance=balance)
        run = trainer(tmp_path, max_steps=1)
        run.fit(model, loader(LABELS))
        losses.append(float(run.callback_metrics["train/loss"]))
    assert losses[1] == pytest.approx(3 * losses[0])


def test_the_command_line_names_classes_and_checkpoints_keep_them(
    tiny_corpus: Path, tmp_path: Path
) -> None:
    words = ["fit", f"--data.root={tiny_corpus}", *TINY]
    words += ["--model.optimizer=torch.optim.SGD", "--model.optimizer.momentum=0.9"]
    words += ["--model.schedule=torch.optim.lr_scheduler.StepLR", "--model.schedule.step_size=1"]
    words += ["--model.tasks=[BinaryCrossEntropy,ManipulationCrossEntropy]"]
    words += [f"--model.balance={__name__}.Multiplied", "--model.balance.factor=3"]
    words += ["--model.learning_rate=0.04", f"--trainer.default_root_dir={tmp_path}"]
    assert main(words) == 0
    path = tmp_path / "checkpoints" / "last.ckpt"
    saved = torch.load(path, weights_only=True)
    (state,) = saved["optimizer_states"]
    assert {group["momentum"] for group in state["param_groups"]} == {0.9}
    assert state["param_groups"][0]["lr"] == pytest.approx(0.04 * 0.1**2)
    assert saved["hyper_parameters"]["optimizer"]["class_path"] == "torch.optim.SGD"
    again = Detector.load_from_checkpoint(path)
    assert isinstance(again.balance, Multiplied)
    assert again.balance.factor == 3
    assert again.balance.names == ("binary", "manipulation")
    optimizer = again.optimization.optimizer([{"params": list(again.parameters())}], 0.1)
    assert (type(optimizer), optimizer.defaults["momentum"]) == (torch.optim.SGD, 0.9)
    assert main([*words, "--ckpt_path=last", "--trainer.max_epochs=3"]) == 0
    assert main(["test", f"--ckpt_path={path}", *TINY[5:6]]) == 0
