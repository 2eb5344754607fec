"""What an encoder starts from: pre-trained weights, told apart by the names of their tensors."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import torch
from torch import Tensor
from torchvision.models import WeightsEnum

from deepfake_mtl.errors import CheckpointError, ConfigurationError
from deepfake_mtl.models.checkpoint_files import fetch, read_state_dict
from deepfake_mtl.models.load_report import AT_RANDOM, AT_ZERO, LoadReport, log_report, some_of

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)
EXTRA_STATE: Final = "_extra_state"  # PyTorch's name for what `get_extra_state` returns
OTHER_CLASSIFIER: Final = "the classifier of the other task"

_skip_loading: ContextVar[bool] = ContextVar("skip_loading", default=False)

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class NormSettings:
    """How inputs and activations are normalised around weights, as in their training.

    Args:
        mean: Mean of the colour channels R, G, B that is subtracted, for values in [0, 1].
        std: Deviation of the colour channels that is divided by.
        norm_eps: Epsilon of BatchNorm; None leaves the layers as they are built.
        norm_momentum: Share of each batch in BatchNorm's running statistics; None as above.
    """

    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    norm_eps: float | None = None
    norm_momentum: float | None = None

    @classmethod
    def of_torchvision(
        cls, weights: WeightsEnum, norm_eps: float | None = 1e-5, norm_momentum: float | None = 0.1
    ) -> Self:
        """Take mean and deviation from the transforms that torchvision publishes with weights."""
        preset = weights.transforms()
        return cls(tuple(preset.mean), tuple(preset.std), norm_eps, norm_momentum)

    def to_tensor(self) -> Tensor:
        """Return the numbers for a state dict: 6 or, with BatchNorm's, 8 of float64."""
        norm = (self.norm_eps, self.norm_momentum)
        known = [value for value in norm if value is not None]
        return torch.tensor([*self.mean, *self.std, *known], dtype=torch.float64)

    @classmethod
    def from_tensor(cls, numbers: object) -> Self:
        """Undo `to_tensor`.

        Raises:
            CheckpointError: It is not what `to_tensor` returns.
        """
        if not isinstance(numbers, Tensor) or tuple(numbers.shape) not in ((6,), (8,)):
            raise CheckpointError("the extra state is not that of an encoder of this library")
        values = numbers.tolist()
        return cls(
            (values[0], values[1], values[2]), (values[3], values[4], values[5]), *values[6:]
        )


PYTORCH: Final = NormSettings(norm_eps=1e-5, norm_momentum=0.1)
"""ImageNet mean and deviation, and PyTorch's defaults of BatchNorm: those of CoCLR too."""


@dataclass
class AdaptedStateDict:
    """A checkpoint's tensors under the names of an encoder.

    Args:
        norms: What these weights expect.
        tensors: Name in the encoder -> tensor.
        sources: Name in the checkpoint -> name in the encoder.
        skipped: Name in the checkpoint -> why it has no place in the encoder.
        made: Name in the encoder -> how its tensor was made where the checkpoint has none.
    """

    norms: NormSettings
    tensors: dict[str, Tensor] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)

    def add(self, source: str, target: str, tensor: Tensor) -> None:
        """Give a tensor of the checkpoint its place.

        Raises:
            CheckpointError: Another tensor of the checkpoint has the same place, and they differ.
        """
        there = self.tensors.get(target)
        if there is not None and not torch.equal(there, tensor):
            other = next(name for name, place in self.sources.items() if place == target)
            raise CheckpointError(
                f"{other} and {source} are two names of one tensor, but hold different values: "
                "the checkpoint was put together wrongly"
            )
        self.tensors[target] = tensor
        self.sources[source] = target

    def make(self, target: str, tensor: Tensor, how: str) -> None:
        """Give the encoder a tensor that the checkpoint does not have."""
        self.tensors[target] = tensor
        self.made[target] = how


