"""What a GPU does with this library, in 25 minutes of one.

    python benchmarks/gpu.py [--device cuda] [--minutes 25] [--out gpu.json]

It needs torch and torchvision alone, but for the parts that train a detector (configurations,
resume, one rank), which need what the package needs. Parts follow one another, what matters most
first; after each, the file is written whole, so that an interruption loses nothing. A part that
fails is noted with its error, and one that comes too late is noted as skipped. At the end stand a
table, and a verdict on each switch. ``--device cpu --small`` tries the script itself.
"""

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # of deterministic products

import torch
from gpu_parts import PARTS, Clock, Setting, Shape

from deepfake_mtl.util.files import write_whole

DEFAULT_FROM, COMPILE_FROM = 1.05, 1.2
GOALS = {"torchvision, float32": 4.0, "torchvision, bfloat16, channels last": 1.3}


def verdict(switch: str, base: dict[str, float], with_it: dict[str, float]) -> str:
    """Say what follows from the seconds and the memory of a step without a switch and with it."""
    ratio = base["seconds"] / with_it["seconds"]
    more = with_it.get("gib", 0.0) > 1.01 * base.get("gib", 0.0)
    least = COMPILE_FROM if "compile" in switch else DEFAULT_FROM
    answer = "recommend" if "compile" in switch else "make it the default"
    if ratio < least:
        answer = "leave it off"
    elif more:
        answer = "leave it off: it takes more memory"
    return f"{switch}: {ratio:.2f} times as fast: {answer}"


def verdicts(steps: dict[str, dict[str, float]]) -> list[str]:
    """Judge each switch, and the goals, by the steps of one size of batch."""
    steps = {name: figures for name, figures in steps.items() if "seconds" in figures}
    base = steps.get("plain")
    if base is None:
        return []
    rivals = [name for name in GOALS if name in steps]
    switches = [n for n in steps if n != "plain" and not n.startswith(("torchvision", "MoCo"))]
    fastest = min(steps[name]["seconds"] for name in ("plain", *switches))
    lines = [verdict(name, base, steps[name]) for name in switches]
    for name in rivals:
        ratio, goal = steps[name]["seconds"] / fastest, GOALS[name]
        lines.append(f"{name}: our fastest is {ratio:.2f} times as fast (goal: {goal})")
    return lines


def run_part(part: Callable[[Setting], object], setting: Setting) -> dict[str, Any]:
    """Run a part, or say why there is no result of it."""
    if setting.clock.over:
        return {"skipped": "out of time"}
    began = time.perf_counter()
    try:
        result: dict[str, Any] = {"result": part(setting)}
    except Exception as error:  # noqa: BLE001 (whatever one part meets, the others go on)
        traceback.print_exc()
        result = {"error": f"{type(error).__name__}: {error}"}
    return {**result, "seconds": round(time.perf_counter() - began, 2)}


def table(parts: dict[str, dict[str, Any]]) -> list[str]:
    """Return the lines of one table of all steps, then what came of the other parts."""
    lines = ["| batch | step | clips a second | GiB |", "|---|---|---|---|"]
    others = []
    for name, part in parts.items():
        if not name.startswith("steps") or "result" not in part:
            state = part.get("error") or part.get("skipped") or json.dumps(part["result"])
            others.append(f"{name}: {state}")
            continue
        for batch, steps in part["result"].items():
            for step, figures in steps.items():
                if "error" in figures:
                    lines.append(f"| {batch} | {step} | {figures['error'][:80]} | |")
                    continue
                rate = int(batch) / figures["seconds"]
                lines.append(f"| {batch} | {step} | {rate:.1f} | {figures.get('gib', 0):.2f} |")
    return [*lines, "", *others]


def main() -> None:
    """Parse the options, run the parts, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--minutes", type=float, default=25.0)
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--small", action="store_true", help="tiny clips and few steps")
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), default=list(PARTS))
    options = parser.parse_args()
    torch.manual_seed(0)
    shape = Shape(8, 32, (2,), 2, 1) if options.small else Shape(32, 128, (32, 16, 64), 20, 10)
    clock = Clock(time.monotonic() + 60 * options.minutes)
    setting = Setting(torch.device(options.device), shape, clock, options.out.with_suffix(".pt"))
    content: dict[str, Any] = {"shape": asdict(shape), "parts": {}}
    for number, name in enumerate(options.parts, 1):
        left = max(0.0, clock.end - time.monotonic()) / 60
        print(f"[{number}/{len(options.parts)}] {name}, {left:.1f} minutes left", file=sys.stderr)
        content["parts"][name] = run_part(PARTS[name], setting)
        write_whole(options.out, json.dumps(content, indent=1))
    print("\n".join(table(content["parts"])))
    steps: dict[str, dict[str, dict[str, float]]] = {}
    for name in ("steps", "steps compiled"):
        for batch, each in content["parts"].get(name, {}).get("result", {}).items():
            steps.setdefault(batch, {}).update(each)
    content["verdicts"] = {batch: verdicts(each) for batch, each in steps.items()}
    for batch, lines in content["verdicts"].items():
        print(f"\nBatches of {batch}:", *lines, sep="\n")
    write_whole(options.out, json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
