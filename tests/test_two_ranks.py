"""The detector on two ranks against one process that has all the data, in float64."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.two_ranks import CASES, train


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("two_ranks")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    subprocess.run([*launcher, "-m", "tests.two_ranks", str(folder)], check=True)
    return [torch.load(folder / f"{number}.pt") for number in range(2)]


def close(actual: object, expected: object) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_ranks_equal_one_process(
    case: str, ranks: list[dict[str, Any]], tmp_path: Path
) -> None:
    alone = train(case, tmp_path)
    first, second = (rank[case] for rank in ranks)
    assert len(alone["losses"]) == len(first["losses"]) == 8
    means = [(a + b) / 2 for a, b in zip(first["losses"], second["losses"], strict=True)]
    close(means, alone["losses"])
    for rank in (first, second):
        close(rank["gradients"], alone["gradients"])
        for name, value in alone["state"].items():
            close(rank["state"][name], value)
        assert len(rank["rows"]) == len(alone["rows"]) == (0 if case == "separate" else 8)
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
    assert len(queues) == {"contrast": 2}.get(case, 1)
    for name in queues:
        assert torch.equal(first["state"][name], second["state"][name])
        assert alone["state"][name].dtype == torch.float64
