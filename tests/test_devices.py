"""What a GPU or a Mac would do, as far as a CPU can tell."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from deepfake_mtl.cli import main
from deepfake_mtl.data.datamodule import DeepfakeDataModule
from deepfake_mtl.detector import Detector
from deepfake_mtl.inference import VideoDetector
from deepfake_mtl.inference.batch import workers
from deepfake_mtl.inference.batch.workers import WorkerSettings
from deepfake_mtl.inference.clips import Clip, ClipScorer
from deepfake_mtl.inference.options import DetectOptions
from deepfake_mtl.tasks import BinaryContrast, ManipulationContrast, MoCoSettings
from deepfake_mtl.training.checkpoints.random_states import RandomStates
from deepfake_mtl.training.trainer import DetectorTrainer
from tests.inference.made_up import description, write_folder
from tests.test_cli import fit_words
from tests.worlds import TinyEncoder, loader, trainer


@pytest.fixture
def idle_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that must not be touched, and that this library alone sees."""

    def touch(*_: object, **__: object) -> NoReturn:
        raise AssertionError("the GPU was touched")

    def is_available() -> bool:
        return str(sys._getframe(1).f_globals["__name__"]).startswith("deepfake_mtl")

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    for name in ("get_rng_state", "set_rng_state", "get_device_name", "synchronize"):
        monkeypatch.setattr(torch.cuda, name, touch)


@pytest.mark.slow
@pytest.mark.usefixtures("idle_gpu")
def test_the_cpu_leaves_a_gpu_alone(tiny_corpus: Path, tmp_path: Path) -> None:
    assert main(fit_words(tiny_corpus, tmp_path)) == 0
    last = tmp_path / "checkpoints" / "last.ckpt"
    assert (
        main(fit_words(tiny_corpus, tmp_path, f"--ckpt_path={last}", "--trainer.max_epochs=2")) == 0
    )
    words = [f"--ckpt_path={last}", "--trainer.accelerator=cpu", "--data.num_workers=0"]
    assert main(["test", *words, "--trainer.enable_progress_bar=false"]) == 0
    assert json.loads((tmp_path / "results.json").read_text())["versions"]["device"]


@pytest.mark.usefixtures("idle_gpu")
def test_memory_is_pinned_where_a_gpu_reads_it(tiny_corpus: Path) -> None:
    data = DeepfakeDataModule(
        str(tiny_corpus), "FaceSwap", size=32, clip_length=8, num_workers=0, batch_size=2
    )
    data.setup("fit")
    assert data.train_dataloader().pin_memory
    for kind in ("cpu", "mps", "cuda"):
        data.trainer = SimpleNamespace(
            strategy=SimpleNamespace(root_device=torch.device(kind)), world_size=1, global_rank=0
        )
        assert data.val_dataloader().pin_memory == (kind == "cuda")


