"""Parts of a network that a file names by their classes: made, where nothing unknown is run for it.

A checkpoint or an exported folder names the classes of its encoder, its tasks and their losses. To
import a module runs its code, whatever it is. So a file has classes imported of this library and of
`torch.nn` alone, and of packages that its user trusts.
"""

import sys
from collections.abc import Collection, Mapping
from importlib import import_module
from typing import Any, Final, TypeVar

from torch import nn

from deepfake_mtl.errors import CheckpointError
from deepfake_mtl.models import Encoder
from deepfake_mtl.tasks import Task

_Part = TypeVar("_Part", bound=nn.Module)

_OWN: Final = "deepfake_mtl"
_LAYERS: Final = "torch.nn"


def make_part(
    part: Mapping[str, Any], kind: type[_Part], trust: str | Collection[str] = ()
) -> _Part:
    """Make an object of a class that a file names, with the arguments that stand there.

    Arguments that name a class in turn, such as the loss of a task, are modules, and made likewise.

    Args:
        part: ``class_path`` and ``init_args``, as jsonargparse writes them.
        kind: What the class is to be.
        trust: Packages from which classes may be imported beside this library and `torch.nn`, by
            their first names. An encoder or a task whose class is there already needs none.

    Raises:
        CheckpointError: There is no such class, it is of no package that is trusted, it is none of
            this kind, or it takes other arguments.
    """
    trusted = frozenset((trust,) if isinstance(trust, str) else trust)
    made = _find(str(part.get("class_path")), kind, trusted)
    arguments = part.get("init_args") or {}
    try:
        return made(**{name: _value(each, trusted) for name, each in arguments.items()})
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{part['class_path']} takes other arguments than the checkpoint has ({error})"
        ) from error


def _find(path: str, kind: type[_Part], trusted: frozenset[str]) -> type[_Part]:
    module, _, name = path.rpartition(".")
    package = module.partition(".")[0]
    of_layers = module == _LAYERS or module.startswith(f"{_LAYERS}.modules.")
    if package != _OWN and not of_layers and package not in trusted:
        there = getattr(sys.modules.get(module), name, None)
        is_ours = isinstance(there, type) and issubclass(there, Encoder | Task)
        is_another = isinstance(there, type) and issubclass(there, kind)
        if there is None or (is_another and not is_ours):
            raise CheckpointError(
                f"the checkpoint names {path}: importing {package} as a file says would run all of "
                f'its code. If you trust it, give `trust="{package}"`'
            )
    try:
        made = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise CheckpointError(
            f"the checkpoint needs {path}, which cannot be imported ({error}): install the package "
            "that it is of"
        ) from error
    if not (isinstance(made, type) and issubclass(made, kind)):
        raise CheckpointError(f"the checkpoint names {path}, which is no {kind.__name__}")
    return made


def _value(value: object, trusted: frozenset[str]) -> object:
    if isinstance(value, Mapping) and "class_path" in value:
        return make_part(value, nn.Module, trusted)
    if isinstance(value, list):
        return [_value(each, trusted) for each in value]
    return value