StateDictAdapter = Callable[[Mapping[str, object]], AdaptedStateDict]
"""Adapts a state dict of a certain kind to an encoder; finds no tensors in other kinds."""


@dataclass(frozen=True)
class Pretrained:
    """Published weights with a name of their own.

    Args:
        url: Where they are, ending in ``-<first digits of the SHA-256>.pth``.
        adapter: How they become an encoder's.
    """

    url: str
    adapter: StateDictAdapter


def adapt(
    state: Mapping[str, object],
    norms: NormSettings,
    rename: Callable[[str], str | None],
    *,
    convert: Callable[[Tensor], Tensor] = lambda tensor: tensor,
    skipped: Iterable[tuple[str, str]] = (),
    otherwise: str = "not a tensor",
) -> AdaptedStateDict:
    """Adapt a state dict name by name.

    Args:
        state: The state dict.
        norms: What its weights expect.
        rename: Turns a name of the checkpoint into one of the encoder, or None.
        convert: Turns a tensor of the checkpoint into one of the encoder.
        skipped: How names begin that have no place in the encoder (regular expressions), and why.
        otherwise: Why others have none.
    """
    adapted = AdaptedStateDict(norms)
    for name, value in state.items():
        target = rename(name)
        if target is not None and isinstance(value, Tensor):
            adapted.add(name, target, convert(value))
        else:
            reasons = (why for pattern, why in skipped if re.match(pattern, name))
            adapted.skipped[name] = next(reasons, otherwise)
    return adapted


def torchvision_adapter(
    norms: NormSettings, *, prefix: str = "", heads: tuple[str, ...]
) -> StateDictAdapter:
    """Return the adapter of one of torchvision's own video networks.

    Args:
        norms: What its published weights expect.
        prefix: What stands before its names in our encoder.
        heads: Beginnings of the names that belong to the classifier.
    """
    skipped = [(re.escape(head), OTHER_CLASSIFIER) for head in heads]

    def rename(name: str) -> str | None:
        return None if name.startswith(heads) else prefix + name

    return lambda state: adapt(state, norms, rename, skipped=skipped)


def own_adapter(prefix: str) -> StateDictAdapter:
    """Return the adapter of this library's encoders, which stand under a prefix in a detector."""
    skipped = [(f"(?!{re.escape(prefix)})", f"not a part of {prefix.rstrip('.')}")]

    def rename(name: str) -> str | None:
        return name.removeprefix(prefix) if name.startswith(prefix) else None

    def adapter(state: Mapping[str, object]) -> AdaptedStateDict:
        extra = state.get(prefix + EXTRA_STATE)
        norms = PYTORCH if extra is None else NormSettings.from_tensor(extra)
        return adapt(state, norms, rename, skipped=skipped)

    return adapter


@contextmanager
def without_pretrained() -> Iterator[None]:
    """Let encoders that are made in this context start at random, whatever weights they name.

    For programs that load a checkpoint of the whole model afterwards: it brings its own weights,
    BatchNorm settings and normalisation, and the file of the first start may be gone.
    """
    token = _skip_loading.set(True)
    try:
        yield
    finally:
        _skip_loading.reset(token)


