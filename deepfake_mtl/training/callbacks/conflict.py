"""How the gradients of the tasks stand to each other, measured during a training."""

import math
from collections.abc import Mapping
from itertools import combinations
from typing import Any, Final

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from deepfake_mtl.detector import LossObserver
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.evaluation.conflict import ConflictRow
from deepfake_mtl.losses import ConflictMeter
from deepfake_mtl.training.callbacks.parts import detector_of

_METRICS: Final = ("cosine", "norm_ratio")


class GradientConflictMonitor(Callback):
    """Measure how the gradients of the tasks stand to each other on the encoder that they share.

    For every stage of the encoder and every two tasks: the cosine between the gradients of their
    weighted losses (below 0, a step for the one undoes some of the other), and the ratio of their
    norms (the first task's over the second's). Logged as ``conflict/<stage>/<task>-<task>/cosine``
    and ``.../norm_ratio``, and kept in checkpoints, from where a test draws them into its page.

    The gradients are those of a whole step of the optimizer: summed over its micro-batches,
    averaged over ranks, in float32, and without the scale of a gradient scaler. A step that is
    measured costs about two backward passes more. Where no two tasks share an encoder there is
    nothing to measure.

    Args:
        every_n_steps: Steps of the optimizer between two measurements; 0 for none.

    Attributes:
        rows: What was measured so far, in the order of time.
        logged: Names of what is measured in the training that is going on.

    Raises:
        ConfigurationError: The number is negative.
    """

    def __init__(self, every_n_steps: int = 100) -> None:
        if every_n_steps < 0:
            raise ConfigurationError(f"every_n_steps is {every_n_steps}, but must not be negative")
        self._every_n_steps = every_n_steps
        self._meter: ConflictMeter | None = None
        self._observer: LossObserver | None = None
        self._measures = False
        self.logged: frozenset[str] = frozenset()
        self.rows: list[ConflictRow] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen to the losses of the detector, where tasks share its encoder."""
        detector = detector_of(pl_module)
        if (
            self._every_n_steps == 0
            or len(detector.network.tasks) == 1
            or detector.separate_encoders
        ):
            return
        stages = {
            name: parameters
            for name, parameters in detector.network.encoder.stages().items()
            if any(parameter.requires_grad for parameter in parameters)
        }
        meter = self._meter = ConflictMeter(stages)
        self.logged = frozenset(
            f"{_place(stage, *pair)}/{metric}"
            for stage in stages
            for pair in combinations(detector.network.tasks, 2)
            for metric in _METRICS
        )

        def observe(losses: Mapping[str, Tensor]) -> None:
            self._measures = trainer.global_step % self._every_n_steps == 0
            if self._measures:
                scaler = getattr(trainer.precision_plugin, "scaler", None)
                meter.add(losses, 1.0 if scaler is None else scaler.get_scale())

        self._observer = observe
        detector.loss_observers.append(observe)

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object
    ) -> None:
        """Compare what the micro-batches of this step added up to."""
        if self._meter is None or not self._measures:
            return
        self._measures = False
        for group, pairs in self._meter.compute().items():
            for (first, second), conflict in pairs.items():
                cosine, ratio = float(conflict.cosine), float(conflict.norm_ratio)
                for metric, value in zip(_METRICS, (cosine, ratio), strict=True):
                    pl_module.log(f"{_place(group, first, second)}/{metric}", value)
                self.rows.append(
                    {
                        "step": trainer.global_step,
                        "group": group,
                        "tasks": [first, second],
                        "cosine": _finite(cosine),
                        "norm_ratio": _finite(ratio),
                    }
                )

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Listen no longer, also after an interruption."""
        if self._observer is not None:
            detector_of(pl_module).loss_observers.remove(self._observer)
        self._meter = self._observer = None
        self.logged = frozenset()
        self._measures = False

    def state_dict(self) -> dict[str, Any]:
        """Return what was measured."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what was measured before."""
        self.rows = list(state_dict["rows"])


def _place(stage: str, first: str, second: str) -> str:
    return f"conflict/{stage}/{first}-{second}"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
