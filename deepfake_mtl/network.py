"""Encoders and tasks as one network, in plain PyTorch: what is trained, exported and run."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, Final, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from deepfake_mtl.errors import CheckpointError, ConfigurationError
from deepfake_mtl.metrics import fake_probability, tells_fakes
from deepfake_mtl.models import Encoder, without_pretrained
from deepfake_mtl.parts import make_part
from deepfake_mtl.tasks import ContrastiveTask, MoCoSettings, Task

_Value = TypeVar("_Value")

_PREFIX: Final = "network."
"""What stands before the names of a network's tensors in a checkpoint of a detector."""

_PARTS: Final = ("encoder.", "other_encoders.", "tasks.")
_TRAINING_ONLY: Final = ".key_projection."


class Branch(NamedTuple):
    """An encoder and the tasks that learn from its features.

    Attributes:
        name: Name of the first of the tasks.
        encoder: Network from clips to features.
        tasks: Tasks on these features.
    """

    name: str
    encoder: nn.Module
    tasks: tuple[Task, ...]

    @property
    def contrasts(self) -> bool:
        """Whether one of the tasks is contrastive, so that the encoder needs a momentum encoder."""
        return any(isinstance(task, ContrastiveTask) for task in self.tasks)


class MultiTaskNetwork(nn.Module):
    """A video encoder shared by several tasks (arXiv 2308.13503).

    The first task is the primary one: the probability of fake of its first predictor is the score
    of a clip. A predictor is what gives probabilities of classes: the head of a task, or, for a
    contrastive task, its probe and the vote of its nearest neighbours.

    Args:
        encoder: Network from clips to features.
        tasks: Tasks, not built yet; the first is the primary one.
        moco: Settings that contrastive tasks have in common.
        separate_encoders: Whether each task has an encoder of its own, which starts as the others.

    Raises:
        ConfigurationError: There is no task, two have one name, or the first does not tell fakes.
    """

    def __init__(
        self,
        encoder: Encoder,
        tasks: Sequence[Task],
        moco: MoCoSettings = MoCoSettings(),  # noqa: B008 (is frozen)
        *,
        separate_encoders: bool = False,
    ) -> None:
        super().__init__()
        names = [task.name for task in tasks]
        if not names or len(set(names)) < len(names):
            raise ConfigurationError(f"each task is to stand once in the list, got {names}")
        if not tells_fakes(tasks[0].classes):
            raise ConfigurationError(
                f"the first task gives the score, so that its first class must be real or original;"
                f" {names[0]} has the classes {', '.join(tasks[0].classes)}: name another one first"
            )
        self.encoder = encoder  # that of the primary task, or of all
        for task in tasks:
            task.build(encoder.feature_dim, moco)
        self.tasks = nn.ModuleDict(dict(zip(names, tasks, strict=True)))
        others = names[1:] if separate_encoders else []
        self.other_encoders = nn.ModuleDict({name: deepcopy(encoder) for name in others})

    @classmethod
    def from_description(
        cls,
        encoder: Mapping[str, Any],
        tasks: Sequence[Mapping[str, Any]],
        moco: Mapping[str, Any],
        *,
        separate_encoders: bool,
        trust: str | Collection[str] = (),
    ) -> "MultiTaskNetwork":
        """Make the parts that a checkpoint names, with random weights.

        Args:
            encoder: ``class_path`` and ``init_args`` of the encoder.
            tasks: ``class_path`` and ``init_args`` of each task.
            moco: Values of `MoCoSettings`.
            separate_encoders: See the class.
            trust: Packages from which classes may be imported; see `deepfake_mtl.parts.make_part`.

        Raises:
            CheckpointError: A class cannot be had, or takes other arguments.
        """
        with without_pretrained():
            return cls(
                make_part(encoder, Encoder, trust),  # type: ignore[type-abstract]
                [make_part(task, Task, trust) for task in tasks],  # type: ignore[type-abstract]
                MoCoSettings(**moco),
                separate_encoders=separate_encoders,
            )

    def forward(self, clip: Tensor) -> dict[str, Tensor]:
        """Turn clips (uint8, B x 3 x T x H x W) into probabilities by name of the predictor.

        Returns:
            For each predictor a float32 tensor, B x classes; the first class is what is real.
        """
        outputs: dict[str, Tensor] = {}
        for _, encoder, tasks in self.branches():
            features = encoder(clip)
            for task in tasks:
                outputs.update(task.predict(features))
        return {name: outputs[name] for name in self.classes}

    def branches(self) -> Iterator[Branch]:
        """Yield each encoder with the tasks on it; the primary task's is the first."""
        tasks = self.task_list
        shared = tuple(task for task in tasks if task.name not in self.other_encoders)
        yield Branch(tasks[0].name, self.encoder, shared)
        for task in tasks:
            if task.name in self.other_encoders:
                yield Branch(task.name, self.other_encoders[task.name], (task,))

    @property
    def task_list(self) -> list[Task]:
        """The tasks, the primary one first."""
        return [task for task in self.tasks.values() if isinstance(task, Task)]

    @property
    def primary(self) -> Task:
        """The task whose first predictor gives the score."""
        return self.task_list[0]

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """Names of the classes of each predictor; the first predictor gives the score."""
        return {name: task.classes for task in self.task_list for name in task.predictor_names}

    @property
    def fake_predictors(self) -> list[str]:
        """Names of the predictors that say how probably a clip is fake, that of the score first."""
        return [name for name, classes in self.classes.items() if tells_fakes(classes)]

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns of `columns`: ``score``, then ``<predictor>/<class>``."""
        names = [f"{name}/{label}" for name, classes in self.classes.items() for label in classes]
        return ("score", *names)

    def columns(self, outputs: Mapping[str, Tensor]) -> Tensor:
        """Join what `forward` returns to one tensor, B x columns, with the score first."""
        tensors = [outputs[name] for name in self.classes]
        return torch.cat([fake_probability(tensors[0]).unsqueeze(1), *tensors], 1)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take weights; what only training needs is left out.

        Args:
            state: What `weights` returned, or `network_state` of a checkpoint.

        Raises:
            CheckpointError: Some are missing, or of other shapes.
        """
        missing: list[str] = []
        odd: list[str] = []
        try:
            missing, odd = self.load_state_dict(state, strict=False)
        except RuntimeError as error:
            raise CheckpointError(f"weights of other shapes ({error})") from error
        missing = [name for name in missing if _TRAINING_ONLY not in name]
        if missing or odd:
            raise CheckpointError(
                f"weights that do not fit: {len(missing)} missing, {len(odd)} unknown, such as "
                f"{(*missing, *odd)[0]}"
            )

    def weights(self) -> dict[str, Tensor]:
        """Return the tensors that `load` needs."""
        state = {k: v for k, v in self.state_dict().items() if _TRAINING_ONLY not in k}
        return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}


