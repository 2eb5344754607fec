"""Clips to probabilities, in batches."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from deepfake_mtl.errors import CheckpointError
from deepfake_mtl.inference.clips import Clip
from deepfake_mtl.metrics import fake_probability
from deepfake_mtl.network import MultiTaskNetwork


@dataclass(frozen=True, slots=True, eq=False)
class ScoredClip:
    """A clip and what the network says about it.

    Attributes:
        clip: What was scored.
        score: Probability of fake, by the first predictor.
        outputs: Probabilities of the classes of each predictor; the first class is what is real.
    """

    clip: Clip
    score: float
    outputs: dict[str, tuple[float, ...]]


class ClipScorer:
    """Scores clips in float32, as a test does by default.

    Args:
        network: In evaluation mode, on the device.
        device: Where it computes.
        batch_size: Clips of a batch.
    """

    def __init__(
        self, network: MultiTaskNetwork, device: torch.device, batch_size: int = 4
    ) -> None:
        self._network = network
        self._device = device
        self._batch_size = batch_size
        self._waiting: list[Clip] = []

    def push(self, clip: Clip) -> Iterator[ScoredClip]:
        """Take in a clip; those that are scored by now, in their order."""
        self._waiting.append(clip)
        if len(self._waiting) >= self._batch_size:
            yield from self.flush()

    def flush(self) -> Iterator[ScoredClip]:
        """Score what waits.

        Raises:
            CheckpointError: The network gives numbers that are not finite.
        """
        clips, self._waiting = self._waiting, []
        if not clips:
            return
        batch = torch.stack([as_tensor(clip) for clip in clips]).to(self._device)
        with torch.inference_mode():
            outputs = {name: out.cpu().float() for name, out in self._network(batch).items()}
        first = next(iter(outputs.values()))
        if not all(bool(out.isfinite().all()) for out in outputs.values()):
            raise CheckpointError("the network gives numbers that are not finite: it is of no use")
        scores = fake_probability(first).tolist()
        for place, clip in enumerate(clips):
            rows = {name: tuple(out[place].tolist()) for name, out in outputs.items()}
            yield ScoredClip(clip, scores[place], rows)


def as_tensor(clip: Clip) -> Tensor:
    """Return the frames as the network takes them: uint8, 3 x T x H x W."""
    return torch.from_numpy(np.ascontiguousarray(clip.frames.transpose(3, 0, 1, 2)))
