"""Encoders and tasks as one network."""

import pytest
import torch

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.network import MultiTaskNetwork, current_names, network_state
from deepfake_mtl.tasks import (
    BinaryContrast,
    BinaryCrossEntropy,
    ManipulationCrossEntropy,
    MoCoSettings,
)
from tests.worlds import TinyEncoder


@pytest.mark.parametrize("separate", [False, True])
def test_branches_are_the_encoders_with_their_tasks(separate: bool) -> None:
    tasks = [ManipulationCrossEntropy(), BinaryContrast()]
    moco = MoCoSettings(dim=3, queue_size=2)
    network = MultiTaskNetwork(TinyEncoder(), tasks, moco, separate_encoders=separate)
    branches = [(each.name, each.tasks, each.contrasts) for each in network.branches()]
    if separate:
        assert branches == [("manipulation", (tasks[0],), False), ("binary", (tasks[1],), True)]
        first, second = (each.encoder for each in network.branches())
        assert first is not second
        assert all(map(torch.equal, first.parameters(), second.parameters()))
    else:
        assert branches == [("manipulation", tuple(tasks), True)]
    assert list(network.classes) == ["manipulation", "binary", "binary_neighbours"]
    outputs = network(torch.zeros(2, 3, 4, 8, 8, dtype=torch.uint8))
    columns = network.columns(outputs)
    assert network.column_names[:2] == ("score", "manipulation/original")
    torch.testing.assert_close(columns[:, 0], 1 - outputs["manipulation"][:, 0])
    torch.testing.assert_close(columns[:, -4:-2], outputs["binary"])


def test_each_task_stands_once() -> None:
    for tasks in ([], [BinaryCrossEntropy(), BinaryCrossEntropy()]):
        with pytest.raises(ConfigurationError, match="each task is to stand once"):
            MultiTaskNetwork(TinyEncoder(), tasks)


def test_names_of_before_are_brought_to_those_of_now() -> None:
    older = {"encoder.a": 1, "tasks.b.c": 2, "key_encoders.d": 3, "threshold": 4}
    newer = {"network.encoder.a": 1, "network.tasks.b.c": 2, "key_encoders.d": 3, "threshold": 4}
    assert current_names(older) == newer
    assert current_names(newer) == newer
    assert current_names({f"module.{k}": v for k, v in older.items()}, "module.") == {
        f"module.{k}": v for k, v in newer.items()
    }
    assert network_state(older) == {"encoder.a": 1, "tasks.b.c": 2}
