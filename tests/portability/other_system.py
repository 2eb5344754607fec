"""Makes the modules of this library see a Mac, or Windows; third parties go on seeing Linux.

Names that the other system's standard library lacks are gone, as are its missing modules, /proc and
/sys, and forks; `sys.platform` says what it would say there. What other packages import is as it
was: on a Mac they would use what it has in the place of it.
"""

import builtins
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from types import ModuleType
from typing import Any

from tests.portability.lacking import LACKING, MODULES

OURS = "deepfake_mtl"
_BETWEEN = {"pathlib", "contextlib", "io", "codecs"}


class WindowsPopen(subprocess.Popen):
    """What Windows refuses is refused, and its own options are taken and ignored."""

    def __init__(self, *args: Any, creationflags: int = 0, **options: Any) -> None:
        for name in ("pass_fds", "preexec_fn"):
            if options.get(name):
                raise ValueError(f"{name} is not supported on Windows platforms")
        options["start_new_session"] = creationflags == 0x200
        super().__init__(*args, **options)


class SeenModule(ModuleType):
    """A module as another system has it."""

    def __init__(self, real: ModuleType, gone: frozenset[str], others: dict[str, Any]) -> None:
        super().__init__(real.__name__)
        self.__dict__.update(_real=real, _gone=gone, **others)

    def __getattr__(self, name: str) -> Any:
        if name in self._gone:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name)
        return getattr(self._real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._real, name, value)


def install(system: str) -> None:
    """Install it, for the rest of this process.

    Args:
        system: ``darwin`` or ``win32``, as of `sys.platform`.
    """
    lacks = LACKING[system]
    seen = {
        "os": SeenModule(os, lacks["os"], {"name": "nt" if system == "win32" else "posix"}),
        "signal": SeenModule(signal, lacks["signal"], {}),
        "time": SeenModule(time, lacks["time"], {}),
        "sys": SeenModule(sys, frozenset(), {"platform": system}),
    }
    if system == "win32":
        broken = signal.Signals(21)
        seen["signal"].__dict__.update(SIGBREAK=broken, CTRL_BREAK_EVENT=broken)
        windows = {"Popen": WindowsPopen, "CREATE_NEW_PROCESS_GROUP": 0x200}
        seen["subprocess"] = SeenModule(subprocess, frozenset(), windows)
    real_import = builtins.__import__

    def seeing_import(
        name: str, module: Any = None, scope: Any = None, fromlist: Any = (), level: int = 0
    ) -> Any:
        if level == 0 and _is_ours(module or {}):
            if name in MODULES[system]:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            if name in seen:
                return seen[name]
        return real_import(name, module, scope, fromlist, level)

    def refuse(event: str, arguments: Any) -> None:
        if event == "open" and str(arguments[0]).startswith(("/proc", "/sys")):
            frame = sys._getframe(1)
            while frame.f_back and _package(frame.f_globals) in _BETWEEN:
                frame = frame.f_back
            if _is_ours(frame.f_globals):
                raise FileNotFoundError(2, "No such file or directory", arguments[0])

    builtins.__import__ = seeing_import
    sys.addaudithook(refuse)
    multiprocessing.set_start_method("spawn", force=True)


def _is_ours(module: dict[str, Any]) -> bool:
    return (module.get("__package__") or "").partition(".")[0] == OURS


def _package(module: dict[str, Any]) -> str:
    return str(module.get("__name__")).partition(".")[0]
