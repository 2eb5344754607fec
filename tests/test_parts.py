"""What a file names is made, and runs no code that nobody has asked for."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from deepfake_mtl import VideoDetector
from deepfake_mtl.cli import main
from deepfake_mtl.errors import CheckpointError
from deepfake_mtl.models import Encoder
from deepfake_mtl.network import MultiTaskNetwork
from deepfake_mtl.parts import make_part
from deepfake_mtl.tasks import Task
from tests.conftest import video_path
from tests.test_cli import error_of
from tests.worlds import TINY, TinyEncoder

TINY_ENCODER = {"class_path": "tests.worlds.TinyEncoder", "init_args": {"norm": True}}


class Scaled(nn.Module):
    """A loss with a parameter, and a loss in it."""

    def __init__(self, scale: float = 2.0, inner: nn.Module | None = None) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))
        self.inner = inner or nn.CrossEntropyLoss()

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        loss: Tensor = self.scale * self.inner(logits, labels)
        return loss


def task(loss: dict[str, Any]) -> dict[str, Any]:
    return {"class_path": "deepfake_mtl.tasks.BinaryCrossEntropy", "init_args": {"loss": loss}}


def network(loss: dict[str, Any], trust: str | list[str] = ()) -> MultiTaskNetwork:
    return MultiTaskNetwork.from_description(
        TINY_ENCODER, [task(loss)], {}, separate_encoders=False, trust=trust
    )


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that importing the package ``hostile`` makes."""
    made = tmp_path / "was run"
    (tmp_path / "hostile").mkdir()
    (tmp_path / "hostile" / "__init__.py").write_text(
        "from pathlib import Path\n"
        "from tests.worlds import TinyEncoder\n"
        f"Path({str(made)!r}).touch()\n"
        "class Own(TinyEncoder): pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield made
    sys.modules.pop("hostile", None)


def test_a_loss_is_made_with_what_it_is_made_of() -> None:
    loss = network(
        {"class_path": "torch.nn.MultiMarginLoss", "init_args": {"margin": 2.0}}
    ).primary.get_submodule("loss")
    assert isinstance(loss, nn.MultiMarginLoss)
    assert loss.margin == 2.0
    inner = {"class_path": "torch.nn.modules.loss.NLLLoss", "init_args": {"reduction": "sum"}}
    own = {"class_path": "tests.test_parts.Scaled", "init_args": {"scale": 3.0, "inner": inner}}
    for trust in ("tests", ["other", "tests"]):
        made = network(own, trust).primary.get_submodule("loss")
        assert isinstance(made, Scaled)
        assert isinstance(made.inner, nn.NLLLoss)
        assert (made.scale.item(), made.inner.reduction) == (3.0, "sum")


@pytest.mark.parametrize("path", ["hostile.Own", "hostile.Nothing", "hostile.inner.Own"])
@pytest.mark.parametrize("kind", [Encoder, Task, nn.Module])
def test_nothing_is_imported_because_a_file_says_so(
    path: str, kind: type[nn.Module], hostile: Path
) -> None:
    with pytest.raises(CheckpointError, match=f'names {path}: .* `trust="hostile"`'):
        make_part({"class_path": path}, kind, ["other"])
    with pytest.raises(CheckpointError, match=f"names {path}"):
        network({"class_path": path})
    assert not hostile.exists()


def test_what_is_trusted_is_imported_and_what_is_there_needs_no_trust(hostile: Path) -> None:
    made = make_part({"class_path": "hostile.Own"}, Encoder, "hostile")  # type: ignore[type-abstract]
    assert hostile.exists()
    assert type(make_part({"class_path": "hostile.Own"}, Encoder)) is type(made)  # type: ignore[type-abstract]
    assert isinstance(make_part(TINY_ENCODER, Encoder), TinyEncoder)  # type: ignore[type-abstract]


@pytest.mark.parametrize(
    "path",
    [
        *("os.system", "builtins.exec", "eval", "", ".Own", "tests.test_parts.Scaled"),
        *("torch.hub.load", "torch.jit.load", "torch.nn.utils.vector_to_parameters"),
    ],
)
def test_no_other_class_is_made_though_it_is_imported(path: str) -> None:
    with pytest.raises(CheckpointError, match="the checkpoint names"):
        network({"class_path": path, "init_args": {}})


def test_what_is_no_such_part_is_refused() -> None:
    for path in ("torch.nn.Parameter", "torch.nn.functional", "os.system"):
        with pytest.raises(CheckpointError, match=r"which is no Module|which cannot be imported"):
            network({"class_path": path}, trust="os")
    with pytest.raises(CheckpointError, match=r"MultiMarginLoss takes other arguments"):
        network({"class_path": "torch.nn.MultiMarginLoss", "init_args": {"wrong": 1}})
    with pytest.raises(CheckpointError, match=r"MultiMarginLoss takes other arguments"):
        network({"class_path": "torch.nn.MultiMarginLoss", "init_args": {"p": "x"}})
    with pytest.raises(CheckpointError, match=r"which is no Encoder"):
        make_part({"class_path": "torch.nn.Linear"}, Encoder)  # type: ignore[type-abstract]


def test_a_detector_whose_loss_has_tensors_is_exported_and_loaded(
    tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = "{class_path: tests.test_parts.Scaled, init_args: {scale: 3.0}}"
    tasks = f"[{{class_path: BinaryCrossEntropy, init_args: {{loss: {own}}}}}]"
    words = ["fit", f"--data.root={tiny_corpus}", f"--trainer.default_root_dir={tmp_path}"]
    assert main([*words, *TINY, "--trainer.max_epochs=1", f"--model.tasks={tasks}"]) == 0
    checkpoint, folder = tmp_path / "checkpoints" / "last.ckpt", tmp_path / "exported"
    export = ["export", f"--ckpt_path={checkpoint}", f"--out={folder}"]
    message = error_of(export, capsys)
    assert "names tests.test_parts.Scaled" in message
    assert "If you trust it, give --trust tests" in message
    assert main([*export, "--trust=tests"]) == 0
    trained = torch.load(checkpoint, weights_only=True)["state_dict"]
    for path in (checkpoint, folder):
        with pytest.raises(CheckpointError, match=r"names tests\.test_parts\.Scaled"):
            VideoDetector.from_checkpoint(path)
        loss = VideoDetector.from_checkpoint(path, trust="tests").network.primary.loss
        assert torch.equal(loss.scale, trained["network.tasks.binary.loss.scale"])
        assert loss.scale != 3


@pytest.mark.slow
def test_whoever_detects_says_what_is_trusted(
    tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["fit", f"--data.root={tiny_corpus}", f"--trainer.default_root_dir={tmp_path}"]
    assert main([*words, *TINY, "--trainer.max_epochs=1"]) == 0
    detect = ["detect", str(video_path(tiny_corpus, "original", "000")), "--workers=1"]
    detect += [f"--ckpt_path={tmp_path / 'checkpoints' / 'last.ckpt'}", f"--out={tmp_path / 'out'}"]
    message = error_of(detect, capsys)  # its processes have imported nothing
    assert "names tests.worlds.TinyEncoder" in message
    assert "give --trust tests" in message
    assert main([*detect, "--trust=other", "--trust=tests"]) == 0
