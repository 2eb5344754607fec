"""Folders of benchmarks as the runner would leave them, with scores from a seed."""

import itertools
import json
import shutil
import zlib
from dataclasses import replace

import numpy as np
import torch

from deepfake_mtl.data.protocol import is_in_set
from deepfake_mtl.data.records import MANIPULATIONS
from deepfake_mtl.evaluation import write_predictions, write_results
from deepfake_mtl.metrics import binary_report
from tests.evaluation import world

LOSSES = (
    "binary_ce",
    "binary_con",
    "binary_ce_manipulation_ce",
    "binary_ce_manipulation_con",
    "binary_con_manipulation_ce",
    "binary_con_manipulation_con",
)
# By how much the logits of a held-out fake stand out.
QUALITY = dict(zip(LOSSES, (1.2, 1.5, 3.6, 1.1, 1.3, 1.8), strict=True))
HARD = dict(zip(MANIPULATIONS, (0.5, 0.1, -0.8, -0.4), strict=True))
THRESHOLD = 0.431


def predictions(losses, held_out, seed, videos=40):
    """Scores of a training: people, the same in all runs, differ in how easy they are."""
    faces = np.random.default_rng(0).normal(0, 0.7, videos)
    generator = np.random.default_rng([seed, zlib.crc32(f"{losses}/{held_out}".encode())])
    luck = generator.normal(0, 0.15)
    made = []
    for each in world.read_out(world.predictions(videos=videos)):
        shift = -1.0
        if each.label:
            shift = QUALITY[losses] + HARD[each.method] - 1 + luck
            shift += 0.0 if each.method in held_out else 1.2
        logit = shift + faces[int(each.identities[0])] + generator.normal(0, 0.8)
        made.append(replace(each, score=float(1 / (1 + np.exp(-logit)))))
    return made


def robustness(made, held_out):
    """Scores that move together the stronger the treatment."""
    points = []
    grid = {"jpeg": ("quality", (90, 50, 20)), "downscale": ("px", (96, 64)), "noise": ("", (5,))}
    for treatment, strengths in {"none": ("", (0,)), **grid}.items():
        for place, strength in enumerate(strengths[1]):
            keep = 1 - 0.25 * (place + (treatment != "none"))
            point = {"treatment": treatment, "strength": float(strength), "unit": strengths[0]}
            for of in ("held_out", "seen"):
                chosen = [each for each in made if is_in_set(each.method, [held_out], of)]
                scores = [0.3 + keep * (each.score - 0.3) for each in chosen]
                noise = np.random.default_rng(place).normal(0, 0.2 * (1 - keep), len(scores))
                point[of] = binary_report(
                    torch.tensor(np.clip(scores + noise, 0, 1)),
                    torch.tensor([each.label for each in chosen]),
                    THRESHOLD,
                )
            points.append(point)
    return {"schema_version": 1, "points": points}


def write_run(folder, settings, videos=40, extras=False, synthetic=True, predict=predictions):
    losses, held_out, seed = settings["losses"], settings["held_out"], settings["seed"]
    made = predict(losses, held_out, seed, videos)
    results = world.results(
        made,
        [held_out],
        THRESHOLD,
        seed=seed,
        corpus={"name": "faceforensics", "compression": "c23", "synthetic": synthetic},
        config={
            "seed_everything": seed,
            "data": {"held_out": held_out, "root": "corpus"},
            "model": {"tasks": losses.split("_manipulation_"), "learning_rate": 0.001},
        },
    )
    if "_manipulation_" in losses:
        results["gradient_conflict"] = world.conflict()
    write_predictions(folder, made)
    write_results(folder, results)
    if not extras:
        return
    (folder / "robustness.json").write_text(json.dumps(robustness(made, held_out)))
    generator = np.random.default_rng(seed)
    centres = {method: generator.normal(0, 2, 16) for method in ("original", *MANIPULATIONS)}
    np.savez(
        folder / "features.npz",
        features=np.array(
            [centres[each.method] + generator.normal(0, 1, 16) for each in made], np.float32
        ),
        keys=np.array([each.key for each in made]),
        methods=np.array([each.method for each in made]),
    )
    for corpus in ("celeb-df", "c40"):
        write_predictions(folder / "tests" / corpus, made)
        write_results(folder / "tests" / corpus, results)


def write_benchmark(
    folder,
    losses=LOSSES,
    held_out=MANIPULATIONS,
    seeds=(0, 1),
    finished=lambda _: True,
    more_axes=None,
    **options,
):
    """Writes a plan and those runs that are finished."""
    axes = {"losses": losses, "held_out": held_out, "seed": seeds, **(more_axes or {})}
    runs = []
    for values in itertools.product(*axes.values()):
        settings = dict(zip(axes, values, strict=True))
        parts = [str(settings[axis]) for axis in axes if axis != "seed"]
        name = "/".join([*parts, f"seed-{settings['seed']}"])
        runs.append({"name": name, "settings": settings})
        if finished(settings):
            write_run(folder / name, settings, **options)
    plan = {
        "schema_version": 1,
        "command": "deepfake-mtl benchmark --config configs/demo.yaml --out RUNS",
        "axes": {axis: list(values) for axis, values in axes.items()},
        "runs": runs,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(plan))
    return folder


def fail(folder, name, reason):
    shutil.rmtree(folder / name, ignore_errors=True)
    (folder / name).mkdir(parents=True)
    (folder / name / "failure.txt").write_text(f"{reason}\nTraceback ...\n")