def load_weights(
    encoder: str,
    tensors: Mapping[str, Tensor],
    weights: str,
    *,
    strict: bool,
    pretrained: Mapping[str, Pretrained],
    adapters: Sequence[StateDictAdapter],
    others: Mapping[str, Sequence[str]],
) -> tuple[LoadReport, NormSettings]:
    """Copy weights into the tensors of an encoder.

    Args:
        encoder: Name of the encoder, for messages.
        tensors: Parameters and buffers of the encoder, which are written to.
        weights: ``none``, a name in `pretrained`, or the path of a checkpoint.
        strict: Whether all tensors of the encoder must be found.
        pretrained: Published weights by name.
        adapters: How files of other programs become this encoder's.
        others: Names of published weights -> encoders that have them, for messages.

    Returns:
        What was loaded, and what these weights expect.

    Raises:
        ConfigurationError: The weights are published ones, but not for this encoder.
        CheckpointError: The file is missing or unreadable, cannot be downloaded, fits nowhere or,
            where `strict`, in part only.
    """
    if weights == "none" or _skip_loading.get():
        return LoadReport("none", {}, {}, dict.fromkeys(tensors, AT_RANDOM)), PYTORCH
    if weights in pretrained:
        path, adapters = fetch(pretrained[weights].url), [pretrained[weights].adapter]
    elif weights in others:
        raise ConfigurationError(
            f"{encoder} has no weights named {weights!r}, only "
            f"{', '.join(['none', *pretrained])} or the path of a checkpoint; "
            f"{weights!r} exists for {', '.join(sorted(others[weights]))}"
        )
    else:
        path = Path(weights).expanduser()
        if not path.is_file():
            raise CheckpointError(
                f"there is no checkpoint file {path}: weights of {encoder} are "
                f"{', '.join(['none', *pretrained])} or the path of a file"
            )
        own = map(own_adapter, ("network.encoder.", "encoder."))
        adapters = [*own, *adapters, own_adapter("")]
    state = read_state_dict(path)
    try:
        adapted = _adapt_any(state, adapters, tensors, encoder)
        report = _copy(adapted, tensors, encoder, source=str(path), strict=strict)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    log_report(report, encoder)
    return report, adapted.norms


def _adapt_any(
    state: Mapping[str, object],
    adapters: Iterable[StateDictAdapter],
    tensors: Mapping[str, Tensor],
    encoder: str,
) -> AdaptedStateDict:
    if EXTRA_STATE in state:  # only this library's encoders have it at the top
        adapters = [own_adapter("")]
    for adapter in adapters:
        adapted = adapter(state)
        if tensors.keys() & adapted.tensors.keys():
            return adapted
    raise CheckpointError(
        f"nothing in it fits {encoder}: it holds {some_of(list(state)) or 'no tensors'}, where "
        f"{encoder} has {some_of(list(tensors))}"
    )


def _copy(
    adapted: AdaptedStateDict,
    tensors: Mapping[str, Tensor],
    encoder: str,
    *,
    source: str,
    strict: bool,
) -> LoadReport:
    loaded: dict[str, str] = {}
    skipped = dict(adapted.skipped)
    for name, target in adapted.sources.items():
        if target == EXTRA_STATE:
            loaded[name] = target
        elif target not in tensors:
            skipped[name] = f"{encoder} has no such tensor"
        elif adapted.tensors[target].shape != tensors[target].shape:
            found, needed = (tuple(x[target].shape) for x in (adapted.tensors, tensors))
            skipped[name] = f"its shape is {found}, that of {encoder}'s {target} is {needed}"
        else:
            loaded[name] = target
    placed = {*loaded.values(), *adapted.made}
    missing = [name for name in tensors if name not in placed]
    # Old files lack the counters of BatchNorm, which nothing reads where the momentum is a number.
    counters = [name for name in missing if name.endswith("num_batches_tracked")]
    missing = [name for name in missing if name not in counters]
    if missing and strict:
        misfits = [f"{name}: {why}" for name, why in skipped.items() if "shape" in why]
        raise CheckpointError(
            f"it fits {len(placed & tensors.keys())} of the {len(tensors)} tensors of {encoder}; "
            f"without a match: {some_of(missing)}"
            + (f" (in the file, {some_of(misfits)})" if misfits else "")
            + ". With strict=False they start at random"
        )
    with torch.no_grad():
        for name in placed - {EXTRA_STATE}:
            tensors[name].copy_(adapted.tensors[name])
    left = {
        **adapted.made,
        **dict.fromkeys(counters, AT_ZERO),
        **dict.fromkeys(missing, AT_RANDOM),
    }
    return LoadReport(source, loaded, skipped, left)
