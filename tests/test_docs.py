"""What the docs show is run as it stands there, and their pictures are of this code."""

import ast
import re
from functools import lru_cache
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree as ET

import lightning.pytorch
import pytest
import pytorch_lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from deepfake_mtl.data.store import crop_format
from deepfake_mtl.evaluation import results
from deepfake_mtl.experiments import files
from deepfake_mtl.experiments.report import content
from deepfake_mtl.inference import description, verdict
from deepfake_mtl.models import KeyQueue, MomentumEncoder
from deepfake_mtl.synthetic import config

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


def check(query: torch.nn.Module, key: MomentumEncoder, queue: KeyQueue, loss: Tensor) -> None:
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


# -- Pictures ------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[1]
PICTURES = sorted((ROOT / "docs" / "assets").glob("*_to_*.svg"))


def source_files(module: str) -> list[Path]:
    path = ROOT / module.replace(".", "/")
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


@lru_cache
def imports(path: Path) -> frozenset[str]:
    """Modules of the package that a file imports; names of their content are among them."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("deepfake_mtl."):
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def depends(module: str, other: str) -> bool:
    """Whether the code of one module reaches the other by imports, at any distance."""
    left, seen = source_files(module), set[Path]()
    while left:
        path = left.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        for name in imports(path):
            if name == other or name.startswith(f"{other}."):
                return True
            place = ROOT / name.replace(".", "/")
            left += [place.with_suffix(".py"), place / "__init__.py"]
    return False


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.stem)
def test_pictures_show_modules_that_are_there_and_no_way_back(picture: Path) -> None:
    tree = ET.parse(picture)
    boxes = [each.attrib["data-module"] for each in tree.iter() if "data-module" in each.attrib]
    assert len(boxes) > 8
    assert all(source_files(module) and source_files(module)[0].exists() for module in boxes)
    arrows = [
        (each.attrib["data-from"], each.attrib["data-to"])
        for each in tree.iter()
        if "data-from" in each.attrib
    ]
    assert {end for arrow in arrows for end in arrow} == set(boxes)
    after = TopologicalSorter[str]()
    for start, end in arrows:
        after.add(end, start)
        ways = depends(start, end), depends(end, start)
        # What has both at hand may hand things from one to the other.
        joined = any(depends(module, start) and depends(module, end) for module in boxes)
        assert any(ways) or joined, f"nothing joins {start} and {end}"
        assert not all(ways), f"{start} and {end} depend on each other"
    after.prepare()  # fails where arrows run in a circle


# -- The reference -------------------------------------------------------------------------------


def test_every_public_name_has_its_page() -> None:
    shown, whole = set(), set()
    for page in (ROOT / "docs" / "reference").glob("*.md"):
        for name, options in re.findall(
            r"^::: (\S+)\n((?: +.+\n)*)", page.read_text(), re.MULTILINE
        ):
            (whole if "show_submodules: true" in options else shown).add(name)
    missing = []
    for init in sorted((ROOT / "deepfake_mtl").rglob("__init__.py")):
        package = ".".join(init.parent.relative_to(ROOT).parts)
        module = import_module(package)
        for name in getattr(module, "__all__", ()):
            home = getattr(getattr(module, name), "__module__", package)
            if not {package, f"{package}.{name}", home} & (shown | whole):
                missing.append((f"{package}.{name}", home))
    hidden = [
        name
        for name, home in missing
        if not name.endswith("__") and not any(home.startswith(f"{each}.") for each in whole)
    ]
    assert not hidden


def test_the_changelog_names_the_versions_of_formats() -> None:
    page = (ROOT / "docs" / "changelog.md").read_text(encoding="utf-8")
    assert f"store.json` of a [store](store.md) | {crop_format.VERSION} |" in page
    named = dict(re.findall(r"^\| `(\w+\.json)` .*\| (\d+) \|", page, re.MULTILINE))
    assert {name: int(version) for name, version in named.items()} == {
        "results.json": results.SCHEMA_VERSION,
        "plan.json": files.PLAN_VERSION,
        "robustness.json": files.ROBUSTNESS_VERSION,
        "report.json": content.SCHEMA_VERSION,
        "verdict.json": verdict.SCHEMA_VERSION,
        "config.json": description.CONFIG_VERSION,
        "synthetic.json": config.WORLD_VERSION,
    }


def test_what_pages_import_is_there() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    found = [
        (page.name, module, name.strip())
        for page in pages
        for module, names in re.findall(
            r"^from (deepfake_mtl[\w.]*) import (\([^)]*\)|[^\n]*)", page.read_text(), re.MULTILINE
        )
        for name in names.strip("()").split(",")
        if name.strip()
    ]
    assert len(found) > 20
    missing = [each for each in found if not hasattr(import_module(each[1]), each[2])]
    assert not missing
