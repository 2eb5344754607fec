"""The LightningModule around the network: steps and hooks."""

from collections.abc import Callable, Mapping
from typing import Any, Self

import torch
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities import rank_zero_info
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.evaluation_module import EvaluationModule
from deepfake_mtl.losses import GradientBalance, LossBalance
from deepfake_mtl.metrics.predictors import OF_TWO_CLASSES, metric_names
from deepfake_mtl.models import S3D, Encoder, without_pretrained
from deepfake_mtl.network import MultiTaskNetwork, current_names
from deepfake_mtl.optimization.averaging import (
    copy_own_state,
    refuse_weights_alone,
    restore_own_state,
    save_own_state,
)
from deepfake_mtl.optimization.monitors import refuse_missing, refuse_unknown, task_metrics
from deepfake_mtl.optimization.optimizer_options import ConfiguredOptions, refuse_another_optimizer
from deepfake_mtl.optimization.optimizers import (
    BalanceName,
    Interval,
    Optimization,
    OptimizerFactory,
    OptimizerName,
    ScheduleFactory,
    ScheduleName,
    build_balance,
    follow_steps,
)
from deepfake_mtl.optimization.precision import check_training
from deepfake_mtl.optimization.soundness import Soundness
from deepfake_mtl.tasks import BinaryCrossEntropy, ContrastiveTask, MoCoSettings, Task, TaskStep
from deepfake_mtl.tasks.key_encoders import KeyEncoders

LossObserver = Callable[[Mapping[str, Tensor]], None]
"""Is given the losses of a micro-batch, with their graph, before the backward pass."""


