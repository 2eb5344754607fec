"""A task with another loss, and one with a label of its own."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from deepfake_mtl.data.records import VideoRecord
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.tasks import (
    BinaryCrossEntropy,
    CrossEntropyTask,
    Features,
    ManipulationCrossEntropy,
    MoCoSettings,
)


class Halved(nn.Module):
    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(logits, labels) / 2


class Compression(CrossEntropyTask):
    def __init__(self) -> None:
        super().__init__("compression", "compression", ("raw", "c23", "c40"))

    def label_of(self, record: VideoRecord) -> int:
        return {name: label for label, name in enumerate(("raw", "c23", "c40", "c50"))}[
            record.compression
        ]


def records(*compressions: str) -> list[VideoRecord]:
    return [VideoRecord("some", "original", each, "1", ("1",), Path("1")) for each in compressions]


@pytest.mark.parametrize("kind", [BinaryCrossEntropy, ManipulationCrossEntropy])
def test_another_loss_stands_in_the_place_of_cross_entropy(
    kind: type[BinaryCrossEntropy | ManipulationCrossEntropy],
) -> None:
    features, labels = torch.randn(4, 8), torch.tensor([0, 1, 1, 0])
    losses = []
    for task in (kind(), kind(loss=Halved())):
        torch.manual_seed(0)
        task.build(8, MoCoSettings())
        losses.append(task.learn(Features(features), labels).loss)
        assert task.validation_metrics(features, labels)["loss"] == losses[-1]
    assert losses[1] == losses[0] / 2
    with pytest.raises(ConfigurationError, match="label_smoothing are options of cross-entropy"):
        kind(loss=Halved(), label_smoothing=0.1)


def test_a_task_says_the_labels_of_videos() -> None:
    task = Compression()
    assert task.labels_of(records("c40", "raw")).tolist() == [2, 0]
    with pytest.raises(ConfigurationError, match="some/original/c50/1 is 3, but there are 3 class"):
        task.labels_of(records("c23", "c50"))
    assert task.labels_of([]).dtype == torch.int64
    nameless = CrossEntropyTask("scene", "scene", ("indoors", "outdoors"))
    with pytest.raises(ConfigurationError, match="implement label_of"):
        nameless.labels_of(records("c23"))
