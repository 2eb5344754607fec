"""What makes a step fast and must not change what it computes."""

import copy
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounter
from torch.utils._python_dispatch import TorchDispatchMode

from deepfake_mtl.detector import Detector
from deepfake_mtl.models import distributed
from deepfake_mtl.tasks import (
    BinaryContrast,
    BinaryCrossEntropy,
    ManipulationContrast,
    ManipulationCrossEntropy,
    MoCoSettings,
    Task,
)
from deepfake_mtl.training.callbacks import CalmProgressBar
from deepfake_mtl.training.checkpoints.last import LastCheckpoint
from tests.worlds import TinyEncoder, loader, trainer

MOCO = MoCoSettings(dim=8, queue_size=12, momentum=0.5, neighbours=3)


def detector(*tasks: type[Task], **options: object) -> Detector:
    torch.manual_seed(0)
    return Detector(TinyEncoder(norm=True), [task() for task in tasks], moco=MOCO, **options)


class Waits(TorchDispatchMode):
    """Notes the operations for which a GPU would have to be waited for."""

    NAMES = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "_unique2", "is_nonzero")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func.overloadpacket.__name__
        places = args[1] if name in ("index", "index_put_") else ()
        by_mask = any(isinstance(x, Tensor) and x.dtype == torch.bool for x in places or ())
        if name in self.NAMES or by_mask:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


class Watched(Detector):
    """A detector whose training steps are watched, with the update of the keys after them."""

    waits: Waits

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor | None:
        with self.waits:
            return super().training_step(batch, batch_idx)

    def _update_keys(self) -> None:
        with self.waits:
            super()._update_keys()


@pytest.mark.parametrize("binary", [BinaryCrossEntropy, BinaryContrast])
@pytest.mark.parametrize("manipulation", [None, ManipulationCrossEntropy, ManipulationContrast])
@pytest.mark.parametrize("balance", ["fixed", "uncertainty"])
def test_no_step_waits_for_the_device(
    binary: type[Task], manipulation: type[Task] | None, balance: str, tmp_path: Path
) -> None:
    if manipulation is None and balance != "fixed":
        pytest.skip("there is nothing to balance")
    tasks = [task() for task in (binary, manipulation) if task is not None]
    model = Watched(TinyEncoder(norm=True), tasks, moco=MOCO, balance=balance)
    model.waits = Waits()
    trainer(tmp_path).fit(model, loader([0, 1, 2, 3, 4, 0], views=2))
    assert model.waits.found == []


class OnGPU(Detector):
    """A detector that takes the CPU for a device that is waited for."""

    reads_freely = False