class Detector(EvaluationModule):
    """A video encoder shared by several tasks (arXiv 2308.13503).

    `deepfake_mtl.network.MultiTaskNetwork` says what it computes, and
    `deepfake_mtl.evaluation_module.EvaluationModule` what a batch is and what is logged.

    Contrastive tasks (`deepfake_mtl.tasks.ContrastiveTask`) share a momentum encoder. It follows
    the encoder after every step of the optimizer, so that accumulation over micro-batches changes
    nothing about it, and is not run in evaluation.

    Args:
        encoder: Network from clips to features; an S3D by default.
        tasks: What is learnt; by default real or fake by cross-entropy.
        held_out: Manipulations that are not trained on. None takes those of the
            `DeepfakeDataModule` or of the checkpoint that comes first, and keeps to them: a
            detector belongs to one fold. With other loaders, what is given here counts, and
            training and validation batches that contradict it are refused.
        optimizer: ``adam`` or ``adamw`` (assumption: Adam, as CoCLR), or any class such as
            `torch.optim.SGD`, which is called with parameter groups and the learning rate.
        learning_rate: Peak learning rate (assumption: 1e-3, as CoCLR).
        head_learning_rate: Learning rate of the tasks' layers (heads, projections and probes); None
            takes `learning_rate`, also after that has changed. On an encoder from scratch a tenth
            keeps them alive and their gradients steady until the encoder has found something; see
            `deepfake_mtl.models.MLPHead`.
        weight_decay: Weight decay of all but learnt weights of losses (assumption: 1e-5, as CoCLR).
        warmup_steps: Optimizer steps in which the learning rate rises linearly (assumption).
        schedule: What follows: ``constant`` or ``cosine`` down to zero (assumption); or, without
            warm-up, what makes any schedule, such as a class of `torch.optim.lr_scheduler`.
        schedule_interval: When an unnamed schedule moves on: each ``epoch`` (default) or ``step``.
        balance: From one loss a task to one step: ``fixed``, the sum by the tasks' weights;
            ``uncertainty``, learnt weights (`deepfake_mtl.losses.UncertaintyWeights`); ``upgrad``
            or ``pcgrad``, gradient surgery on the encoder (`deepfake_mtl.losses.GradientSurgery`,
            the extra ``surgery``), which takes no accumulation and no clipping of gradients; or
            any `deepfake_mtl.losses.LossBalance`. The paper sums; with which weights is not stated.
        separate_encoders: Whether each task has an encoder of its own, which starts as the others.
        moco: What contrastive tasks have in common.
        compile_encoder: Whether the encoders are compiled for training, by `torch.compile` in
            place: names in checkpoints stay, and the first steps take minutes.

    Raises:
        ConfigurationError: There is no task, two have one name, a setting is out of range, or two
            contradict each other.
    """

    def __init__(  # noqa: PLR0913, PLR0917 (each is an option of the command line)
        self,
        encoder: Encoder | None = None,
        tasks: list[Task] | None = None,
        held_out: str | list[str] | None = None,
        optimizer: OptimizerName | OptimizerFactory = "adam",
        learning_rate: float = 1e-3,
        head_learning_rate: float | None = None,
        weight_decay: float = 1e-5,
        warmup_steps: int = 0,
        schedule: ScheduleName | ScheduleFactory = "cosine",
        schedule_interval: Interval | None = None,
        balance: BalanceName | LossBalance = "fixed",
        separate_encoders: bool = False,
        moco: MoCoSettings = MoCoSettings(),  # noqa: B008 (is frozen)
        compile_encoder: bool = False,
    ) -> None:
        learnt = tasks or [BinaryCrossEntropy()]
        network = MultiTaskNetwork(
            encoder or S3D(), learnt, moco, separate_encoders=separate_encoders
        )
        super().__init__(network, held_out)
        # The command line adds descriptions of these: checkpoints hold plain values only.
        named = {"optimizer": optimizer, "schedule": schedule, "balance": balance}
        made = [name for name, value in named.items() if not isinstance(value, str)]
        self.save_hyperparameters(ignore=["encoder", "tasks", "moco", *made])
        self.optimization = Optimization(
            optimizer,
            learning_rate,
            head_learning_rate,
            weight_decay,
            warmup_steps,
            schedule,
            schedule_interval,
        )
        self.separate_encoders = separate_encoders
        self.compile_encoder = compile_encoder
        self.loss_observers: list[LossObserver] = []
        contrasted = {each.name: each.encoder for each in network.branches() if each.contrasts}
        self.key_encoders = KeyEncoders(contrasted, moco)
        self.balance = build_balance(balance)
        if separate_encoders and isinstance(self.balance, GradientBalance):
            raise ConfigurationError(
                f"balance is {balance!r}, but with separate encoders the tasks share nothing "
                "that their gradients could conflict on: use 'fixed'"
            )
        self.balance.build({task.name: task.weight for task in network.task_list})
        self.automatic_optimization = not isinstance(self.balance, GradientBalance)
        self._soundness = Soundness(self)
        self._own_state: dict[str, Tensor] = {}
        self._options: ConfiguredOptions | None = None

    @classmethod
    def load_from_checkpoint(cls, *args: Any, **kwargs: Any) -> Self:  # noqa: ANN401 (Lightning's)
        """Load a checkpoint whole, without the pre-trained weights that its training began with."""
        with without_pretrained():
            return super().load_from_checkpoint(*args, **kwargs)

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor | None:  # noqa: ARG002
        """Return the loss of a batch; under gradient surgery make the step of the optimizer."""
        self.check_batch(batch)
        queries: list[Tensor] = []
        steps: dict[str, TaskStep] = {}
        for branch, encoder, tasks in self.network.branches():
            features = self.key_encoders.features(branch, encoder, batch)
            queries += [each for each in (features.first, features.second) if each is not None]
            for task in tasks:
                steps[task.name] = task.learn(features, self.labels(task, batch))
        # In the order of the tasks, whatever that of the branches.
        losses = {task.name: steps[task.name].loss for task in self.network.task_list}
        factors = self.balance.factors()
        weighted = {name: factors[name] * loss for name, loss in losses.items()}
        for observe in self.loss_observers:
            observe(weighted)
        probes = [step.probe_loss for step in steps.values() if step.probe_loss is not None]
        probe_loss = torch.stack(probes).sum() if probes else None
        total: Tensor = self.balance(losses)
        self._log_training(total, steps)
        if isinstance(self.balance, GradientBalance):
            self._step_by_hand(self.balance, weighted, queries, probe_loss)
            return None
        return total if probe_loss is None else total + probe_loss

    def on_validation_start(self) -> None:
        """Note what is not averaged, before a callback lets averaged weights be validated."""
        self._own_state = copy_own_state(self)

    def on_validation_epoch_start(self) -> None:
        """Validate averaged weights with the queues and counters of this model."""
        restore_own_state(self, self._own_state)

    def setup(self, stage: str) -> None:
        """Take the fold of the data; prepare the encoders before Lightning wraps the module.

        Raises:
            ConfigurationError: The data has another fold, or the trainer's precision too few bits.
        """
        super().setup(stage)
        if stage != "fit":
            return
        check_training(self.trainer)
        self.key_encoders.equal_ranks = getattr(self.datamodule, "equal_ranks", False)
        self.key_encoders.sync_batch_norm(self, self.network.encoder, self.trainer.world_size)
        if self.compile_encoder:
            for network in (*self.backbone.children(), *self.key_encoders.values()):
                network.compile()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the state of the data under a name that no class has, and a sound training only.

        Raises:
            DivergenceError: Weights, their averages or moments are not finite.
            ConfigurationError: Averaged weights are to be left out of a checkpoint.
        """
        refuse_weights_alone(self._trainer, checkpoint)
        save_own_state(self, checkpoint)
        self._soundness.check_saved(checkpoint)
        super().on_save_checkpoint(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Compare a checkpoint with this detector, and go on from a sound training only.

        Raises:
            CheckpointError: It belongs to another fold, or to other data; or a training is to go on
                from what is not finite.
        """
        if self._trainer is not None and self.trainer.state.fn == TrainerFn.FITTING:
            renamed = current_names(checkpoint["state_dict"])
            self._soundness.check_resumed({**checkpoint, "state_dict": renamed})
        super().on_load_checkpoint(checkpoint)

    def on_fit_start(self) -> None:
        """Note the optimizer's options before a checkpoint's replace them; refuse useless ones.

        Raises:
            ConfigurationError: The remedy against the leak through BatchNorm does nothing here, or
                the checkpoint is of another optimizer.
        """
        refuse_another_optimizer(self.trainer)
        self._options = ConfiguredOptions(self.trainer)
        self.key_encoders.check_batch_norm(
            self.network.encoder, self.trainer.world_size, self.device
        )

    def on_train_start(self) -> None:
        """Go on with the configured options, and let keys follow each step of the optimizer.

        Raises:
            ConfigurationError: The configured optimizer or schedule cannot go on from the
                checkpoint, or a metric is monitored that is not logged, or will not exist.
        """
        self._check_monitors()
        configured, self._options = self._options, None
        if configured is not None:  # not while a tuner tries learning rates
            changes = configured.apply(self.trainer)
            if changes:
                rank_zero_info(f"Going on with {', '.join(changes)}.")
        self._own_state = copy_own_state(self)
        for optimizer in self.trainer.optimizers:
            # After the step itself: neither micro-batches nor the order of Lightning's hooks, in
            # which checkpoints are written before the module's, can come between.
            follow_steps(optimizer, self._update_keys)

    def on_train_epoch_end(self) -> None:
        """Note what is not averaged, before callbacks; under gradient surgery, move schedules."""
        self._own_state = copy_own_state(self)
        if not self.automatic_optimization:
            self._move_schedule("epoch")

    def on_train_end(self) -> None:
        """Put it back, after callbacks."""
        restore_own_state(self, self._own_state)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return the optimizer and the schedule of its learning rates.

        Raises:
            ConfigurationError: One of them cannot be made, or an option would do nothing.
        """
        return self.optimization.configure(
            self.parameters(),
            heads=self.network.tasks.parameters(),
            balance=self.balance.parameters(),
            steps=self.trainer.estimated_stepping_batches,
            manual=not self.automatic_optimization,
        )

    @property
    def learning_rate(self) -> float:
        """Peak learning rate, which Lightning's Tuner reads and sets."""
        return self.optimization.learning_rate

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        self.optimization.learning_rate = rate

    @property
    def contrasts(self) -> bool:
        """Whether a task is contrastive, so that training batches must hold second views."""
        return len(self.key_encoders) > 0

    def _check_monitors(self) -> None:
        """Refuse monitors that are known to have nothing to compare, before the first step."""
        names = [f"val/{name}" for name in metric_names(self.network.fake_predictors)]
        if type(self) is Detector:
            logged, others = task_metrics(self.network.task_list, weighs=self.balance.learns)
            refuse_unknown(self.trainer, {"train/loss", *names, *logged}, others)
        kinds = self.validated_kinds()
        if len(kinds) == 1:
            kind = "fakes" if True in kinds else "originals"
            missing = [name for name in names if name.rpartition("/")[2] in OF_TWO_CLASSES]
            refuse_missing(self.trainer, missing, f"the validation batches hold {kind} alone")

    def _update_keys(self) -> None:
        for branch, encoder, tasks in self.network.branches():
            self.key_encoders.follow(branch, encoder)
            for task in tasks:
                if isinstance(task, ContrastiveTask):
                    task.update_keys()

    def _step_by_hand(
        self,
        balance: GradientBalance,
        losses: Mapping[str, Tensor],
        queries: list[Tensor],
        probe_loss: Tensor | None,
    ) -> None:
        optimizer = self.optimizers()
        if isinstance(optimizer, list):
            raise TypeError("gradient surgery steps one optimizer")
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        balance.step(
            optimizer,
            losses,
            queries,
            self.network.encoder.parameters(),
            self.network.tasks.parameters(),
            probe_loss=probe_loss,
            scale=1.0 if scaler is None else scaler.scale(torch.ones((), device=self.device)),
        )
        self._move_schedule("step")

    def _move_schedule(self, interval: str) -> None:
        """Step the schedules of this interval, which Lightning leaves to manual optimization."""
        for config in self.trainer.lr_scheduler_configs:
            if config.interval == interval:
                config.scheduler.step()  # type: ignore[call-arg]

    def _log_training(self, total: Tensor, steps: Mapping[str, TaskStep]) -> None:
        shown = self.reads_freely  # else the progress bar reads, when it is drawn
        self.log("train/loss", total.detach(), prog_bar=shown)
        for name in self.network.tasks:
            step = steps[name]
            self.log(f"train/{name}/loss", step.loss.detach())
            if step.probe_loss is not None:
                self.log(f"train/{name}/probe_loss", step.probe_loss.detach())
            for metric, value in step.metrics.items():
                self.log(f"train/{name}/{metric}", value, prog_bar=shown and metric == "accuracy")
        if self.balance.learns:
            for name, factor in self.balance.factors().items():
                self.log(f"train/{name}/weight", factor)
