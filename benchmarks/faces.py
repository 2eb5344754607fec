"""All about the speed of face crops, in one run: clips, loader, prepare, and a figure of it.

    python benchmarks/faces.py CORPUS --out DIR [--detector_model FILE]

Runs what `store.py`, `loader.py` and `preparing.py` do, writes their figures to `faces.json`, and
draws `faces.svg`. What is not installed (torchcodec, decord) is left out.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import loader
import matplotlib as mpl
import preparing
import store
from matplotlib.axes import Axes
from matplotlib.figure import Figure

STORE_COLOUR, OTHER_COLOUR, PARTS = "#2a6f97", "#9aa5b1", ("#2a6f97", "#61a5c2", "#a9d6e5")


def main() -> None:
    """Parse the options, measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path, metavar="CORPUS")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--detector_model", type=Path)
    parser.add_argument("--clips", type=int, default=60, help="of each height")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--copies", type=int, default=3)
    options = parser.parse_args()
    corpus, model, out = options.corpus, options.detector_model, options.out
    result: dict[str, Any] = {
        "store": store.measure(corpus, model, out / "work", options.clips),
        "loader": loader.measure(
            out / "work" / "jpeg95", [1, options.workers], options.epochs, 256
        ),
        "preparing": preparing.measure(corpus, model, options.workers, options.copies),
    }
    (out / "faces.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for part in (store, loader, preparing):
        print(part.describe(result[part.__name__]), end="\n\n")
    draw(result, out / "faces.svg")
    print(f"Drawn: {out / 'faces.svg'}")


def draw(result: dict[str, Any], path: Path) -> None:
    """Draw all of it."""
    figure = Figure(figsize=(9, 6.4), layout="constrained")
    rows = figure.subplots(2, 2, height_ratios=[1.6, 1])
    for axes, (height, rates) in zip(rows[0], result["store"].items(), strict=False):
        draw_rates(axes, f"Originals of {height} lines", rates)
    draw_loader(rows[1][0], result["loader"])
    draw_preparing(rows[1][1], result["preparing"])
    # Text as text; no random names, so that the same figures give the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "faces"}):
        figure.savefig(path, bbox_inches="tight", metadata={"Date": None})


def draw_rates(axes: Axes, title: str, rates: dict[str, float | None]) -> None:
    """Draw clips a second of each reader."""
    present = {name: rate for name, rate in rates.items() if rate is not None}
    names = list(present)[::-1]
    colours = [STORE_COLOUR if name.startswith("store") else OTHER_COLOUR for name in names]
    bars = axes.barh(names, [present[name] for name in names], color=colours)
    axes.bar_label(bars, [_short(present[name]) for name in names], padding=3)
    axes.set(xscale="log", xlim=(1, 8 * max(present.values())), title=title)
    axes.set_xlabel("random clips of 32 frames, a second")
    axes.spines[["top", "right"]].set_visible(False)


def _short(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"


def draw_loader(axes: Axes, result: dict[str, Any]) -> None:
    """Draw the parts of the loader, one after the other, and each number of workers."""
    left = 0.0
    for (part, spent), colour in zip(result["parts"].items(), PARTS, strict=True):
        axes.barh("parts, one by one", spent, left=left, color=colour, label=part)
        left += spent
    for workers, whole in result["whole"].items():
        rate = loader.median(whole["rates"]) / int(workers)
        name = f"loader, {workers} worker{'s' * (int(workers) > 1)}"
        bars = axes.barh(name, 1e3 / rate, color=OTHER_COLOUR)
        label = f"{rate:.0f} clips a second and worker"
        axes.bar_label(bars, [label], label_type="center", fontsize="small")
    axes.invert_yaxis()
    axes.margins(x=0.02)
    axes.set(title="Training clips of 128 px", xlabel="milliseconds a clip and worker")
    axes.legend(
        frameon=False, ncols=3, loc="upper left", fontsize="small", bbox_to_anchor=(0, -0.3)
    )
    axes.spines[["top", "right"]].set_visible(False)


def draw_preparing(axes: Axes, result: dict[str, Any]) -> None:
    """Draw how long decoding and preparing take."""
    names = {"preparing": "deepfake-mtl prepare", "decoding": "decoding alone"}
    per_frame = [1e3 * result["workers"] * result[name] / result["frames"] for name in names]
    bars = axes.barh(list(names.values()), per_frame, color=[STORE_COLOUR, OTHER_COLOUR])
    axes.bar_label(bars, [f"{each:.2f}" for each in per_frame], padding=3)
    axes.set(title=f"Preparing, {result['workers']} processes", xlim=(0, 1.2 * max(per_frame)))
    axes.set_xlabel("milliseconds a frame and process")
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