def current_names(state: Mapping[str, _Value], prefix: str = "") -> dict[str, _Value]:
    """Give the tensors of a detector's checkpoint the names that they have now.

    Version 0.1.0 had ``encoder.``, ``other_encoders.`` and ``tasks.`` where ``network.encoder.``
    and so on stand now.

    Args:
        state: State dict of a detector of this version or an older one.
        prefix: What stands before every name.
    """
    parts = tuple(prefix + part for part in _PARTS)
    return {
        prefix + _PREFIX + name.removeprefix(prefix) if name.startswith(parts) else name: value
        for name, value in state.items()
    }


def network_state(state: Mapping[str, _Value]) -> dict[str, _Value]:
    """Return the tensors of the network among those of a detector's checkpoint, for `load`."""
    return {
        name.removeprefix(_PREFIX): value
        for name, value in current_names(state).items()
        if name.startswith(_PREFIX)
    }


def misfit(network: MultiTaskNetwork, state: Mapping[str, object], error: RuntimeError) -> str:
    """Say why a checkpoint of a detector does not fit one with this network.

    Args:
        network: The network of the detector.
        state: State dict of the checkpoint.
        error: What PyTorch says.
    """
    there = dict.fromkeys(
        name.split(".")[1] for name in network_state(state) if name.startswith("tasks.")
    )
    lines = [line.strip() for line in str(error).splitlines()]
    return (
        f"the checkpoint does not fit this detector: its tasks are {', '.join(there)}, "
        f"here they are {', '.join(network.tasks)}; or their layers or the encoder differ. Give "
        f"model.tasks and model.encoder as of its training ({lines[min(1, len(lines) - 1)][:120]})"
    )


def describe_part(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain values of an encoder or a task, for `MultiTaskNetwork.from_description`."""
    return {"class_path": part["class_path"], "init_args": dict(part.get("init_args") or {})}