@pytest.mark.parametrize(
    "kinds",
    [(BinaryCrossEntropy, ManipulationCrossEntropy), (BinaryContrast, ManipulationContrast)],
)
def test_no_whole_training_waits_at_every_step(
    kinds: tuple[type[Task], ...], tmp_path: Path
) -> None:
    """Loops, logs and the progress bar included: twice as many steps wait no more often."""
    found = []
    for videos in (6, 12):
        tasks = [kind() for kind in kinds]
        model = OnGPU(TinyEncoder(), tasks, moco=MOCO, optimizer=torch.optim.SGD)
        run = trainer(
            tmp_path,
            enable_progress_bar=True,
            enable_checkpointing=True,
            callbacks=[CalmProgressBar(), LastCheckpoint()],
            log_every_n_steps=50,
        )
        with Waits() as waits:
            run.fit(model, loader([0, 1, 2, 3, 4, 0] * (videos // 6), views=2))
        assert run.global_step == videos // 2
        found.append(len(waits.found))
        assert {"train/loss", "train/binary/accuracy"} <= run.progress_bar_callback.get_metrics(
            run, model
        ).keys()
    assert found[0] == found[1]


class Counted(OnGPU):
    """A rank of two that writes down how often it has waited."""

    def on_fit_start(self) -> None:
        super().on_fit_start()
        self.key_encoders.equal_ranks = True  # as with the library's own data
        self._waits = Waits()
        self._waits.__enter__()

    def on_fit_end(self) -> None:
        self._waits.__exit__(None, None, None)
        out = Path(self.trainer.default_root_dir) / f"{self.global_step} {self.global_rank}"
        out.write_text(str(len(self._waits.found)))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="ranks are forked")
def test_two_ranks_wait_to_agree_and_for_nothing_else(tmp_path: Path) -> None:
    """Which on a GPU they read one step late; see the next test."""
    for videos in (12, 24):
        model = Counted(
            TinyEncoder(norm=True),
            [BinaryContrast(), ManipulationContrast()],
            moco=replace(MOCO, symmetric=True),
            optimizer=torch.optim.SGD,
        )
        run = trainer(
            tmp_path,
            enable_progress_bar=True,
            enable_checkpointing=True,
            callbacks=[CalmProgressBar(), LastCheckpoint()],
            log_every_n_steps=50,
            devices=2,
            strategy="ddp_fork",
        )
        run.fit(model, loader([0, 1, 2, 3, 4, 0] * (videos // 6), views=2))
    for rank in (0, 1):
        few, many = (int((tmp_path / f"{steps} {rank}").read_text()) for steps in (3, 6))
        assert many - few == 3


def test_several_ranks_agree_one_step_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nobody waits for the step that runs."""
    waited: list[int] = []

    def copy_to_host(flag: Tensor) -> tuple[Tensor, Any]:
        number = asked
        return flag.clone(), SimpleNamespace(synchronize=lambda: waited.append(number))

    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(distributed, "_copy_to_host", copy_to_host)
    others = iter([0, 0, 1, 0, 0])
    monkeypatch.setattr(distributed.dist, "all_reduce", lambda flag, **_: flag.add_(next(others)))
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *_, **__: self)
    agreement = distributed.LateAgreement()
    for asked, answer in enumerate([False, False, False, True, False]):
        assert agreement.ask(asked == 4, torch.device("cuda")) == answer
    assert waited == [0, 1, 2, 3]


def test_ranks_that_are_known_to_be_equal_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "world_size", lambda: 3)
    with Waits() as waits:
        assert distributed.row_counts(4, torch.device("cpu"), equal_ranks=True) == [4, 4, 4]
    assert waits.found == []


def test_what_waits_is_noticed() -> None:
    values = torch.arange(3)
    with Waits() as waits:
        values.sum().item()
        _ = values[values > 1]
        _ = values[torch.tensor([0])]
        values.nonzero()
    assert waits.found == ["_local_scalar_dense", "index", "nonzero"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_encoder_learns_the_same_under_the_same_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What was compiled here for other instruction sets ends the process.
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    states = []
    for compiles in (False, True):
        model = detector(BinaryContrast, ManipulationCrossEntropy, compile_encoder=compiles)
        trainer(tmp_path).fit(model, loader([0, 1, 2, 3, 4, 0, 0, 0], views=2))
        networks = (model.network.encoder, model.key_encoders["binary"].module)
        assert all((each._compiled is not None) == compiles for each in networks)
        states.append(model.state_dict())
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=1e-3, atol=1e-5, msg=name)


def test_an_encoder_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is validated between, and however many clips the last batch has."""
    counter = CompileCounter()
    compiles = torch.compile
    monkeypatch.setattr(torch, "compile", partial(compiles, backend=counter))
    model = detector(BinaryContrast, compile_encoder=True)
    clips = loader([0, 1, 2, 3, 4, 0, 0], views=2)
    assert len({len(batch["clip"]) for batch in clips}) == 2
    trainer(tmp_path, max_epochs=2).fit(model, clips, clips)
    assert counter.frame_count == 2  # encoder and momentum encoder
    encoder = model.network.encoder.train()
    copied = copy.deepcopy(encoder)
    batch = next(iter(clips))["clip"]
    with torch.no_grad():
        copied.second.bias += 1
    torch.testing.assert_close(copied(batch), encoder(batch) + 1)
    assert counter.frame_count == 2
