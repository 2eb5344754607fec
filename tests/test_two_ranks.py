"""The detector on two ranks against one process that has all the data, in float64."""

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.processes import run_processes
from tests.two_ranks import CASES, on_rank, train

LAUNCHER = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node"]
PROGRAM = ["-m", "tests.two_ranks"]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("two_ranks")
    run_processes(2, on_rank, folder, free_port())
    return [torch.load(folder / f"{number}.pt") for number in range(2)]


def close(actual: object, expected: object) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_ranks_equal_one_process(
    case: str, ranks: list[dict[str, Any]], tmp_path: Path
) -> None:
    compare(case, [rank[case] for rank in ranks], train(case, tmp_path))


@pytest.mark.slow
def test_two_nodes_of_one_device_equal_one_process(tmp_path: Path) -> None:
    """A torchrun of its own for each node, as on two machines."""
    place = ["--nnodes=2", "--master-addr=127.0.0.1", f"--master-port={free_port()}"]
    nodes = [
        subprocess.Popen(
            [*LAUNCHER, "1", *place, f"--node-rank={node}", *PROGRAM, str(tmp_path), "contrast"]
        )
        for node in range(2)
    ]
    assert [node.wait() for node in nodes] == [0, 0]
    ranks = [torch.load(tmp_path / f"{number}.pt")["contrast"] for number in range(2)]
    compare("contrast", ranks, train("contrast", tmp_path))


def compare(case: str, ranks: list[dict[str, Any]], alone: dict[str, Any]) -> None:
    first, second = ranks
    assert len(alone["losses"]) == len(first["losses"]) == 8
    means = [(a + b) / 2 for a, b in zip(first["losses"], second["losses"], strict=True)]
    close(means, alone["losses"])
    for rank in (first, second):
        close(rank["gradients"], alone["gradients"])
        for name, value in alone["state"].items():
            close(rank["state"][name], value)
        measured = 0 if case in ("separate", "ce", "con") else 8
        assert len(rank["rows"]) == len(alone["rows"]) == measured
        for actual, expected in zip(rank["rows"], alone["rows"], strict=True):
            assert actual["step"] == expected["step"]
            assert actual["group"] == expected["group"]
            for figure in ("cosine", "norm_ratio"):
                if expected[figure] is None:
                    assert actual[figure] is None
                else:
                    assert actual[figure] == pytest.approx(expected[figure], rel=1e-5, abs=1e-6)
        assert rank["figures"] == pytest.approx(alone["figures"], rel=1e-5, nan_ok=True)
    queues = [name for name in alone["state"] if name.endswith("queue.keys")]
    assert len(queues) == {"contrast": 2, "ce": 0, "ce ce": 0}.get(case, 1)
    for name in queues:
        assert torch.equal(first["state"][name], second["state"][name])
        assert alone["state"][name].dtype == torch.float64
