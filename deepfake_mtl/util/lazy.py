"""Public names of a package that are imported on first use.

A package that imports all of its modules makes everybody pay for all of them: a command that shows
its options would import PyTorch, and a program that wants one loss would import torchmetrics.
"""

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.abc import InspectLoader
from typing import cast


def lazy_names(package: str) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return the functions ``__getattr__`` and ``__dir__`` of a package.

    The package imports its public names below ``if TYPE_CHECKING:``, where type checkers look for
    them and nothing is run. From there it is read which module each comes from. No name may be that
    of a module of the package, since importing that module would hide it.

    Args:
        package: Name of the package, its ``__name__``.

    Returns:
        ``__getattr__``, which imports a name's module, and raises AttributeError for other names;
        and ``__dir__``, which lists the names, imported or not.
    """
    source = cast("InspectLoader", sys.modules[package].__loader__).get_source(package)
    modules = {
        imported.name: str(statement.module)
        for block in ast.parse(source or "").body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for imported in statement.names
    }

    def get(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value: object = getattr(import_module(modules[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    def list_names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *modules})

    return get, list_names