def test_the_random_state_of_any_device_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    states = {"mps": torch.arange(3, dtype=torch.uint8)}
    module = SimpleNamespace(
        get_rng_state=lambda: states["mps"], set_rng_state=lambda state: states.update(mps=state)
    )
    monkeypatch.setattr(torch, "get_device_module", lambda _: module)
    run: Any = SimpleNamespace(
        strategy=SimpleNamespace(root_device=torch.device("mps", 0)), world_size=1, global_rank=0
    )
    detector: Any = SimpleNamespace(device=torch.device("mps", 0))
    kept = RandomStates()
    kept.setup(run, detector, "fit")
    content = kept.state_dict()
    states["mps"] = torch.zeros(3, dtype=torch.uint8)
    resumed = RandomStates()
    resumed.load_state_dict(content)
    resumed.on_train_batch_start(run, detector, None, 0)
    assert states["mps"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("kind", ["mps", None])
def test_detect_finds_whatever_there_is(
    kind: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[str] = []
    device = kind and torch.device(kind)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: device)
    monkeypatch.setattr(
        torch.nn.Module, "to", lambda self, *to, **_: moved.append(str(to[0])) or self
    )
    VideoDetector.from_checkpoint(write_folder(tmp_path / "folder", description()))
    assert moved[-1] == (kind or "cpu")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("cuda", ["cuda:0", "cuda:1"]), ("auto", ["cuda:0", "cuda:1"]), ("cuda:1", ["cuda:1"])],
)
def test_processes_take_turns_with_the_gpus(
    name: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setattr(torch, "empty", lambda *_, **__: None)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(
        VideoDetector, "from_checkpoint", lambda _, options, *__: taken.append(options.device)
    )
    settings = WorkerSettings(Path("none"), DetectOptions(device=name))
    counts = {workers._load(settings, number)[1] for number in range(4)}
    assert taken == (expected * 4)[:4]
    assert counts == {2 * len(expected)}
    assert workers._load(replace(settings, most=1), 0)[1] == 1


@pytest.mark.parametrize(
    ("room", "batches"), [(4, [4, 3]), (2, [4, 2, 2, 2, 1]), (1, [4, 2, 1, 1, 1, 1, 1, 1, 1])]
)
def test_memory_that_is_too_small_makes_smaller_batches(room: int, batches: list[int]) -> None:
    sizes: list[int] = []

    def network(clips: Tensor) -> dict[str, Tensor]:
        sizes.append(len(clips))
        if len(clips) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return {"binary": clips[:, :2, 0, 0, 0] / 255}

    values = [0, 10, 20, 30, 40, 50, 60]
    frames = [np.full((4, 8, 8, 3), value, np.uint8) for value in values]
    clips = [Clip(0, 0, 3, each, 8.0, None, folded=False) for each in frames]
    scorer = ClipScorer(network, torch.device("cpu"))  # type: ignore[arg-type]
    scored = [each for clip in clips for each in scorer.push(clip)]
    scored += scorer.flush()
    found = [rows["binary"][0] for _, _, rows in scored]
    assert found == pytest.approx([value / 255 for value in values])
    assert sizes == batches
    room = 0
    with pytest.raises(torch.OutOfMemoryError):
        _ = [*scorer.push(clips[0]), *scorer.flush()]


def test_a_verdict_of_another_device_is_made_again(tmp_path: Path) -> None:
    setup = VideoDetector.from_checkpoint(write_folder(tmp_path / "folder", description())).setup
    assert (setup.settings["device"], setup.settings["tf32"]) == ("cpu", False)
    content = setup.failure(tmp_path / "a.mp4", "none").to_dict()
    assert setup.made(content)
    assert not replace(setup, settings={**setup.settings, "device": "cuda"}).made(content)


class Float64(TorchDispatchMode):
    """Notes the operations that make numbers in float64, which a Mac's GPU does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        outputs = func(*args, **(kwargs or {}))
        made = outputs if isinstance(outputs, tuple | list) else [outputs]
        if any(isinstance(each, Tensor) and each.dtype == torch.float64 for each in made):
            self.found.append(func.overloadpacket.__name__)
        return outputs


class OnDevice(Detector):
    """A detector whose work on the device is watched."""

    watch: Float64

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        with self.watch:
            return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        with self.watch:
            super().validation_step(batch, batch_idx)

    def _update_keys(self) -> None:
        with self.watch:
            super()._update_keys()


def test_nothing_on_the_device_is_in_float64(tmp_path: Path) -> None:
    tasks = [BinaryContrast(hidden_features=8), ManipulationContrast(hidden_features=8)]
    moco = MoCoSettings(dim=5, queue_size=12, neighbours=3)
    model = OnDevice(TinyEncoder(norm=True), tasks, held_out="none", moco=moco)
    assert all(each.dtype != torch.float64 for each in (*model.parameters(), *model.buffers()))
    model.watch = Float64()
    batches = loader([0, 1, 2, 3, 4, 0], views=2)
    trainer(tmp_path).fit(model, batches, batches)
    assert model.watch.found == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, True),
        ({"deterministic": True}, False),
        ({"deterministic": "warn"}, False),
        ({"benchmark": False}, False),
    ],
)
def test_cudnn_tries_its_algorithms(options: dict[str, Any], expected: bool) -> None:
    before = torch.backends.cudnn.benchmark, torch.are_deterministic_algorithms_enabled()
    try:
        run = DetectorTrainer(accelerator="cpu", logger=False, **options)
        assert isinstance(run, pl.Trainer)
        assert torch.backends.cudnn.benchmark == expected
    finally:
        torch.backends.cudnn.benchmark = before[0]
        torch.use_deterministic_algorithms(before[1])
