"""The LightningModule: an encoder, several tasks, and the momentum encoder of contrastive ones."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, Self

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities import rank_zero_info
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from deepfake_mtl.checkpoints.averaging import (
    copy_own_state,
    restore_own_state,
    save_own_state,
)
from deepfake_mtl.checkpoints.optimizer_options import GroupOptions, apply_options, options_of
from deepfake_mtl.checkpoints.soundness import describe_not_finite, infinite_buffers
from deepfake_mtl.data.clips import EvaluationClips
from deepfake_mtl.data.datamodule import DeepfakeDataModule
from deepfake_mtl.data.protocol import DATA_STATE, TEST_SETS, data_state, parse_held_out
from deepfake_mtl.data.records import MANIPULATION_CLASSES
from deepfake_mtl.errors import CheckpointError, ConfigurationError, DivergenceError
from deepfake_mtl.evaluation.measuring import evaluate
from deepfake_mtl.evaluation.predictions import Prediction, collect_predictions
from deepfake_mtl.evaluation.results import Metrics, PrecisionRecord
from deepfake_mtl.losses import FixedWeights, GradientSurgery, LossBalance, UncertaintyWeights
from deepfake_mtl.metrics import (
    VideoScores,
    VideoTable,
    binary_report,
    calibrate_threshold,
    fake_probability,
)
from deepfake_mtl.models import (
    S3D,
    Encoder,
    MomentumCopy,
    check_batch_norm_remedy,
    shuffled_forward,
    without_pretrained,
)
from deepfake_mtl.monitors import refuse_missing, refuse_unknown
from deepfake_mtl.network import MultiTaskNetwork, current_names, network_state
from deepfake_mtl.optimization import (
    Interval,
    OptimizerFactory,
    OptimizerName,
    ScheduleFactory,
    ScheduleName,
    build_optimizer,
    build_schedule,
)
from deepfake_mtl.precision import (
    PRECISION,
    check_precision,
    check_ranks_agree,
    precision_record,
    warn_of_slow_precision,
)
from deepfake_mtl.tasks import (
    BinaryCrossEntropy,
    ContrastiveTask,
    Features,
    MoCoSettings,
    Task,
    TaskStep,
)

LossObserver = Callable[[Mapping[str, Tensor]], None]
"""Is given the losses of a micro-batch, with their graph, before the backward pass."""

_PRIMARY_METRICS: Final = (
    "accuracy",
    "balanced_accuracy",
    "auc",
    "average_precision",
    "eer",
    "accuracy_calibrated",
)
_METRICS: Final = ("accuracy", "balanced_accuracy", "auc")
_OF_TWO_CLASSES: Final = ("/balanced_accuracy", "/auc", "/average_precision", "/eer")

_log = logging.getLogger(__name__)


class Detector(pl.LightningModule):
    """A video encoder shared by several tasks (arXiv 2308.13503).

    The first task is the primary one: its first predictor's probability of fake is the score of a
    clip. The score of a video is the mean over its clips.

    A batch is a `deepfake_mtl.data.datamodule.ClipBatch`, or any mapping with the same keys.
    Validation logs figures of videos as ``val/auc`` and so on. Test logs them as
    ``test/held_out/auc`` for originals against held-out manipulations and ``test/seen/auc`` for
    originals against the others; a figure that does not exist is NaN in logs. Figures of further
    predictors are logged as ``val/<predictor>/auc``.

    The threshold that is best on validation videos (balanced accuracy) is kept in the checkpoint.
    After a test, ``test_table`` holds the scores of videos, ``test_predictions`` the same by name,
    and ``test_metrics`` what `deepfake_mtl.evaluation.evaluate` makes of them, which is what is
    logged, printed and written; after a prediction, ``predict_table`` holds the scores.

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
        head_learning_rate: That of the tasks' layers, their heads, projections and probes; None
            takes `learning_rate`, also after that has changed. On an encoder from scratch a tenth
            keeps them alive and their gradients steady until the encoder has found something; see
            `deepfake_mtl.models.MLPHead`.
        weight_decay: Weight decay of all parameters but learnt weights of losses (assumption: 1e-5,
            as CoCLR).
        warmup_steps: Optimizer steps in which the learning rate rises linearly (assumption).
        schedule: What follows: ``constant`` or ``cosine`` down to zero (assumption); or, without a
            warm-up, what makes any schedule of an optimizer, such as a class of
            `torch.optim.lr_scheduler`.
        schedule_interval: After what a schedule without a name moves on, each ``step`` or each
            ``epoch``, which is the default.
        balance: From one loss a task to one step: ``fixed``, the sum by the tasks' weights;
            ``uncertainty``, learnt weights (`deepfake_mtl.losses.UncertaintyWeights`); ``upgrad``
            or ``pcgrad``, gradient surgery on the encoder (`deepfake_mtl.losses.GradientSurgery`,
            the extra ``surgery``), which takes no accumulation and no clipping of gradients. The
            paper sums; with which weights is not stated.
        separate_encoders: Whether each task has an encoder of its own, which starts as the others.
        moco: What contrastive tasks have in common.
        compile_encoder: Whether the encoders are compiled for training, by `torch.compile` in
            place: names in checkpoints stay, and the first steps take minutes.

    Raises:
        ConfigurationError: There is no task, two have one name, a setting is out of range, or two
            contradict each other.
    """

    threshold: Tensor
    test_table: VideoTable | None = None
    test_predictions: Sequence[Prediction] = ()
    test_metrics: Metrics | None = None
    predict_table: VideoTable | None = None
    trained_precision: PrecisionRecord | None = None

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
        balance: Literal["fixed", "uncertainty", "upgrad", "pcgrad"] = "fixed",
        separate_encoders: bool = False,
        moco: MoCoSettings = MoCoSettings(),  # noqa: B008 (is frozen)
        compile_encoder: bool = False,
    ) -> None:
        super().__init__()
        rates = [rate for rate in (learning_rate, head_learning_rate) if rate is not None]
        if min(rates) <= 0 or min(weight_decay, warmup_steps) < 0:
            raise ConfigurationError(
                f"learning_rate is {learning_rate}, head_learning_rate {head_learning_rate}, "
                f"weight_decay {weight_decay}, warmup_steps {warmup_steps}: the first two must be "
                "positive, the others not negative"
            )
        # The command line adds descriptions of these: checkpoints hold plain values only.
        made = [
            name
            for name, value in (("optimizer", optimizer), ("schedule", schedule))
            if not isinstance(value, str)
        ]
        self.save_hyperparameters(ignore=["encoder", "tasks", "moco", *made])
        self.held_out = parse_held_out(held_out)
        self._knows_fold = held_out is not None
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.head_learning_rate = head_learning_rate
        self.weight_decay = weight_decay
        self.warmup_steps = warmup_steps
        self.schedule = schedule
        self.schedule_interval = schedule_interval
        self.separate_encoders = separate_encoders
        self.moco = moco
        self.compile_encoder = compile_encoder
        self.loss_observers: list[LossObserver] = []
        self.network = MultiTaskNetwork(
            encoder or S3D(),
            tasks or [BinaryCrossEntropy()],
            moco,
            separate_encoders=separate_encoders,
        )
        self._build_key_encoders()
        self.register_load_state_dict_pre_hook(_take_older_names)  # type: ignore[no-untyped-call]
        self._build_balance(balance)
        self._build_metrics()
        self.register_buffer("threshold", torch.tensor(0.5))
        self._infinite = infinite_buffers(self)
        self._own_state: dict[str, Tensor] = {}
        self._options: list[GroupOptions] = []

    @classmethod
    def load_from_checkpoint(cls, *args: Any, **kwargs: Any) -> Self:  # noqa: ANN401 (Lightning's)
        """Load a checkpoint whole, without the pre-trained weights that its training began with."""
        with without_pretrained():
            return super().load_from_checkpoint(*args, **kwargs)

    def forward(self, clip: Tensor) -> dict[str, Tensor]:
        """Turn clips into probabilities; see `deepfake_mtl.network.MultiTaskNetwork.forward`."""
        outputs: dict[str, Tensor] = self.network(clip)
        return outputs

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor | None:  # noqa: ARG002
        """Return the loss of a batch; under gradient surgery make the step of the optimizer."""
        self._check_batch(batch)
        queries: list[Tensor] = []
        steps: dict[str, TaskStep] = {}
        for branch, encoder, tasks in self.network.branches():
            features = self._features(encoder, self._key_encoder(branch), batch)
            queries += [each for each in (features.first, features.second) if each is not None]
            for task in tasks:
                steps[task.name] = task.learn(features, batch[task.label])
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
        if self._surgery is not None:
            self._operate(self._surgery, weighted, queries, probe_loss)
            return None
        return total if probe_loss is None else total + probe_loss

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:  # noqa: ARG002
        """Score the clips of a batch."""
        if self.trainer.state.fn == TrainerFn.FITTING:
            self._check_batch(batch)
        clips = len(batch["clip"])
        outputs: dict[str, Tensor] = {}
        for _, encoder, tasks in self.network.branches():
            features = encoder(batch["clip"])
            for task in tasks:
                outputs.update(task.predict(features))
                if clips:
                    figures = task.validation_figures(features, batch[task.label])
                    for name, figure in figures.items():
                        self.log(
                            f"val/{task.name}/{name}", figure, sync_dist=True, batch_size=clips
                        )
        self._collect(outputs, batch, self.val_scores)

    def on_validation_start(self) -> None:
        """Note what is not averaged, before a callback lets averaged weights be validated."""
        self._own_state = copy_own_state(self)

    def on_validation_epoch_start(self) -> None:
        """Validate averaged weights with the queues and counters of this model."""
        restore_own_state(self, self._own_state)

    def on_validation_epoch_end(self) -> None:
        """Turn clip scores into figures of videos, and calibrate the threshold."""
        table = self.val_scores.compute()
        self.val_scores.reset()
        threshold = calibrate_threshold(table.scores, table.fake)
        if threshold is not None and not self.trainer.sanity_checking:
            self.threshold.fill_(threshold)
        missing = self._log_reports("val", self._report(table))
        if self.trainer.state.fn == TrainerFn.FITTING and not self.trainer.sanity_checking:
            fakes = int(table.fake.sum())
            reason = f"{len(table) - fakes} originals and {fakes} fakes were validated"
            refuse_missing(self.trainer, missing, reason)

    def test_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:  # noqa: ARG002
        """Score the clips of a batch."""
        self._collect(self(batch["clip"]), batch, self.test_scores)

    def on_test_epoch_end(self) -> None:
        """Turn clip scores into metrics of videos, unseen and seen manipulations apart."""
        table = self.test_scores.compute()
        self.test_scores.reset()
        self.test_table = table
        dataset = getattr(self.trainer.test_dataloaders, "dataset", None)
        records = dataset.records if isinstance(dataset, EvaluationClips) else None
        self.test_predictions = collect_predictions(table, self.network.column_names[1:], records)
        metrics = evaluate(self.test_predictions, self.held_out, float(self.threshold))
        self.test_metrics = metrics
        for of in TEST_SETS:
            reports = {name: predictor[of] for name, predictor in metrics["readouts"].items()}
            self._log_reports(
                f"test/{of}", {**reports, next(iter(self.network.classes)): metrics[of]}
            )

    def predict_step(
        self,
        batch: Mapping[str, Tensor],
        batch_idx: int,  # noqa: ARG002
    ) -> dict[str, Tensor]:
        """Score the clips of a batch, and return the probabilities of each predictor."""
        outputs: dict[str, Tensor] = self(batch["clip"])
        self._collect(outputs, batch, self.predict_scores)
        return {"video": batch["video"], "clip_index": batch["clip_index"], **outputs}

    def on_predict_epoch_end(self) -> None:
        """Turn clip scores into scores of videos."""
        self.predict_table = self.predict_scores.compute()
        self.predict_scores.reset()

    def setup(self, stage: str) -> None:
        """Take the fold of the data; prepare the encoders before Lightning wraps the module.

        Raises:
            ConfigurationError: The data has another fold, or the trainer's precision too few bits.
        """
        datamodule = self._datamodule()
        if datamodule is not None:
            if self._knows_fold and self.held_out != datamodule.held_out:
                raise ConfigurationError(
                    f"the detector holds out {_listed(self.held_out)}, and its data "
                    f"{_listed(datamodule.held_out)}: what it reports as unseen would be wrong. "
                    "Give both the same held_out (or the detector none), and each fold a detector "
                    "of its own"
                )
            spelled = datamodule.hparams.get("held_out", list(datamodule.held_out))
            self._take_fold(datamodule.held_out, spelled)
        if stage != "fit":
            return
        check_precision(str(self.trainer.precision))
        check_ranks_agree(self.trainer)
        if self.trainer.is_global_zero:
            device = self.trainer.strategy.root_device
            warn_of_slow_precision(str(self.trainer.precision), device)
        if self.key_encoders and self.moco.batch_norm_remedy == "sync":
            check_batch_norm_remedy("sync", self.network.encoder, self.trainer.world_size)
            nn.SyncBatchNorm.convert_sync_batchnorm(self)  # type: ignore[no-untyped-call]
        if self.compile_encoder:
            for branch, encoder, _ in self.network.branches():
                for network in (encoder, self._key_encoder(branch)):
                    if network is not None:
                        network.compile()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the state of the data under a name that no class has, and sound weights only.

        Raises:
            DivergenceError: There are weights that are not finite.
            ConfigurationError: Averaged weights are to be left out of a checkpoint.
        """
        self._check_averaging(checkpoint)
        save_own_state(self, checkpoint)
        wrong = describe_not_finite(checkpoint["state_dict"], self._infinite)
        if wrong:
            raise DivergenceError(
                f"the training has diverged: after step {checkpoint['global_step']}, not all of "
                f"{wrong} is finite. That is not saved; checkpoints of before are as they were. Go "
                "on from one of them with a smaller learning_rate, with gradient_clip_val, or with "
                "precision 32-true"
            )
        if self._trainer is not None:
            device = self._trainer.strategy.root_device
            checkpoint[PRECISION] = precision_record(str(self._trainer.precision), device)
        datamodule = self._datamodule()
        if datamodule is not None:
            # Lightning keeps it under the name of the class, where no other class would find it.
            checkpoint[DATA_STATE] = checkpoint.pop(type(datamodule).__qualname__)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:  # noqa: ANN401 (PyTorch's)
        """Load weights; see `torch.nn.Module.load_state_dict`.

        Raises:
            CheckpointError: They are those of other tasks, or of another encoder.
        """
        try:
            return super().load_state_dict(state_dict, strict=strict, assign=assign)
        except RuntimeError as error:
            there = dict.fromkeys(
                name.split(".")[1]
                for name in network_state(state_dict)
                if name.startswith("tasks.")
            )
            here = list(self.network.tasks)
            raise CheckpointError(
                f"the checkpoint does not fit this detector: its tasks are {', '.join(there)}, "
                f"here they are {', '.join(here)}; or their layers or the encoder differ. Give "
                f"model.tasks and model.encoder as of its training ({_first_difference(error)})"
            ) from error

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the precision, and compare the fold with that of a checkpoint.

        The names of the classes that it was made with do not matter.

        Raises:
            CheckpointError: It belongs to another fold, or to other data; see
                `DeepfakeDataModule.load_state_dict`; or a training is to go on from weights that
                are not finite.
        """
        if self._trainer is not None and self.trainer.state.fn == TrainerFn.FITTING:
            wrong = describe_not_finite(current_names(checkpoint["state_dict"]), self._infinite)
            if wrong:
                raise CheckpointError(
                    f"the checkpoint is of a training that had diverged: not all of {wrong} is "
                    "finite. Go on from an earlier one"
                )
        self.trained_precision = checkpoint.get(PRECISION)
        state = data_state(checkpoint)
        trained = checkpoint.get("hyper_parameters", {}).get("held_out")
        if state is not None:
            trained = list(state["held_out"])
        datamodule = self._datamodule()
        if state is not None and datamodule is not None:
            datamodule.load_state_dict(dict(state))
        if trained is None:
            return
        fold = parse_held_out(trained)
        if self._knows_fold and self.held_out != fold:
            raise CheckpointError(
                f"the checkpoint was trained with {_listed(fold)} held out, but held_out is "
                f"{_listed(self.held_out)}: its figures would be wrong. Give held_out="
                f"{trained!r}, or choose the checkpoint of the other fold"
            )
        if not self._knows_fold:
            self._take_fold(fold, trained)

    def on_fit_start(self) -> None:
        """Note the optimizer's options before a checkpoint's replace them; refuse useless ones.

        Raises:
            ConfigurationError: The remedy against the leak through BatchNorm does nothing here.
        """
        self._options = options_of(self.trainer.optimizers)
        if self.moco.batch_norm_remedy == "none":
            return
        if not self.key_encoders:
            raise ConfigurationError(
                f"moco.batch_norm_remedy is {self.moco.batch_norm_remedy!r}, but no task is "
                "contrastive, so that there are no keys to leak: use 'none'"
            )
        check_batch_norm_remedy(
            self.moco.batch_norm_remedy, self.network.encoder, self.trainer.world_size
        )
        if self.moco.batch_norm_remedy == "sync" and self.device.type == "cpu":
            raise ConfigurationError(
                "PyTorch has SyncBatchNorm on accelerators only: use 'shuffle' on the CPU"
            )

    def on_train_start(self) -> None:
        """Go on with the configured options, and let keys follow each step of the optimizer.

        Raises:
            ConfigurationError: A schedule cannot go on with the configured learning rate, or a
                metric is monitored that is not logged, or will not exist.
        """
        self._check_monitors()
        configured, self._options = self._options, []
        if configured:  # not while a tuner tries learning rates
            changes = apply_options(
                self.trainer.optimizers, self.trainer.lr_scheduler_configs, configured
            )
            if changes:
                rank_zero_info(f"Going on with {', '.join(changes)}.")
        self._own_state = copy_own_state(self)
        for optimizer in self.trainer.optimizers:
            # After the step itself: neither micro-batches nor the order of Lightning's hooks, in
            # which checkpoints are written before the module's, can come between.
            optimizer.register_step_post_hook(lambda *_: self._update_keys())

    def _check_monitors(self) -> None:
        """Refuse monitors that are known to have nothing to compare, before the first step."""
        names = {
            f"{'val' if position == 0 else f'val/{name}'}/{metric}"
            for position, name in enumerate(self.network.classes)
            for metric in (_PRIMARY_METRICS if position == 0 else _METRICS)
        }
        if type(self) is Detector:
            tasks = tuple(f"val/{name}/" for name in self.network.tasks)
            refuse_unknown(self.trainer, names, ("train/", "conflict/", "lr-", *tasks))
        datamodule, batches = self._datamodule(), self.trainer.num_val_batches
        if datamodule is None or not batches or not batches[0]:
            return
        kinds = datamodule.validated_kinds(int(batches[0]))
        if len(kinds) == 1:
            missing = {name for name in names if name.endswith(_OF_TWO_CLASSES)}
            kind = "fakes" if True in kinds else "originals"
            reason = f"the validation batches hold {kind} alone"
            refuse_missing(self.trainer, missing, reason)

    def on_train_epoch_end(self) -> None:
        """Note what is not averaged, before a callback leaves averaged weights at the end.

        Under gradient surgery, move on a schedule that does so with each epoch.
        """
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
        heads = [p for p in self.network.tasks.parameters() if p.requires_grad]
        balance = list(self.balance.parameters())
        others = {id(p) for p in (*heads, *balance)}
        encoders = [p for p in self.parameters() if p.requires_grad and id(p) not in others]
        optimizer = build_optimizer(
            self.optimizer,
            [
                {"params": encoders},
                {"params": heads, "lr": self.head_learning_rate or self.learning_rate},
                {"params": balance, "weight_decay": 0.0},
            ],
            self.learning_rate,
            self.weight_decay,
        )
        schedule = build_schedule(
            self.schedule,
            optimizer,
            warmup_steps=self.warmup_steps,
            steps=self.trainer.estimated_stepping_batches,
            interval=self.schedule_interval,
        )
        if self._surgery is not None and isinstance(schedule["scheduler"], ReduceLROnPlateau):
            raise ConfigurationError(
                "under gradient surgery, Lightning tells schedules no metric to look at: take "
                "another than ReduceLROnPlateau"
            )
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    @property
    def backbone(self) -> nn.Module:
        """The encoders, by the name that Lightning's BackboneFinetuning knows them by."""
        return nn.ModuleList([branch.encoder for branch in self.network.branches()])

    @property
    def contrasts(self) -> bool:
        """Whether a task is contrastive, so that training batches must hold second views."""
        return len(self.key_encoders) > 0

    def _datamodule(self) -> DeepfakeDataModule | None:
        trainer = self._trainer
        datamodule = None if trainer is None else trainer.datamodule  # type: ignore[attr-defined]
        return datamodule if isinstance(datamodule, DeepfakeDataModule) else None

    def _check_averaging(self, checkpoint: Mapping[str, Any]) -> None:
        """Refuse to save weights beside the threshold of their average."""
        trainer = self._trainer
        if trainer is None or not (trainer.training or trainer.validating):
            return
        if "callbacks" in checkpoint:
            return
        if any(isinstance(each, WeightAveraging) for each in trainer.callbacks):  # type: ignore[attr-defined]
            raise ConfigurationError(
                "checkpoints of weights alone leave out what a WeightAveraging callback has "
                "averaged, though it is what was validated: set save_weights_only to false"
            )

    def _take_fold(self, held_out: tuple[str, ...], spelled: str | list[str] | None) -> None:
        """Belong to a fold from now on, in records too."""
        self.held_out = held_out
        self._knows_fold = True
        # As the datamodule spells it, with which Lightning compares it.
        self.hparams["held_out"] = spelled
        self._hparams_initial.update(held_out=spelled)  # type: ignore[union-attr, operator]

    def _check_batch(self, batch: Mapping[str, Tensor]) -> None:
        """Refuse to learn, or to calibrate, from what is held out.

        A datamodule leaves it out by itself: only others are looked at, which waits for the device.
        """
        if not self.held_out or self._datamodule() is not None:
            return
        methods = batch["manipulation"].tolist()
        seen = [name for name in self.held_out if MANIPULATION_CLASSES.index(name) in methods]
        if seen:
            raise ConfigurationError(
                f"the training and validation loaders hold {_listed(seen)}, but the detector was "
                f"told that held_out is {_listed(self.held_out)}: leave those videos out, or tell "
                "it what is"
            )

    def _build_key_encoders(self) -> None:
        self.key_encoders = nn.ModuleDict()
        average = self.moco.batch_norm_remedy == "average"
        for branch, encoder, tasks in self.network.branches():
            if any(isinstance(task, ContrastiveTask) for task in tasks):
                self.key_encoders[branch] = MomentumCopy(encoder, average_statistics=average)

    def _build_balance(self, balance: str) -> None:
        weights = {task.name: task.weight for task in self.network.task_list}
        self.balance: LossBalance = FixedWeights(weights)
        self._surgery: GradientSurgery | None = None
        if balance == "fixed":
            return
        if len(weights) == 1:
            raise ConfigurationError(
                f"balance is {balance!r}, but there is only one task, hence nothing to balance: "
                "use 'fixed'"
            )
        if balance == "uncertainty":
            if any(weight != 1 for weight in weights.values()):
                raise ConfigurationError(
                    "weights of losses are learnt, so that those of the tasks, "
                    f"{weights}, would only shift where they start: leave them at 1"
                )
            self.balance = UncertaintyWeights(list(weights))
        elif balance in ("upgrad", "pcgrad"):
            if self.separate_encoders:
                raise ConfigurationError(
                    f"balance is {balance!r}, but with separate encoders the tasks share nothing "
                    "that their gradients could conflict on: use 'fixed'"
                )
            self._surgery = GradientSurgery("upgrad" if balance == "upgrad" else "pcgrad")
            self.automatic_optimization = False
        else:
            raise ConfigurationError(
                f"balance is {balance!r}: choose among fixed, uncertainty, upgrad, pcgrad"
            )

    def _build_metrics(self) -> None:
        outputs = len(self.network.column_names)
        self.val_scores = VideoScores(outputs)
        self.test_scores = VideoScores(outputs)
        self.predict_scores = VideoScores(outputs)

    def _key_encoder(self, branch: str) -> nn.Module | None:
        return self.key_encoders[branch] if branch in self.key_encoders else None  # noqa: SIM401

    def _features(
        self, encoder: nn.Module, key_encoder: nn.Module | None, batch: Mapping[str, Tensor]
    ) -> Features:
        if key_encoder is None:
            return Features(encoder(batch["clip"]))
        if "second_clip" not in batch:
            raise ConfigurationError(
                "a contrastive task needs two views of each clip: set --data.second_view "
                "same_clip or other_clip"
            )
        second = encoder(batch["second_clip"]) if self.moco.symmetric else None
        return Features(
            first=encoder(batch["clip"]),
            second=second,
            first_key=self._keys(key_encoder, batch["clip"]) if self.moco.symmetric else None,
            second_key=self._keys(key_encoder, batch["second_clip"]),
        )

    def _keys(self, key_encoder: nn.Module, clip: Tensor) -> Tensor:
        if self.moco.batch_norm_remedy == "shuffle":
            return shuffled_forward(key_encoder, clip)
        keys: Tensor = key_encoder(clip)
        return keys

    def _update_keys(self) -> None:
        for branch, encoder, tasks in self.network.branches():
            key_encoder = self._key_encoder(branch)
            if isinstance(key_encoder, MomentumCopy):
                key_encoder.update(encoder, self.moco.momentum)
            for task in tasks:
                if isinstance(task, ContrastiveTask):
                    task.update_keys()

    def _operate(
        self,
        surgery: GradientSurgery,
        losses: Mapping[str, Tensor],
        queries: Sequence[Tensor],
        probe_loss: Tensor | None,
    ) -> None:
        """Make one step of the optimizer with gradients of the encoder that do not conflict."""
        optimizer = self.optimizers()
        if isinstance(optimizer, list):
            raise TypeError("gradient surgery steps one optimizer")
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        scale = 1.0 if scaler is None else scaler.scale(torch.ones((), device=self.device))
        optimizer.zero_grad()
        shared = list(self.network.encoder.parameters())
        surgery.backward({name: scale * loss for name, loss in losses.items()}, queries, shared)
        if probe_loss is not None:
            (scale * probe_loss).backward()
        surgery.aggregate(shared, self.network.tasks.parameters())
        optimizer.step()
        self._move_schedule("step")

    def _move_schedule(self, interval: str) -> None:
        """Step the schedules of this interval, which Lightning leaves to manual optimization."""
        for config in self.trainer.lr_scheduler_configs:
            if config.interval == interval:
                config.scheduler.step()  # type: ignore[call-arg]

    def _log_training(self, total: Tensor, steps: Mapping[str, TaskStep]) -> None:
        self.log("train/loss", total.detach(), prog_bar=True)
        for task in self.network.task_list:
            step = steps[task.name]
            self.log(f"train/{task.name}/loss", step.loss.detach())
            if step.probe_loss is not None:
                self.log(f"train/{task.name}/probe_loss", step.probe_loss.detach())
            for name, figure in step.figures.items():
                self.log(f"train/{task.name}/{name}", figure, prog_bar=name == "accuracy")
        if isinstance(self.balance, UncertaintyWeights):
            for name, factor in self.balance.factors().items():
                self.log(f"train/{name}/weight", factor)

    def _collect(
        self, outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor], scores: VideoScores
    ) -> None:
        scores.update(
            batch["video"],
            batch["clip_index"],
            batch["manipulation"],
            self.network.columns(outputs),
        )

    def _report(self, table: VideoTable) -> dict[str, dict[str, float | None]]:
        """Compute the metrics of all videos of a table for each predictor."""
        reports = {}
        column = 1
        for position, (name, classes) in enumerate(self.network.classes.items()):
            scores = fake_probability(table.outputs[:, column : column + len(classes)])
            column += len(classes)
            is_score = position == 0
            threshold = float(self.threshold) if is_score else None
            reports[name] = binary_report(
                table.scores if is_score else scores, table.fake, threshold
            )
        return reports

    def _log_reports(
        self, prefix: str, reports: Mapping[str, Mapping[str, float | None] | None]
    ) -> list[str]:
        """Log the metrics of each predictor, and return the names of those that do not exist."""
        missing: list[str] = []
        for position, name in enumerate(self.network.classes):
            report = reports.get(name) or {}
            place = prefix if position == 0 else f"{prefix}/{name}"
            for metric in _PRIMARY_METRICS if position == 0 else _METRICS:
                value = report.get(metric)
                if value is None:
                    missing.append(f"{place}/{metric}")
                self.log(
                    f"{place}/{metric}",
                    math.nan if value is None else value,
                    prog_bar=place == "val" and metric == "auc",
                )
        return missing


def _take_older_names(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:  # noqa: ARG001
    """Let checkpoints load whose detector held encoder and tasks without a network."""
    renamed = current_names(state, prefix)
    state.clear()
    state.update(renamed)


def _first_difference(error: RuntimeError) -> str:
    lines = [line.strip() for line in str(error).splitlines()]
    return lines[min(1, len(lines) - 1)][:120]


def _listed(held_out: Sequence[str]) -> str:
    return " ".join(held_out) or "none"
