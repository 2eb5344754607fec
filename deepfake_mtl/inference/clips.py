"""Clips out of the views of each face, no more than one in memory, and their scores."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepfake_mtl.data.clip_positions import ClipPositions
from deepfake_mtl.errors import CheckpointError
from deepfake_mtl.inference.views import View
from deepfake_mtl.metrics import fake_probability
from deepfake_mtl.network import MultiTaskNetwork


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Frames of a face that the network scores at once.

    Attributes:
        face: Number of the face; see `View`.
        start: First frame, counted from 0.
        end: Last frame.
        frames: RGB, shape (T, size, size, 3).
        side: Side of the face in pixels, the median.
        found: Share of the frames looked at in which the face was found; None where no frame was
            looked at.
        folded: Whether the face was there too briefly, so that its frames are played forth and
            back.
    """

    face: int
    start: int
    end: int
    frames: NDArray[np.uint8]
    side: float
    found: float | None
    folded: bool = False


Scored: TypeAlias = tuple[Clip, float, dict[str, tuple[float, ...]]]
"""A clip, its probability of fake, and the probabilities of the classes of each predictor."""


class ClipBuffer:
    """Makes clips of a face, from where it appears to where it disappears.

    Args:
        positions: Which frames a clip is made of.
        frames: Number of frames in the video.
        step: Distance between the starts of overlapping clips, from where the face appears; one
            more clip ends where it disappears.
        count: Instead of those, number of clips that are evenly spread over the video, as in tests
            (`deepfake_mtl.data.clips.EvaluationClips`); None for overlapping ones.
    """

    def __init__(
        self, positions: ClipPositions, *, frames: int, step: int, count: int | None
    ) -> None:
        self._positions = positions
        self._frames = frames
        self._step = step
        self._count = count
        starts = [] if count is None else positions.spread(frames, count)
        self._ends = [start + positions.span - 1 for start in starts]
        self._held: deque[View] = deque(maxlen=positions.span)
        self._seen = 0
        self._last_end = -1

    def push(self, view: View) -> Iterator[Clip]:
        """Take in the next frame, and yield the clips that end with it."""
        self._held.append(view)
        self._seen += 1
        span = self._positions.span
        if self._seen < span:
            return
        if self._count is None:
            due = int((self._seen - span) % self._step == 0)
        else:
            due = self._ends.count(view.number)
        for _ in range(due):
            yield self._clip()

    def close(self) -> Iterator[Clip]:
        """Yield the clips of which it is known only now that nothing follows."""
        span = self._positions.span
        if not self._held:
            return
        if self._seen >= span:
            if self._count is None and self._last_end < self._held[-1].number:
                yield self._clip()
            return
        everything = self._seen == self._frames
        if everything or (self._count is None and 2 * self._seen >= span):
            for _ in range(self._count or 1):
                yield self._clip()

    def _clip(self) -> Clip:
        held = list(self._held)
        self._last_end = held[-1].number
        looks = [view.found for view in held if view.found is not None]
        return Clip(
            face=held[0].face,
            start=held[0].number,
            end=held[-1].number,
            frames=np.stack([held[place].picture for place in self._positions.offsets(len(held))]),
            side=float(np.median([view.side for view in held])),
            found=float(np.mean(looks)) if looks else None,
            folded=len(held) < self._positions.span,
        )


class ClipScorer:
    """Scores clips in batches, in float32, as a test does by default.

    Where the memory of a device is too small for a batch, smaller ones are tried, and kept to.

    Args:
        network: Network in evaluation mode, on the device.
        device: Where it computes.
        batch_size: Number of clips in a batch.
    """

    def __init__(
        self, network: MultiTaskNetwork, device: torch.device, batch_size: int = 4
    ) -> None:
        self._network = network
        self._device = device
        self._batch_size = batch_size
        self._waiting: list[Clip] = []

    def push(self, clip: Clip) -> Iterator[Scored]:
        """Take in a clip, and yield those that are scored by now, in their order; see `flush`."""
        self._waiting.append(clip)
        if len(self._waiting) >= self._batch_size:
            yield from self.flush()

    def flush(self) -> Iterator[Scored]:
        """Score the clips that wait.

        Raises:
            CheckpointError: The network gives numbers that are not finite.
        """
        clips, self._waiting = self._waiting, []
        if not clips:
            return
        outputs = self._outputs(torch.stack([as_tensor(clip.frames) for clip in clips]))
        if not all(bool(out.isfinite().all()) for out in outputs.values()):
            raise CheckpointError("the network gives numbers that are not finite: it is of no use")
        first = next(iter(outputs.values()))
        scores = fake_probability(first).tolist()
        for place, clip in enumerate(clips):
            rows = {name: tuple(out[place].tolist()) for name, out in outputs.items()}
            yield clip, scores[place], rows

    def _outputs(self, clips: Tensor) -> dict[str, Tensor]:
        """Return the outputs for some clips, in batches that the memory has room for."""
        while True:
            try:
                with torch.inference_mode():
                    parts = [
                        {name: out.cpu().float() for name, out in self._network(part).items()}
                        for part in torch.split(clips.to(self._device), self._batch_size)
                    ]
            except torch.OutOfMemoryError:  # of accelerators
                if self._batch_size == 1:
                    raise
                self._batch_size //= 2
            else:
                return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def as_tensor(frames: NDArray[np.uint8]) -> Tensor:
    """Return a clip (T x H x W x 3) as the network takes it: uint8, 3 x T x H x W."""
    return torch.from_numpy(np.ascontiguousarray(frames.transpose(3, 0, 1, 2)))
