"""Encoder and tasks of a trained detector, for scoring alone."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from importlib import import_module
from typing import Any, Final, TypeVar

from torch import Tensor, nn

from deepfake_mtl.errors import CheckpointError
from deepfake_mtl.models import Encoder, without_pretrained
from deepfake_mtl.tasks import MoCoSettings, Task

_Part = TypeVar("_Part", Encoder, Task)

_PREFIXES: Final = ("encoder.", "other_encoders.", "tasks.")
_TRAINING_ONLY: Final = ".key_projection."


class ScoringNetwork(nn.Module):
    """What of a `deepfake_mtl.Detector` scores clips, as plain PyTorch.

    Parameters and buffers have the names that they have in a detector.

    Args:
        encoder: Network from clips to features.
        tasks: Not built yet; the first is the primary one.
        moco: As of the detector.
        separate_encoders: Likewise.
    """

    def __init__(
        self,
        encoder: Encoder,
        tasks: Sequence[Task],
        moco: MoCoSettings,
        *,
        separate_encoders: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        for task in tasks:
            task.build(encoder.feature_dim, moco)
        self.tasks = nn.ModuleDict({task.name: task for task in tasks})
        others = [task.name for task in tasks[1:]] if separate_encoders else []
        self.other_encoders = nn.ModuleDict({name: deepcopy(encoder) for name in others})

    @classmethod
    def from_description(
        cls,
        encoder: Mapping[str, Any],
        tasks: Sequence[Mapping[str, Any]],
        moco: Mapping[str, Any],
        *,
        separate_encoders: bool,
    ) -> "ScoringNetwork":
        """Make the parts that a checkpoint names, with random weights.

        Args:
            encoder: ``class_path`` and ``init_args``.
            tasks: Likewise, of each.
            moco: Of `MoCoSettings`.
            separate_encoders: See the class.

        Raises:
            CheckpointError: There is no such class, or it takes other arguments.
        """
        with without_pretrained():
            return cls(
                _make(encoder, Encoder),  # type: ignore[type-abstract]
                [_make(task, Task) for task in tasks],  # type: ignore[type-abstract]
                MoCoSettings(**moco),
                separate_encoders=separate_encoders,
            )

    def forward(self, clip: Tensor) -> dict[str, Tensor]:
        """Turn clips (uint8, B x 3 x T x H x W) into probabilities by name of the readout.

        Returns:
            As `deepfake_mtl.Detector.forward`: for each readout a float32 tensor, B x classes; the
            first class is what is real.
        """
        outputs: dict[str, Tensor] = {}
        for encoder, tasks in self._branches():
            features = encoder(clip)
            for task in tasks:
                outputs.update(task.readouts(features))
        return {name: outputs[name] for name in self.classes}

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """Names of the classes of each readout; the first readout is that of the score."""
        return {name: task.classes for task in self._tasks() for name in task.readout_names}

    @property
    def primary(self) -> Task:
        """The task whose first readout is the score."""
        return self._tasks()[0]

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of a detector; what only training needs is left out.

        Raises:
            CheckpointError: Some are missing, or of other shapes.
        """
        wanted = {k: v for k, v in state.items() if k.startswith(_PREFIXES)}
        missing: list[str] = []
        odd: list[str] = []
        try:
            missing, odd = self.load_state_dict(wanted, strict=False)
        except RuntimeError as error:
            raise CheckpointError(f"weights of other shapes ({error})") from error
        missing = [name for name in missing if _TRAINING_ONLY not in name]
        if missing or odd:
            raise CheckpointError(
                f"weights that do not fit: {len(missing)} missing, {len(odd)} unknown, such as "
                f"{(*missing, *odd)[0]}"
            )

    def weights(self) -> dict[str, Tensor]:
        """The tensors that `load` needs."""
        state = {k: v for k, v in self.state_dict().items() if _TRAINING_ONLY not in k}
        return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}

    def _tasks(self) -> list[Task]:
        return [task for task in self.tasks.values() if isinstance(task, Task)]

    def _branches(self) -> Iterator[tuple[nn.Module, list[Task]]]:
        tasks = self._tasks()
        yield self.encoder, [task for task in tasks if task.name not in self.other_encoders]
        for task in tasks:
            if task.name in self.other_encoders:
                yield self.other_encoders[task.name], [task]


def describe_part(part: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values of an encoder or a task, as `ScoringNetwork.from_description` takes them."""
    return {"class_path": part["class_path"], "init_args": dict(part.get("init_args") or {})}


def _make(part: Mapping[str, Any], kind: type[_Part]) -> _Part:
    path = str(part.get("class_path"))
    module, _, name = path.rpartition(".")
    try:
        made = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise CheckpointError(
            f"the checkpoint needs {path}, which cannot be imported ({error}): install the package "
            "that it is of"
        ) from error
    if not (isinstance(made, type) and issubclass(made, kind)):
        raise CheckpointError(f"the checkpoint names {path}, which is no {kind.__name__}")
    try:
        return made(**(part.get("init_args") or {}))
    except TypeError as error:
        raise CheckpointError(
            f"{path} takes other arguments than the checkpoint has ({error})"
        ) from error
