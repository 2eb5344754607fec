"""Two ranks on the CPU against one process that has all the data."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from deepfake_mtl.losses import (
    ConflictMeter,
    GradientSurgery,
    gradient_conflict,
    label_informed_info_nce,
)
from deepfake_mtl.models.momentum import MomentumEncoder, shuffled_forward
from deepfake_mtl.models.queue import KeyQueue
from tests.processes import run_processes

STEPS = 4
HAS_TORCHJD = all(find_spec(name) for name in ("torchjd", "quadprog", "qpsolvers"))


def encoder() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 4)).double()


def batches() -> list[tuple[Tensor, Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (
            torch.randn(6, 5, dtype=torch.float64, generator=generator),
            torch.randn(6, 5, dtype=torch.float64, generator=generator),
            torch.randint(2, (6,), generator=generator),
        )
        for _ in range(STEPS)
    ]


def train(rows: slice, *, ddp: bool) -> list[dict[str, Any]]:
    """A short training by contrast; the queue of 7 is not divided by the batch of 6."""
    query = encoder()
    network = DistributedDataParallel(query) if ddp else query
    key, queue = MomentumEncoder(query), KeyQueue(7, 4).double()
    optimizer = torch.optim.SGD(query.parameters(), lr=0.5)
    record = []
    for first, second, labels in batches():
        optimizer.zero_grad()
        keys = key(second[rows])
        loss = label_informed_info_nce(
            network(first[rows]), keys, labels[rows], *queue.snapshot(), temperature=0.2
        )
        queue.enqueue(keys, labels[rows])
        loss.backward()
        gradients = [p.grad.clone() for p in query.parameters()]
        optimizer.step()
        key.update(query, 0.9)
        record.append(
            {
                "loss": loss.detach(),
                "gradients": gradients,
                "queue": {k: v.clone() for k, v in queue.state_dict().items()},
                "key": [p.clone() for p in key.parameters()],
            }
        )
    return record


def two_losses(
    network: nn.Module, heads: nn.ModuleList, x: Tensor
) -> tuple[dict[str, Tensor], Any]:
    features = network(x)
    return {
        "a": (heads[0](features) - 1).pow(2).mean(),
        "b": (heads[1](features) + 2).pow(2).mean(),
    }, features


def measure_and_operate(rows: slice, *, ddp: bool) -> dict[str, Any]:
    """Conflict of the gradients, then a plain backward pass, then surgery."""
    query = encoder()
    heads = nn.ModuleList([nn.Linear(4, 1), nn.Linear(4, 1)]).double()
    heads[1].load_state_dict(heads[0].state_dict())
    network = DistributedDataParallel(query) if ddp else query
    x = batches()[0][0][rows]
    losses, _ = two_losses(network, heads, x)
    meter = ConflictMeter({"all": query.parameters()})
    meter.add(losses)
    result: dict[str, Any] = {"conflict": tuple(meter.compute()["all"]["a", "b"])}
    result["alone"] = tuple(
        gradient_conflict(
            two_losses(query, heads, batches()[0][0])[0], {"all": query.parameters()}
        )["all"]["a", "b"]
    )
    sum(losses.values()).backward()
    result["plain"] = [p.grad.clone() for p in query.parameters()]
    if HAS_TORCHJD:
        query.zero_grad()
        heads.zero_grad()
        surgery = GradientSurgery()
        if ddp:
            with network.no_sync():
                losses, features = two_losses(network, heads, x)
        else:
            losses, features = two_losses(network, heads, x)
        surgery.backward(losses, features, query.parameters())
        surgery.aggregate(query.parameters(), heads.parameters())
        result["surgery"] = [p.grad.clone() for p in (*query.parameters(), *heads.parameters())]
    return result


def uneven_and_shuffled(number: int) -> dict[str, Any]:
    """Ranks of 1 and 3 rows, then of 0 and 2, in a queue; clips of both through a key network."""
    queue = KeyQueue(5, 2)
    for start, counts in ((0, (1, 3)), (4, (0, 2))):
        first = start + sum(counts[:number])
        labels = torch.arange(first, first + counts[number])
        queue.enqueue(torch.stack([torch.ones(len(labels)), labels.float()], dim=1), labels)
    torch.manual_seed(number)  # ranks do not draw the same numbers
    clips = torch.arange(10, dtype=torch.uint8).view(10, 1)[
        slice(0, 4) if number == 0 else slice(4, 10)
    ]
    norm = nn.BatchNorm1d(1).double()
    seen: list[Tensor] = []

    def identity(x: Tensor) -> Tensor:
        seen.append(x)
        return x.float() * 2

    class Identity(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return identity(x)

    keys = shuffled_forward(Identity(), clips)
    values = (torch.arange(12, dtype=torch.float64) ** 2).view(12, 1)[6 * number : 6 * number + 6]
    return {
        "queue": queue.state_dict(),
        "clips": clips,
        "keys": keys,
        "seen": seen[0],
        "plain": norm(values).detach(),
        "shuffled": shuffled_forward(norm, values),
    }


def odd_orders_and_heads(number: int) -> dict[str, Any]:
    """PCGrad, which goes through three tasks at random, beside heads that not all ranks use."""
    if not HAS_TORCHJD:
        return {}
    torch.manual_seed(number)  # ranks do not draw the same orders
    point = nn.Parameter(torch.tensor([1.0, 1.0]))
    head, unused = (nn.Parameter(torch.ones(())) for _ in range(2))
    gradients = torch.tensor([[1.0, 0.0], [-0.5, 0.2], [-0.5, -0.9]])
    found = []
    for _ in range(6):
        point.grad = head.grad = None
        features = 1.0 * point
        losses = {name: row @ features for name, row in zip("abc", gradients, strict=True)}
        if number == 0:
            losses["a"] = losses["a"] * head
        surgery = GradientSurgery("pcgrad")
        surgery.backward(losses, features, [point])
        surgery.aggregate([point], [head, unused])
        found.append(point.grad)
    return {"orders": torch.stack(found), "head": head.grad, "unused": unused.grad}


def work(number: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=number, world_size=2
    )
    rows = slice(3 * number, 3 * number + 3)
    result = {
        "training": train(rows, ddp=True),
        "tasks": measure_and_operate(rows, ddp=True),
        "other": uneven_and_shuffled(number),
        "odd": odd_orders_and_heads(number),
    }
    torch.save(result, Path(folder) / f"{number}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("ranks")
    run_processes(2, work, str(folder))
    return [torch.load(folder / f"{number}.pt") for number in range(2)]


def close(actual: object, expected: object) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)


def test_training_on_two_ranks_equals_one_process(ranks: list[dict[str, Any]]) -> None:
    alone = train(slice(None), ddp=False)
    for step in range(STEPS):
        first, second = (rank["training"][step] for rank in ranks)
        close((first["loss"] + second["loss"]) / 2, alone[step]["loss"])
        for one in (first, second):
            close(one["gradients"], alone[step]["gradients"])
            close(one["queue"], alone[step]["queue"])
            close(one["key"], alone[step]["key"])
        assert all(torch.equal(first["queue"][k], second["queue"][k]) for k in first["queue"])
    assert alone[-1]["loss"] > 0
    assert alone[-1]["queue"]["pointer"] == 6 * STEPS % 7


def test_conflict_and_surgery_on_two_ranks_equal_one_process(ranks: list[dict[str, Any]]) -> None:
    alone = measure_and_operate(slice(None), ddp=False)
    assert alone["conflict"][0] < 0
    for rank in ranks:
        close(rank["tasks"]["conflict"], alone["conflict"])
        close(rank["tasks"]["plain"], alone["plain"])
        if HAS_TORCHJD:
            close(rank["tasks"]["surgery"], alone["surgery"])
            assert not torch.allclose(alone["surgery"][0], alone["plain"][0])


@pytest.mark.skipif(not HAS_TORCHJD, reason="needs torchjd, quadprog and qpsolvers")
def test_ranks_agree_on_an_order_and_on_a_head_that_one_of_them_uses(
    ranks: list[dict[str, Any]],
) -> None:
    first, second = (rank["odd"] for rank in ranks)
    assert torch.equal(first["orders"], second["orders"])
    assert len(first["orders"].unique(dim=0)) > 1
    for rank in (first, second):
        assert rank["head"] == 0.5
        assert rank["unused"] is None


def test_uneven_batches_make_one_queue(ranks: list[dict[str, Any]]) -> None:
    queues = [rank["other"]["queue"] for rank in ranks]
    for queue in queues:
        assert queue["labels"].tolist() == [5, 1, 2, 3, 4]
        assert queue["pointer"] == 1
        # The second number of a key over the first is its label.
        close((queue["keys"][:, 1] / queue["keys"][:, 0]).round(), queue["labels"].float())
    assert torch.equal(queues[0]["keys"], queues[1]["keys"])


def test_shuffling_mixes_ranks_and_gives_each_its_own(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        other = rank["other"]
        assert torch.equal(other["keys"], other["clips"].float() * 2)
        assert len(other["seen"]) == len(other["clips"])
        assert not set(other["seen"].flatten().tolist()) <= set(other["clips"].flatten().tolist())
        # BatchNorm took its statistics from other clips.
        assert not torch.allclose(other["plain"], other["shuffled"])
        assert not other["shuffled"].requires_grad
    seen = torch.cat([rank["other"]["seen"] for rank in ranks]).flatten()
    assert seen.sort().values.tolist() == list(range(10))
