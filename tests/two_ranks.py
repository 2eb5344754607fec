"""Trainings that two ranks and one process run alike; a program for torchrun."""

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from deepfake_mtl.data.sampling import ShardSampler
from deepfake_mtl.detector import Detector
from deepfake_mtl.tasks import (
    BinaryContrast,
    BinaryCrossEntropy,
    ManipulationContrast,
    ManipulationCrossEntropy,
    MoCoSettings,
    Task,
)
from deepfake_mtl.training.callbacks import GradientConflictMonitor
from tests.worlds import Clips, TinyEncoder, trainer

LABELS = [0, 1, 0, 2, 3, 0, 4, 1] * 2
MOCO = MoCoSettings(dim=5, queue_size=11, neighbours=3, momentum=0.9)
CASES: dict[str, dict[str, object]] = {
    "contrast": {"tasks": "con con", "moco": replace(MOCO, symmetric=True)},
    "mixed": {"tasks": "ce con", "balance": "uncertainty"},
    "separate": {"tasks": "con ce", "separate_encoders": True},
    "surgery": {"tasks": "ce con", "balance": "upgrad"},
    # With the first two, the six configurations of the paper.
    "ce": {"tasks": "ce"},
    "con": {"tasks": "con"},
    "ce ce": {"tasks": "ce ce"},
    "con ce": {"tasks": "con ce"},
}


class Record(pl.Callback):
    """Loss, gradients and queues of every step."""

    def __init__(self) -> None:
        self.losses: list[Tensor] = []
        self.gradients: list[list[Tensor]] = []

    def on_before_optimizer_step(
        self,
        trainer: pl.Trainer,  # noqa: ARG002
        pl_module: Detector,
        *_: Any,
    ) -> None:
        trained = [p for p in pl_module.parameters() if p.requires_grad]
        self.gradients.append([p.grad.clone() for p in trained if p.grad is not None])

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.losses.append(trainer.callback_metrics["train/loss"].clone())


def train(
    case: str, folder: Path, *, ranks: int = 1, rank: int = 0, nodes: int = 1
) -> dict[str, Any]:
    torch.manual_seed(0)
    options = dict(CASES[case])
    kinds: list[dict[str, type[Task]]] = [
        {"ce": BinaryCrossEntropy, "con": BinaryContrast},
        {"ce": ManipulationCrossEntropy, "con": ManipulationContrast},
    ]
    names = str(options.pop("tasks")).split()
    tasks = [kind[name](hidden_features=8) for kind, name in zip(kinds, names, strict=False)]
    model = Detector(TinyEncoder(), tasks, **{"learning_rate": 0.02, "moco": MOCO, **options})
    record, monitor = Record(), GradientConflictMonitor(every_n_steps=2)
    clips = Clips(LABELS, views=2)
    # Of every eight clips, the first four are those of rank 0, as the queue has them.
    places = range(8) if ranks == 1 else range(4 * rank, 4 * rank + 4)
    order = [start + place for start in range(0, len(clips), 8) for place in places]
    data = DataLoader(clips, batch_size=8 // ranks, sampler=order)
    run = trainer(
        folder,
        max_epochs=2,
        devices=ranks // nodes,
        num_nodes=nodes,
        strategy="ddp" if ranks > 1 else "auto",  # which looks for no unused parameters
        precision="64-true",
        use_distributed_sampler=False,
        callbacks=[record, monitor],
    )
    run.fit(model, data)
    # An odd number of clips: the ranks' shards overlap.
    tested = run.test(
        model,
        DataLoader(clips, 4, sampler=ShardSampler(range(15), num_replicas=ranks, rank=rank)),
        verbose=False,
    )[0]
    return {
        "losses": record.losses,
        "gradients": record.gradients,
        "rows": monitor.rows,
        "state": model.state_dict(),
        "figures": tested,
    }


def main(folder: Path, cases: Sequence[str]) -> None:
    torch.set_num_threads(1)
    rank, nodes = int(os.environ["RANK"]), 2 // int(os.environ["LOCAL_WORLD_SIZE"])
    results = {case: train(case, folder, ranks=2, rank=rank, nodes=nodes) for case in cases}
    torch.save(results, folder / f"{rank}.pt")


def on_rank(rank: int, folder: Path, port: int) -> None:
    """Train all cases, with the variables that torchrun sets."""
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test"}
    os.environ |= {name: str(value) for name, value in (places | meeting).items()}
    main(folder, list(CASES))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
