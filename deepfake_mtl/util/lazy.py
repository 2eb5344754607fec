"""Public names of a package that are imported on first use.

A package that imports all of its modules makes everybody pay for all of them: a command that shows
its options would import PyTorch, and a program that wants one loss would import torchmetrics.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module


def lazy_names(
    package: str, names: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return the functions ``__getattr__`` and ``__dir__`` of a package.

    Type checkers and documentation do not run them: below ``if TYPE_CHECKING:`` the package imports
    the same names as usual, and it lists them in ``__all__``. No name may be that of a module of
    the package, since importing that module would hide it.

    Args:
        package: Name of the package, its ``__name__``.
        names: Public names by the module that they come from, relative to the package.

    Returns:
        ``__getattr__``, which imports a name's module, and raises AttributeError for other names;
        and ``__dir__``, which lists the names, imported or not.
    """
    modules = {name: module for module, members in names.items() for name in members}

    def get(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value: object = getattr(import_module(f"{package}.{modules[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def list_names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *modules})

    return get, list_names
