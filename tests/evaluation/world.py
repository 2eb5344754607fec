"""Predictions as a detector might make them, from a seed."""

from dataclasses import replace

import numpy as np

from deepfake_mtl.data.records import MANIPULATION_CLASSES
from deepfake_mtl.evaluation import SCHEMA_VERSION, Example, Prediction, choose_examples, evaluate

# Mean logit of fake and of each manipulation; the last one is held out and looks half real.
LOGITS = (-2.2, 3.0, 2.6, 2.2, 0.3)
HELD_OUT = ("NeuralTextures",)


def predictions(seed=0, videos=40, methods=MANIPULATION_CLASSES, head=True):
    generator = np.random.default_rng(seed)
    made = []
    for method in methods:
        label = MANIPULATION_CLASSES.index(method)
        for video in range(videos):
            logit = generator.normal(LOGITS[label], 1.8)
            raw = generator.gamma(0.7, size=5) + 3 * (np.arange(5) == label) * (label < 4) + 1e-3
            shares = raw / raw.sum()
            made.append(
                Prediction(
                    key=f"synthetic/{method}/c23/{video:03}"
                    + (f"_{video + 500:03}" if label else ""),
                    method=method,
                    label=label > 0,
                    score=float(1 / (1 + np.exp(-logit))),
                    clips=4,
                    outputs={
                        f"manipulation/{name}": float(share)
                        for name, share in zip(MANIPULATION_CLASSES, shares, strict=True)
                    }
                    if head
                    else {},
                    identities=(f"{video:03}", f"{video + 500:03}")[: 1 + (label > 0)],
                )
            )
    return made


def read_out(made, seed=1):
    """Adds predictors of two contrastive tasks to predictions that have a manipulation head."""
    generator = np.random.default_rng(seed)
    read = []
    for each in made:
        outputs = {}
        for name in ("binary", "binary_neighbours"):
            fake = each.score if name == "binary" else float(generator.beta(1 + 2 * each.score, 2))
            outputs |= {f"{name}/real": 1 - fake, f"{name}/fake": fake}
        outputs |= each.outputs
        shares = generator.dirichlet([0.2 + share for share in each.outputs.values()])
        names = [f"manipulation_neighbours/{name}" for name in MANIPULATION_CLASSES]
        outputs |= dict(zip(names, map(float, shares), strict=True))
        read.append(replace(each, outputs=outputs))
    return read


def conflict(groups=("stem", "early", "middle", "late"), steps=range(10, 201, 10), gaps=(50,)):
    generator = np.random.default_rng(5)
    return [
        {
            "step": step,
            "group": group,
            "tasks": ["binary", "manipulation"],
            "cosine": None if step in gaps else float(generator.normal(0.1 - 0.1 * place, 0.15)),
            "norm_ratio": None
            if step in gaps
            else float(np.exp(generator.normal(0.5 * place, 0.3))),
        }
        for step in steps
        for place, group in enumerate(groups)
    ]


def results(made, held_out=HELD_OUT, threshold=0.431, **changes):
    return {
        "schema_version": SCHEMA_VERSION,
        "corpus": {"name": "faceforensics", "compression": "c23", "synthetic": True},
        "held_out": list(held_out),
        "seed": 7,
        "checkpoint": "checkpoints/epoch=11-step=540.ckpt",
        "counts": {
            "train": {"real": 719, "fake": 2153},
            "val": {"real": 141, "fake": 417},
            "test": {
                "real": sum(not each.label for each in made),
                "fake": sum(each.label for each in made),
            },
            "missing": {"Face2Face": 6},
            "corrupt": ["manipulated_sequences/FaceSwap/c23/videos/001_870.mp4"],
        },
        "figures": evaluate(made, held_out, threshold),
        "config": {"model": {"learning_rate": 0.001, "tasks": ["binary", "manipulation"]}},
        "versions": {"python": "3.12.1", "torch": "2.14.1"},
        "command": "deepfake-mtl test --config fit.yaml --ckpt_path last.ckpt",
        **changes,
    }


def examples(made, held_out=HELD_OUT, per_class=2):
    generator = np.random.default_rng(3)
    return [
        Example(each, generator.integers(0, 256, (8, 16, 16, 3), dtype=np.uint8))
        for each in choose_examples(made, held_out, per_class)
    ]
