"""The six configurations on a synthetic corpus, several seeds each, as a table.

Each training and each test is a process of its own. What is finished is not done again, so that an
interrupted run goes on with the same command.

    python benchmarks/configurations.py --out runs/configurations --jobs 2
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from tqdm import tqdm

from deepfake_mtl.util.machine import usable_cores

CONFIGURATIONS = (
    "binary_ce",
    "binary_con",
    "binary_ce_manipulation_ce",
    "binary_ce_manipulation_con",
    "binary_con_manipulation_ce",
    "binary_con_manipulation_con",
)
PAIRS = {"train": 22, "val": 8, "test": 14}
COMMAND = (sys.executable, "-m", "deepfake_mtl")


def main() -> None:
    """Parse the options, run what is not finished, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/configurations"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--held_out", default="FaceSwap")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    arguments = parser.parse_args()
    corpus = arguments.out / "corpus"
    synthesize = ["synthesize", str(corpus), "--identities=200", "--seed=0"]
    subprocess.run(
        [*COMMAND, *synthesize, "--compression=c23", "--size=64", "--seconds=2"], check=True
    )
    write_splits(corpus / "splits", arguments.out / "splits")
    runs = [(name, seed) for seed in range(arguments.seeds) for name in CONFIGURATIONS]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        jobs = [pool.submit(run, *each, corpus, arguments) for each in runs]
        for job in tqdm(jobs, desc="Trainings", unit="run"):
            job.result()
    print(table(arguments.out, arguments.seeds))


def write_splits(whole: Path, folder: Path) -> None:
    """Train on as many people as the demo does, and test on more of them, for finer figures."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, pairs in PAIRS.items():
        content = json.loads((whole / f"{split}.json").read_text())
        (folder / f"{split}.json").write_text(json.dumps(content[:pairs]))


def run(name: str, seed: int, corpus: Path, arguments: argparse.Namespace) -> None:
    """Train and test one configuration with one seed, unless that is done."""
    folder = arguments.out / f"{name}-{seed}"
    if (folder / "results.json").is_file():
        return
    last = folder / "checkpoints" / "last.ckpt"
    options = [
        "--config=configs/demo.yaml",
        f"--config=configs/losses/{name}.yaml",
        f"--data.root={corpus}",
        f"--data.splits={arguments.out / 'splits'}",
        f"--data.held_out={arguments.held_out}",
        "--data.num_workers=1",
        "--data.train_clips_per_video=5",  # fewer people than in the demo, as many steps
        "--trainer.check_val_every_n_epoch=3",
        f"--trainer.default_root_dir={folder}",
        f"--seed_everything={seed}",
        "--trainer.enable_progress_bar=false",
        "--trainer.enable_model_summary=false",
    ]
    resume = [f"--ckpt_path={last}"] if last.is_file() else []
    threads = max(usable_cores() // arguments.jobs, 1)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("a") as log:
        for words in (["fit", *options, *resume], ["test", *options, f"--ckpt_path={last}"]):
            subprocess.run([*COMMAND, *words], env=environment, stdout=log, stderr=log, check=True)


def table(out: Path, seeds: int) -> str:
    """Return mean and deviation over the seeds in per cent, in Markdown."""
    figures = ("AUC", "accuracy")
    heads = [f"{test} {figure}" for test in ("seen", "held-out") for figure in figures]
    heads = ["configuration", "readout", *heads, "class accuracy", "chance"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name in CONFIGURATIONS:
        results = [
            json.loads((out / f"{name}-{seed}" / "results.json").read_text())
            for seed in range(seeds)
        ]
        all_readouts: list[dict[str, Any]] = [each["figures"]["readouts"] for each in results]
        for readout in all_readouts[0]:
            of = [readouts[readout] for readouts in all_readouts]
            cells = [
                spread([each[test][figure] for each in of])
                for test in ("seen", "held_out")
                for figure in ("auc", "accuracy")
            ]
            cells += [spread([each["class_accuracy"] for each in of]), f"{of[0]['chance']:.0%}"]
            lines.append(f"| `{name}` | {readout} | {' | '.join(cells)} |")
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    """Return the mean and the deviation in per cent."""
    deviation = stdev(values) if len(values) > 1 else 0.0
    return f"{100 * mean(values):.1f} ± {100 * deviation:.1f}"


if __name__ == "__main__":
    main()
