"""Packages build on each other in one direction, and what is of PyTorch alone needs PyTorch alone.

Imports are read from the source, so that those within functions count, too; those for type checkers
(below ``if TYPE_CHECKING:``) do not.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import deepfake_mtl

PACKAGE = Path(deepfake_mtl.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

LONGEST = 350
LIGHT = ("models", "losses", "metrics", "network", "tasks")
WITHOUT = """
import importlib, sys
for name in (
    "pytorch_lightning", "lightning", "lightning_fabric", "av", "cv2", "albumentations",
    "jsonargparse", "matplotlib", "tensorboard", "safetensors",
):
    sys.modules[name] = None
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def imported(path: Path) -> Iterator[str]:
    """Modules of the package that a file imports when it runs."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            waiting += node.orelse
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            for each in node.names:
                inner = f"{node.module}.{each.name}"
                yield inner if inner in MODULES else str(node.module)


def room(module: str) -> str:
    """The package below ``deepfake_mtl``, or the module that lies there."""
    return [*module.split("."), ""][1]


def graph() -> dict[str, set[str]]:
    rooms: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        others = rooms.setdefault(room(module), set())
        others |= {room(each) for each in imported(path) if each.split(".")[0] == "deepfake_mtl"}
    return {name: others - {name} for name, others in rooms.items()}


def test_no_package_imports_one_that_imports_it() -> None:
    found = graph()
    assert "data" in found["training"]  # else nothing was read
    try:
        order = list(TopologicalSorter(found).static_order())
    except CycleError as error:
        raise AssertionError(f"each imports the next: {error.args[1]}") from error
    assert order.index("network") < order.index("detector") < order.index("training")


def test_what_is_of_pytorch_alone_imports_nothing_else() -> None:
    names = [name for name in MODULES if room(name) in LIGHT]
    assert len(names) > 30
    subprocess.run([sys.executable, "-c", WITHOUT, *names], check=True)


def test_no_file_is_too_long_to_be_read_in_one_go() -> None:
    lengths = {
        path.relative_to(PACKAGE).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in MODULES.values()
    }
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_no_module_only_passes_names_on() -> None:
    passing = []
    for path in MODULES.values():
        if path.name in {"__init__.py", "__main__.py"}:
            continue
        body = ast.parse(path.read_text(encoding="utf-8")).body
        rest = [each for each in body if not _passes_on(each)]
        if not rest:
            passing.append(path)
    assert not passing


def _passes_on(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0]) == "__all__"
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return text or isinstance(node, ast.Import | ast.ImportFrom)
