"""What every video encoder of the library offers."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.models.load_report import LoadReport
from deepfake_mtl.models.weights import (
    EXTRA_STATE,
    IMAGENET_MEAN,
    IMAGENET_STD,
    NormSettings,
    Pretrained,
    StateDictAdapter,
    load_weights,
)


class Encoder(nn.Module, ABC):
    """A network that turns clips into feature vectors.

    A subclass implements `encode`. One that can start from pre-trained weights names them in
    `pretrained` and `adapters`, and ends its constructor with `start_from`.

    Mean and deviation of the input, and epsilon and momentum of BatchNorm, belong to the weights:
    they are kept in the state dict (as its extra state), so that a checkpoint brings back what it
    was trained with. A state dict without them loads too, and changes none of them.

    Args:
        feature_dim: Length of a feature vector.
        mean: Mean of each colour channel that is subtracted, for values in [0, 1].
        std: Deviation of each colour channel that is divided by.
        min_frames: Least number of frames of a clip.
        min_size: Least width and height of a clip in pixels.

    Attributes:
        pretrained: Published weights that the encoder can start from, by name.
        adapters: How checkpoints of other programs become this encoder's.
        load_report: What was loaded, skipped and left; None where `start_from` was not called.
        norms: Mean, deviation and BatchNorm's settings in use.
    """

    pretrained: ClassVar[Mapping[str, Pretrained]] = {}
    adapters: ClassVar[Sequence[StateDictAdapter]] = ()
    load_report: LoadReport | None = None
    _memory_format: torch.memory_format = torch.preserve_format
    _compiled: Callable[[Tensor], Tensor] | None = None
    _compiled_shape: torch.Size | None = None
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        feature_dim: int,
        *,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        min_frames: int = 1,
        min_size: int = 1,
    ) -> None:
        super().__init__()
        self.feature_dim = feature_dim
        self.min_frames = min_frames
        self.min_size = min_size
        self.norms = NormSettings((mean[0], mean[1], mean[2]), (std[0], std[1], std[2]))
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1, 1), persistent=False)
        self.register_load_state_dict_pre_hook(_complete)  # type: ignore[no-untyped-call]

    @abstractmethod
    def encode(self, clip: Tensor) -> Tensor:
        """Turn normalised clips (B x 3 x T x H x W) into features (B x `feature_dim`)."""

    def forward(self, clip: Tensor) -> Tensor:
        """Turn clips into features.

        Args:
            clip: RGB, B x 3 x T x H x W; uint8, or floating point in [0, 1].

        Returns:
            Features, B x `feature_dim`.

        Raises:
            ValueError: The clip has another shape, or is too short or too small.
        """
        self._check(clip)
        if self._compiled is not None and self.training:
            self._compiled_shape = self._compiled_shape or clip.shape
            if clip.shape == self._compiled_shape:
                return self._compiled(clip)
        return self._features(clip)

    def compile(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 (PyTorch's)
        """Compile the encoder in place, for training with clips of the shape that comes first.

        In evaluation, and for clips of another shape such as a smaller last batch, it computes as
        before: to compile takes minutes, for each of them. Copies are not compiled.

        Args:
            *args: Arguments of `torch.compile`.
            **kwargs: Arguments of `torch.compile`.
        """
        self._compiled = torch.compile(self._features, *args, **{"dynamic": False, **kwargs})

    def normalize(self, clip: Tensor) -> Tensor:
        """Bring clips (uint8, or floating point in [0, 1]) to the mean and deviation expected."""
        if not clip.is_floating_point():
            clip = clip.to(self.mean.dtype) / 255
        return (clip - self.mean) / self.std

    def stages(self) -> dict[str, list[nn.Parameter]]:
        """Return all parameters by the stage of the network that they belong to, from the input on.

        Gradients of tasks are compared stage by stage. A subclass names its own; here the network
        is one stage.
        """
        return {"encoder": list(self.parameters())}

    def start_from(
        self,
        weights: str,
        *,
        strict: bool = True,
        norm_eps: float | None = None,
        norm_momentum: float | None = None,
    ) -> LoadReport:
        """Load weights, and normalise inputs and activations as in their training.

        Args:
            weights: ``none``, a name in `pretrained`, or the path of a checkpoint: one of this
                library (of a detector, or of an encoder alone), or one that `adapters` know.
            strict: Whether a checkpoint must hold every tensor of the encoder.
            norm_eps: Epsilon of BatchNorm; None follows the weights' origin.
            norm_momentum: Share of each batch in BatchNorm's running statistics; None likewise.

        Returns:
            What was loaded, skipped and left, which is also kept as `load_report`.

        Raises:
            ConfigurationError: The weights are published ones but not for this encoder, or a
                number is out of range.
            CheckpointError: The file is missing, unreadable or refused, cannot be downloaded, fits
                nowhere or, where `strict`, in part only.
        """
        if (norm_eps is not None and norm_eps <= 0) or not 0 < (norm_momentum or 0.1) <= 1:
            raise ConfigurationError(
                f"norm_eps is {norm_eps}, norm_momentum {norm_momentum}: the first must be "
                "positive, the second between 0 and 1"
            )
        tensors = {name: x for name, x in self.state_dict().items() if name != EXTRA_STATE}
        report, norms = load_weights(
            type(self).__name__,
            tensors,
            weights,
            strict=strict,
            pretrained=self.pretrained,
            adapters=self.adapters,
            others=_published(),
        )
        if not any(True for _ in self._norms()):
            norms = replace(norms, norm_eps=None, norm_momentum=None)
        if norm_eps is not None:
            norms = replace(norms, norm_eps=norm_eps)
        if norm_momentum is not None:
            norms = replace(norms, norm_momentum=norm_momentum)
        self._adopt(norms)
        self.load_report = report
        return report

    def get_extra_state(self) -> Tensor:
        """Return `norms` for the state dict (float64, 6 or 8 numbers).

        A tensor, so that programs that expect nothing but tensors in a state dict go on working.
        """
        return self.norms.to_tensor()

    def set_extra_state(self, state: object) -> None:
        """Take over the mean, deviation and settings of BatchNorm of a state dict.

        Raises:
            CheckpointError: The state is not that of an encoder.
        """
        self._adopt(NormSettings.from_tensor(state))

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy is made of."""
        state: dict[str, Any] = super().__getstate__()  # type: ignore[no-untyped-call]
        state.pop("_compiled", None)  # computes with the weights of this one
        return state

    def _features(self, clip: Tensor) -> Tensor:
        # Pixels are rearranged while they are uint8: the same bits, a quarter of the bytes moved.
        return self.encode(self.normalize(clip.to(memory_format=self._memory_format)))

    def _adopt(self, norms: NormSettings) -> None:
        self.norms = norms
        with torch.no_grad():
            self.mean.copy_(torch.tensor(norms.mean).view(1, 3, 1, 1, 1))
            self.std.copy_(torch.tensor(norms.std).view(1, 3, 1, 1, 1))
        for norm in self._norms():
            if norms.norm_eps is not None and norms.norm_momentum is not None:
                norm.eps = norms.norm_eps
                norm.momentum = norms.norm_momentum

    def _norms(self) -> Iterator[nn.BatchNorm3d | nn.SyncBatchNorm]:
        for module in self.modules():
            if isinstance(module, nn.BatchNorm3d | nn.SyncBatchNorm):
                yield module

    def _check(self, clip: Tensor) -> None:
        if clip.dim() != 5 or clip.shape[1] != 3:
            raise ValueError(f"expected clips of shape B x 3 x T x H x W, got {tuple(clip.shape)}")
        _, _, frames, height, width = clip.shape
        if frames < self.min_frames or min(height, width) < self.min_size:
            raise ValueError(
                f"{type(self).__name__} takes clips of at least {self.min_frames} frames and "
                f"{self.min_size} x {self.min_size} pixels, got {frames} frames of "
                f"{height} x {width}"
            )


def _complete(encoder: nn.Module, state: dict[str, object], prefix: str, *_: object) -> None:
    """Let state dicts load that were written before encoders had an extra state."""
    state.setdefault(prefix + EXTRA_STATE, encoder.get_extra_state())


def _published() -> dict[str, list[str]]:
    """Return the encoders that have published weights of each name."""
    encoders: dict[str, list[str]] = {}
    classes = [Encoder]
    while classes:
        kind = classes.pop()
        classes += kind.__subclasses__()
        for name in kind.pretrained:
            encoders.setdefault(name, []).append(kind.__name__)
    return encoders
