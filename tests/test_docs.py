"""What the docs show is run as it stands there."""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import lightning.pytorch
import pytest
import pytorch_lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from deepfake_mtl.models import KeyQueue, MomentumCopy

PAGE = Path(__file__).parents[1] / "docs" / "python.md"


def example(name: str) -> str:
    match = re.search(rf"<!-- runs: {name} -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert match, f"{PAGE} shows no example {name}"
    return match.group(1)


def views() -> list[tuple[Tensor, Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    shape = (2, 3, 8, 32, 32)
    first, second = (
        torch.randint(256, (3, *shape), dtype=torch.uint8, generator=generator) for _ in range(2)
    )
    return [(a, b, torch.tensor([0, 1])) for a, b in zip(first, second, strict=True)]


def check(query: torch.nn.Module, key: MomentumCopy, queue: KeyQueue, loss: Tensor) -> None:
    assert loss.isfinite()
    assert loss > 0
    assert (queue.labels >= 0).sum() == 6
    pairs = list(zip(key.parameters(), query.parameters(), strict=True))
    assert all(not k.requires_grad for k, _ in pairs)
    assert any(not torch.equal(k, q) for k, q in pairs)
    torch.testing.assert_close(
        [k for k, _ in pairs], [q.detach() for _, q in pairs], rtol=0, atol=0.1
    )


def test_moco_in_plain_pytorch() -> None:
    torch.manual_seed(0)
    scope: dict[str, Any] = {"loader": views()}
    exec(example("plain"), scope)
    check(scope["query"], scope["key"], scope["queue"], scope["loss"])


@pytest.mark.parametrize("package", [pytorch_lightning, lightning.pytorch])
def test_moco_in_a_lightning_module_of_either_package(package: ModuleType, tmp_path: Path) -> None:
    torch.manual_seed(0)
    scope: dict[str, Any] = {}
    code = example("lightning")
    assert "import pytorch_lightning as pl" in code
    exec(code.replace("import pytorch_lightning as pl", f"import {package.__name__} as pl"), scope)
    module = scope["Contrast"]()
    assert isinstance(module, package.LightningModule)
    start = [p.detach().clone() for p in module.key.parameters()]
    trainer = package.Trainer(
        max_epochs=1,
        default_root_dir=tmp_path,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(views(), batch_size=None))
    first, second, labels = views()[0]
    loss = module.training_step((first, second, labels), 0).detach()
    assert (module.queue.labels >= 0).sum() == 8
    assert loss > 0
    moved = [not torch.equal(a, b) for a, b in zip(start, module.key.parameters(), strict=True)]
    assert any(moved)
