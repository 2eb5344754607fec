"""From the outputs of clips to those of videos, on any number of ranks."""

from collections.abc import Callable

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from deepfake_mtl.errors import DeepfakeMTLError


class VideoTable:
    """One row a video, in the order of their ids; tensors on the CPU.

    It is neither a dataclass nor a tuple: torchmetrics looks into those and squeezes tensors of
    one element, so that a table of one video would lose its dimensions.

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

    __slots__ = ("clips", "label", "outputs", "video")

    def __init__(self, video: Tensor, label: Tensor, clips: Tensor, outputs: Tensor) -> None:
        self.video = video
        self.label = label
        self.clips = clips
        self.outputs = outputs

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


class VideoScores(Metric):
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

    full_state_update = False
    is_differentiable = False

    video: list[Tensor]
    clip: list[Tensor]
    label: list[Tensor]
    outputs: list[Tensor]

    def __init__(self, num_outputs: int) -> None:
        super().__init__()
        self.num_outputs = num_outputs
        for name in ("video", "clip", "label", "outputs"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

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
        self.video.append(video.detach().long())
        self.clip.append(clip.detach().long())
        self.label.append(label.detach().long())
        self.outputs.append(outputs.detach().float())

    def sync(
        self,
        dist_sync_fn: Callable[..., list[Tensor]] | None = None,
        process_group: object | None = None,
        should_sync: bool = True,
        distributed_available: Callable[[], bool] | None = None,
    ) -> None:
        """Gather the states of all ranks; see `torchmetrics.Metric.sync`."""
        # Where a rank has no state, torchmetrics sends an empty float32 vector in its place, which
        # fits neither int64 nor the two dimensions of the outputs: gathering then fails or hangs.
        if isinstance(self.video, list) and not self.video:
            nothing = torch.zeros(0, dtype=torch.int64, device=self.device)
            for state in (self.video, self.clip, self.label):
                state.append(nothing)
            self.outputs.append(torch.zeros(0, self.num_outputs, device=self.device))
        super().sync(dist_sync_fn, process_group, should_sync, distributed_available)

    def compute(self) -> VideoTable:
        """Average over the clips of each video.

        Returns:
            One row a video; no rows if nothing was taken in.

        Raises:
            DeepfakeMTLError: If an output is not finite.
            ValueError: If one video came with two labels.
        """
        # On the CPU: the tables are small, and not every device has float64.
        video, clip, label, outputs = (
            dim_zero_cat(state).cpu() for state in (self.video, self.clip, self.label, self.outputs)
        )
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


def _require_finite(video: Tensor, outputs: Tensor) -> None:
    bad = ~outputs.isfinite().all(dim=1)
    if bad.any():
        raise DeepfakeMTLError(
            f"The network gives outputs that are not finite for {int(bad.sum())} of {len(bad)} "
            f"clips, in {len(torch.unique(video[bad]))} videos. The training probably diverged: "
            "lower the learning rate, clip gradients, or train in float32."
        )
