"""From the outputs of clips to those of videos, on any number of ranks."""

from dataclasses import dataclass

import torch
from torch import Tensor

from deepfake_mtl.errors import DeepfakeMTLError
from deepfake_mtl.models.distributed import of_all_ranks


@dataclass(frozen=True, slots=True, eq=False)
class VideoTable:
    """One row a video, in the order of their ids; tensors on the CPU.

    Attributes:
        video: Int64 tensor [V]: ids of the videos, rising.
        label: Int64 tensor [V]: manipulation labels, 0 for originals.
        clips: Int64 tensor [V]: number of distinct clips.
        outputs: Float64 tensor [V, C]: means over the distinct clips.

    Example:
        >>> import torch
        >>> from deepfake_mtl.metrics import VideoTable
        >>> ids, labels, clips = torch.tensor([3, 7]), torch.tensor([0, 2]), torch.tensor([4, 4])
        >>> table = VideoTable(ids, labels, clips, torch.tensor([[0.2], [0.9]]))
        >>> len(table), table.fake.tolist()
        (2, [False, True])
    """

    video: Tensor
    label: Tensor
    clips: Tensor
    outputs: Tensor

    def __len__(self) -> int:
        return len(self.video)

    @property
    def scores(self) -> Tensor:
        """Float64 tensor [V]: probability of fake, the first column of the outputs."""
        return self.outputs[:, 0]

    @property
    def fake(self) -> Tensor:
        """Bool tensor [V]: whether the video is manipulated."""
        return self.label > 0


class VideoScores:
    """Means over each video of the outputs of its clips.

    A clip that comes again, as DDP's padding of uneven shards makes some do, counts once.

    Args:
        num_outputs: Number C of values a clip; the first is the probability of fake.

    Example:
        >>> import torch
        >>> from deepfake_mtl.metrics import VideoScores
        >>> metric = VideoScores(num_outputs=1)
        >>> video, clip, label = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0]), torch.zeros(3)
        >>> metric.update(video, clip, label, torch.tensor([[0.2], [0.4], [0.9]]))
        >>> metric.compute().scores
        tensor([0.3000, 0.9000], dtype=torch.float64)
    """

    def __init__(self, num_outputs: int) -> None:
        self.num_outputs = num_outputs
        self._batches: list[tuple[Tensor, ...]] = []

    def reset(self) -> None:
        """Forget all clips."""
        self._batches.clear()

    def update(self, video: Tensor, clip: Tensor, label: Tensor, outputs: Tensor) -> None:
        """Take in a batch, which may be empty.

        Args:
            video: Int64 tensor [B]: an id of the video, unique in the evaluated set.
            clip: Int64 tensor [B]: position of the clip among those of its video.
            label: Int64 tensor [B]: manipulation label, 0 for originals.
            outputs: Float tensor [B, C].

        Raises:
            ValueError: If shapes disagree.
        """
        batch = (len(video),)
        shapes = [tuple(tensor.shape) for tensor in (video, clip, label, outputs)]
        if shapes != [batch, batch, batch, (*batch, self.num_outputs)]:
            raise ValueError(f"expected shapes [B], [B], [B] and [B, {self.num_outputs}]: {shapes}")
        ids = (each.detach().long() for each in (video, clip, label))
        self._batches.append((*ids, outputs.detach().float()))

    def compute(self) -> VideoTable:
        """Average over the clips of each video, those of all ranks.

        Where processes are distributed, all of them must call this.

        Returns:
            One row a video, the same on every rank; no rows if nothing was taken in.

        Raises:
            DeepfakeMTLError: If an output is not finite.
            ValueError: If one video came with two labels.
        """
        gathered = zip(*of_all_ranks(self._rows()), strict=True)
        video, clip, label, outputs = (torch.cat(parts) for parts in gathered)
        _require_finite(video, outputs)

        order = clip.argsort(stable=True)
        order = order[video[order].argsort(stable=True)]
        video, clip, label, outputs = video[order], clip[order], label[order], outputs[order]
        distinct = torch.ones_like(video, dtype=torch.bool)
        distinct[1:] = (video.diff() != 0) | (clip.diff() != 0)
        video, label, outputs = video[distinct], label[distinct], outputs[distinct].double()

        ids, row, clips = torch.unique_consecutive(video, return_inverse=True, return_counts=True)
        first = clips.cumsum(0) - clips
        if (label != label[first][row]).any():
            raise ValueError("a video came with two labels; are the ids of the videos unique?")
        sums = outputs.new_zeros(len(ids), self.num_outputs).index_add_(0, row, outputs)
        return VideoTable(ids, label[first], clips, sums / clips[:, None])

    def _rows(self) -> list[Tensor]:
        """Join the batches of this rank, on the CPU: not every device has float64."""
        if self._batches:
            return [torch.cat(column).cpu() for column in zip(*self._batches, strict=True)]
        none = torch.zeros(0, dtype=torch.int64)
        return [none, none, none, torch.zeros(0, self.num_outputs)]


def _require_finite(video: Tensor, outputs: Tensor) -> None:
    bad = ~outputs.isfinite().all(dim=1)
    if bad.any():
        raise DeepfakeMTLError(
            f"The network gives outputs that are not finite for {int(bad.sum())} of {len(bad)} "
            f"clips, in {len(torch.unique(video[bad]))} videos. The training probably diverged: "
            "lower the learning rate, clip gradients, or train in float32."
        )
