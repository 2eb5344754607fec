"""Nothing that other systems lack is used, but in the modules that ask the system."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import deepfake_mtl
from tests.portability.lacking import LACKING, MODULES

PACKAGE = Path(deepfake_mtl.__file__).parent
GUARDS = {PACKAGE / "util" / f"{name}.py" for name in ("machine", "memory", "processes")}
OPTIONS = {"pass_fds", "preexec_fn", "start_new_session", "creationflags"}
WRITERS = {"write_text", "open", "read_text"}


def findings(source: str) -> list[str]:
    """What a module names that Windows or macOS lacks."""
    gone = {
        (module, name)
        for lacks in LACKING.values()
        for module, names in lacks.items()
        for name in names
    }
    modules = set().union(*MODULES.values())
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if (node.value.id, node.attr) in gone:
                found.append(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.ImportFrom):
            found += [
                f"{node.module}.{n.name}" for n in node.names if (node.module, n.name) in gone
            ]
            found += [node.module] if node.module in modules else []
        elif isinstance(node, ast.Import):
            found += [each.name for each in node.names if each.name in modules]
        elif isinstance(node, ast.Call):
            found += [word.arg for word in node.keywords if word.arg in OPTIONS]
            if isinstance(node.func, ast.Attribute) and node.func.attr in {"CDLL", "PyDLL"}:
                found.append("CDLL")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found += ["/proc"] if node.value.startswith(("/proc", "/sys", "proc/", "sys/")) else []
    return found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import os\nos.sched_getaffinity(0)", ["os.sched_getaffinity"]),
        ("from os import pread, read", ["os.pread"]),
        ("import fcntl", ["fcntl"]),
        ("def f():\n    from resource import getrlimit", ["resource"]),
        ("import signal\nsignal.sigwaitinfo({15})", ["signal.sigwaitinfo"]),
        ("Path(f'/proc/{pid}/stat').read_text()", ["/proc"]),
        ("Popen(words, pass_fds=(3,))", ["pass_fds"]),
        ("ctypes.CDLL(None)", ["CDLL"]),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)", []),
    ],
)
def test_what_others_lack_is_found(source: str, expected: list[str]) -> None:
    assert findings(source) == expected


def test_only_the_guards_name_what_others_lack() -> None:
    found = {
        str(path.relative_to(PACKAGE)): names
        for path in PACKAGE.rglob("*.py")
        if path not in GUARDS and (names := findings(path.read_text(encoding="utf-8")))
    }
    assert not found
    assert all(findings(path.read_text(encoding="utf-8")) for path in GUARDS)


PROBE = """
import sys
from tests.portability.other_system import install
install(sys.argv[1])
calls = ["import os; os.sched_getaffinity(0)", "from os import sched_getaffinity",
    "import signal; signal.sigwaitinfo", "open('/proc/self/stat')",
    "from pathlib import Path; Path('/proc/self/stat').read_text()"]
if sys.argv[1] == "win32":
    calls += ["import os; os.pread", "import fcntl", "import resource",
        "import signal; signal.SIGUSR1",
        "import subprocess; subprocess.Popen(['true'], pass_fds=(1,))"]
for package in ("deepfake_mtl.made_up", "somebody_else"):
    for call in calls:
        try:
            exec(call, {"__name__": package + ".module", "__package__": package})
            print(package, "did", call)
        except (AttributeError, ImportError, OSError, ValueError) as error:
            print(package, "failed", call)
exec("import sys; print(sys.platform)", {"__package__": "deepfake_mtl"})
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems are themselves")
@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_our_modules_see_another_system_and_others_do_not(system: str) -> None:
    """A call that is put back fails in the test of the commands, as it would there."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, system],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), *sys.path])},
        capture_output=True,
        text=True,
        check=True,
    )
    *lines, platform = done.stdout.splitlines()
    assert platform == system
    assert len(lines) == (10 if system == "darwin" else 20)
    ours = [line for line in lines if line.startswith("deepfake_mtl")]
    assert all(" failed " in line for line in ours), ours
    others = [line for line in lines if line.startswith("somebody_else")]
    assert all(" did " in line for line in others), others
