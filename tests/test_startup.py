"""What is imported when: commands that only tell or only read do without what takes seconds."""

import ast
import json
import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import deepfake_mtl
from deepfake_mtl import cli
from tests.experiments.report import made_up

HEAVY = {
    "albumentations",
    "av",
    "cv2",
    "jinja2",
    "lightning",
    "lightning_fabric",
    "matplotlib",
    "pytorch_lightning",
    "scipy",
    "scipy.stats",
    "torch",
    "torchmetrics",
    "torchvision",
}

# Runs commands one after the other, and tells after each which modules of a set are there.
PROGRAM = """
import contextlib, io, json, sys
from deepfake_mtl.cli import main

commands, heavy = json.loads(sys.stdin.read())
found = []
for words in commands:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            status = main(words)
        except SystemExit as end:
            status = end.code
    found.append([status, said.getvalue(), [name for name in heavy if name in sys.modules]])
print(json.dumps(found))
"""


def imported(commands):
    """Status, text and heavy modules after each command, in a process of their own."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps([commands, sorted(HEAVY)]),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_no_help_waits_for_imports(tmp_path):
    names = list(cli._TOOLS)
    refused = ["detect", str(tmp_path), "--ckpt_path", str(tmp_path / "none.ckpt")]
    refused += ["--out", str(tmp_path / "verdicts")]
    (tmp_path / "a.mp4").touch()
    commands = [["--help"], ["--version"], *([name, "--help"] for name in names), refused]
    found = imported(commands)
    for words, (status, said, modules) in zip(commands[:-1], found[:-1], strict=True):
        assert status == 0, said
        assert modules == [], words
    for name, (_, said, _) in zip(names, found[2:-1], strict=True):
        assert f"usage: deepfake-mtl {name}" in said
    # The process that watches those that judge videos: it has no decoder that could crash it.
    status, said, modules = found[-1]
    assert (status, modules) == (2, ["jinja2"]), said
    assert "no such checkpoint" in said


def test_a_report_needs_what_draws_it_and_no_more(tmp_path):
    folder = made_up.write_benchmark(
        tmp_path / "runs", made_up.LOSSES[2:4], ("FaceSwap",), (0, 1), videos=8, extras=True
    )
    [(status, said, modules)] = imported([["report", str(folder)]])
    assert status == 0, said
    assert modules == ["jinja2", "matplotlib", "scipy"]
    assert "<svg" in (folder / "report.html").read_text(encoding="utf-8")


def test_packages_need_what_they_say():
    """In an interpreter in which everything else cannot be imported."""
    code = """
import sys

blocked = [
    "pytorch_lightning", "lightning", "jsonargparse", "av", "cv2", "albumentations", "matplotlib",
    "jinja2", "tensorboard", "tqdm", "torchjd", "torchmetrics",
]
for name in blocked:
    sys.modules[name] = None
from deepfake_mtl.losses import *
from deepfake_mtl.metrics import *
from deepfake_mtl.models import *
S3D(), KeyQueue(2, 3), VideoScores(2)
del sys.modules["matplotlib"], sys.modules["tqdm"]
from deepfake_mtl.evaluation import *
evaluate, format_table
pictures = {"deepfake_mtl.evaluation.pictures", "deepfake_mtl.evaluation.page"}
assert not pictures & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def lazy_packages():
    """All packages of the library that import public names on first use."""
    walked = pkgutil.walk_packages(deepfake_mtl.__path__, "deepfake_mtl.")
    packages = [deepfake_mtl, *(import_module(each.name) for each in walked if each.ispkg)]
    return [each for each in packages if "__getattr__" in vars(each)]


@pytest.mark.parametrize("package", lazy_packages(), ids=lambda package: package.__name__)
def test_type_checkers_see_the_names_that_there_are(package):
    """Python takes the names from where type checkers see them, and they are those of `__all__`."""
    tree = ast.parse(Path(package.__file__).read_text(encoding="utf-8"))
    typed = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed
    assert set(package.__all__) - {"__version__"} == set(typed)
    assert set(package.__all__) <= set(dir(package))
    modules = {each.name for each in pkgutil.iter_modules(package.__path__)}
    assert not modules & set(typed), "importing a module would hide the name"
    for name, module in typed.items():
        assert getattr(package, name) is getattr(import_module(module), name)
    with pytest.raises(AttributeError, match="no_such_name"):
        package.no_such_name  # noqa: B018
