"""LightningCLI for the detector, with the traps of its command line closed."""

import logging
import os
import re
import warnings
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from inspect import signature
from pathlib import Path
from typing import Any, Final

from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Callback, Checkpoint, LearningRateMonitor
from pytorch_lightning.cli import (
    ArgsType,
    LightningArgumentParser,
    LightningCLI,
)
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only

from deepfake_mtl.arguments import HelpFormatter
from deepfake_mtl.data.datamodule import DeepfakeDataModule
from deepfake_mtl.data.opening import check_compression
from deepfake_mtl.data.protocol import data_state
from deepfake_mtl.detector import Detector
from deepfake_mtl.errors import CheckpointError, ConfigurationError
from deepfake_mtl.models import without_pretrained
from deepfake_mtl.models.checkpoint_files import load_checkpoint
from deepfake_mtl.optimization.precision import (
    PRECISION,
    TF32,
    check_precision,
    resolve_precision,
    use_tf32,
)
from deepfake_mtl.training.callbacks import (
    ClipStrip,
    FeatureWriter,
    GradientConflictMonitor,
    ResultsWriter,
)
from deepfake_mtl.training.checkpoints.best import BestCheckpoint
from deepfake_mtl.training.checkpoints.choice import (
    RUN_CHECKPOINTS,
    find_checkpoint,
    requeued_checkpoint,
    sound_checkpoint,
)
from deepfake_mtl.training.checkpoints.files import BEST, CHECKPOINTS, LAST, WholeCheckpointIO
from deepfake_mtl.training.checkpoints.last import LastCheckpoint
from deepfake_mtl.training.checkpoints.lock import lock_training
from deepfake_mtl.training.checkpoints.random_states import RandomStates
from deepfake_mtl.training.run_config import RunConfig
from deepfake_mtl.training.run_folder import results_folder
from deepfake_mtl.training.trainer import DetectorTrainer
from deepfake_mtl.training.words import (
    TRAINER_COMMANDS,
    check_order,
    option,
    replace_option,
    with_configs_found,
)

DEFAULT_RUN: Final = "runs/detector"


_log = logging.getLogger(__name__)

_NOT_INSTALLED: Final = re.compile(r"Requirement '.+' not met.*|No module named '.+'")

_FROM_CHECKPOINT: Final = ("validate", "test", "predict")


class DetectorCLI(LightningCLI):
    """LightningCLI for `Detector` and `DeepfakeDataModule`.

    Everything that a command writes goes to its run folder, `trainer.default_root_dir`:
    ``config.yaml``, ``checkpoints/{best,last,previous}.ckpt``, ``tensorboard/``, and after a test
    ``results.json``, ``predictions.csv`` and ``results.html``; see `results_folder`.

    Args:
        words: The subcommand and its options.
        held: What is to be let go at the end, such as the lock of a run folder.
    """

    def __init__(self, words: Sequence[str], held: ExitStack) -> None:
        self._held = held
        self._data_state: dict[str, Any] = {}
        self._resumed: Path | None = None
        super().__init__(
            Detector,
            DeepfakeDataModule,
            trainer_class=DetectorTrainer,
            args=list(words),
            save_config_callback=RunConfig,
            seed_everything_default=0,
            auto_configure_optimizers=False,
            trainer_defaults={
                "default_root_dir": DEFAULT_RUN,
                "use_distributed_sampler": False,  # the datamodule shares by itself
            },
            parser_kwargs={
                "formatter_class": HelpFormatter,  # of the subcommands, too
                **{command: _texts(command) for command in TRAINER_COMMANDS},
            },
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the callbacks that have options, and let the detector know what is held out."""
        parser.link_arguments("data.held_out", "model.held_out")
        parser.add_argument(
            "--tf32",
            type=TF32,
            default="convolutions",
            help="Which float32 operations of a GPU are rounded to TF32.",
        )
        parser.add_lightning_class_args(BestCheckpoint, "checkpoint")
        parser.add_lightning_class_args(LastCheckpoint, "last_checkpoint")
        parser.add_lightning_class_args(GradientConflictMonitor, "conflict")
        parser.add_lightning_class_args(FeatureWriter, "features")
        parser.set_defaults(
            {
                "model.encoder": {"class_path": "deepfake_mtl.models.S3D"},  # has options by itself
            }
        )
        for name in ("checkpoint", "last_checkpoint"):
            parser.link_arguments(
                "trainer.default_root_dir", f"{name}.dirpath", compute_fn=_checkpoints_folder
            )

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse the words, after looking for what LightningCLI would take in silence."""
        if not isinstance(args, list):
            raise TypeError("the command line is given as a list of words")
        words = with_configs_found(args)
        check_order(words)
        if words[0] in _FROM_CHECKPOINT and not {"-h", "--help", "--print_config"} & set(words):
            words = self._with_checkpoint(words)
        given = option(words, "--ckpt_path")
        if words[0] == "fit" and given is not None and given not in RUN_CHECKPOINTS:
            # LightningCLI itself reads it, before anything can be said about it.
            path = sound_checkpoint(given, Path())
            words = replace_option(words, "--ckpt_path", str(path))
        with warnings.catch_warnings():
            # Lightning warns where a program passes words and has some of its own.
            warnings.filterwarnings("ignore", message="LightningCLI's args parameter")
            super().parse_arguments(parser, words)
        test_on, asked = self.config.get("test.data.test_on"), option(words, "--data.compression")
        if test_on is not None and asked is not None:
            check_compression(test_on, asked)
        written = self.config.get("fit.ckpt_path")
        if given is None and written is not None:
            raise ConfigurationError(
                "ckpt_path stands in a configuration file, whose every training would go on from "
                f"{written}: take it out there, and write --ckpt_path to go on with a training"
            )

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:  # noqa: ANN401 (Lightning's)
        """Create the trainer with a logger and callbacks that write to the run folder."""
        config = self.config_init[self.subcommand].trainer
        run = Path(config.default_root_dir)
        use_tf32(self.config_init[self.subcommand].tf32)
        self._writes = not (config.fast_dev_run or config.barebones)
        if config.logger is True or (config.logger is None and not config.barebones):
            kwargs["logger"] = TensorBoardLogger(
                run, name="tensorboard", version=str(self.subcommand), default_hp_metric=False
            )
        data = self.config_init[self.subcommand].data
        folder = results_folder(run, data.test_on, data.degradation)
        try:
            trainer = super().instantiate_trainer(**kwargs)
        except (MisconfigurationException, ValueError) as error:
            gpu = config.accelerator in ("gpu", "cuda", "mps")
            remedy = ": set trainer.accelerator to cpu or auto" if gpu else ""
            raise ConfigurationError(
                f"the Trainer refuses its options: {' '.join(str(error).split())}{remedy}"
            ) from error
        check_precision(str(trainer.precision), str(config.precision))
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = WholeCheckpointIO()
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        if config.barebones:
            return trainer
        callbacks.insert(0, RandomStates())  # before others draw
        callbacks.append(ResultsWriter(folder, self.config_dump))
        if trainer.loggers:
            callbacks.extend([ClipStrip(), LearningRateMonitor("step")])
        return trainer

    def _parse_ckpt_path(self) -> None:
        """Take a model's options from a checkpoint to test it; to go on, those given must hold."""
        if self.config.get("subcommand") != "fit":
            super()._parse_ckpt_path()

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        """Leave out the callbacks that the trainer is told to do without."""
        if config["barebones"]:
            callbacks, self.save_config_callback = [], None
        elif config["enable_checkpointing"] is False:
            callbacks = [each for each in callbacks if not isinstance(each, Checkpoint)]
        return super()._instantiate_trainer(config, callbacks)

    def instantiate_classes(self) -> None:
        """Create model, data and trainer; where a checkpoint follows, load no other weights."""
        checkpoint, run = self._get(self.config, "ckpt_path"), self._run()
        if self.subcommand == "fit":
            if checkpoint is None:
                self._resumed = requeued_checkpoint(run)
            elif checkpoint in RUN_CHECKPOINTS:
                self._resumed = sound_checkpoint(checkpoint, run)
            else:
                self._resumed = find_checkpoint(checkpoint, run)
        self._resolve_precision()
        with without_pretrained() if checkpoint or self._resumed else nullcontext():
            try:
                super().instantiate_classes()
            except ValueError as error:
                missing = _missing_package(error)
                if missing is None:
                    raise
                raise ConfigurationError(missing) from error

    def _resolve_precision(self) -> None:
        """Choose where `auto` is asked for, so that what is written down is what was done.

        A training goes on in the precision that it began with, wherever it goes on.
        """
        trainer = self._get(self.config, "trainer")
        if trainer.precision != "auto":
            return
        if self._resumed is not None:
            record = load_checkpoint(self._resumed).get(PRECISION)
            trainer.precision = record["used"] if record else "auto"
        trainer.precision = resolve_precision(trainer.precision, trainer.accelerator)

    def after_instantiate_classes(self) -> None:
        """Let checkpoints describe the model's parts in plain values, and check the given one.

        Raises:
            CheckpointError: It belongs to another fold.
        """
        description = self.config_dump["model"]
        parts = ("encoder", "tasks", "moco", "optimizer", "schedule", "balance")
        self.model.hparams.update({key: description[key] for key in parts})
        if self._data_state:
            self.datamodule.load_state_dict(self._data_state)

    def before_fit(self) -> None:
        """Refuse to write over the checkpoints of another training.

        Raises:
            ConfigurationError: There are some in the run folder, and none is continued; or another
                process trains there.
        """
        if not self._writes:
            self._resume()
            return
        run = self._run()
        if _is_first_process(self.trainer):
            self._held.enter_context(lock_training(run / CHECKPOINTS))
        existing = sorted((run / CHECKPOINTS).glob("*.ckpt"))
        if self._resumed is None and existing:
            last = run / CHECKPOINTS / LAST
            raise ConfigurationError(
                f"{run} holds the checkpoints of an earlier training: choose another folder with "
                "--trainer.default_root_dir, or go on with that training by --ckpt_path "
                f"{last if last in existing else existing[0]}"
            )
        if self.datamodule.second_view != "none" and not self.model.contrasts:
            _log.warning(
                "--data.second_view %s reads and augments every training clip twice, but no task "
                "is contrastive: leave it at none",
                self.datamodule.second_view,
            )
        self._resume()

    def _resume(self) -> None:
        if self._resumed is not None:
            self.config_init[self.subcommand]["ckpt_path"] = str(self._resumed)

    def _run(self) -> Path:
        return Path(self._get(self.config, "trainer").default_root_dir)

    def _with_checkpoint(self, words: Sequence[str]) -> list[str]:
        """Take what a checkpoint remembers of its data for options that are not given."""
        subcommand = words[0]
        given = option(words, "--ckpt_path")
        run = Path(option(words, "--trainer.default_root_dir") or DEFAULT_RUN)
        if given is None:
            raise CheckpointError(
                f"{subcommand} needs a checkpoint, else it would score with random weights: write "
                f"deepfake-mtl {subcommand} ... --ckpt_path {run / CHECKPOINTS / BEST}"
            )
        path = find_checkpoint(given, run)
        content = load_checkpoint(path)
        state = data_state(content)
        if state is None or "datamodule_hyper_parameters" not in content:
            raise CheckpointError(f"{path}: not a checkpoint of deepfake-mtl fit")
        self._data_state = dict(state)
        parser = self._subcommand_parsers[subcommand]
        remembered = content["datamodule_hyper_parameters"]
        known = signature(DeepfakeDataModule).parameters  # a subclass may have had more
        parser.set_defaults({f"data.{k}": v for k, v in remembered.items() if k in known})
        if subcommand == "test":
            parser.set_defaults({"verbose": False})  # the table of ResultsWriter says more
        if path.parent.name == CHECKPOINTS:
            parser.set_defaults({"trainer.default_root_dir": str(path.parent.parent)})
        return replace_option(words, "--ckpt_path", str(path))


def _is_first_process(trainer: Trainer) -> bool:
    """Return whether this process writes to the run folder; the trainer learns its rank later."""
    first_here = getattr(rank_zero_only, "rank", 0) == 0 and os.environ.get("NODE_RANK", "0") == "0"
    return first_here and trainer.is_global_zero


def _missing_package(error: BaseException | None) -> str | None:
    """Return what is not installed, if that is behind an error of jsonargparse.

    Older versions of jsonargparse tell of it in the words of the error alone.
    """
    told = _NOT_INSTALLED.search(str(error))
    while error is not None and not isinstance(error, ImportError):
        error = error.__cause__ or error.__context__
    reason = told[0] if error is None and told else str(error or "")
    return " ".join(reason.split()) or None


def _texts(command: str) -> dict[str, str]:
    """Return what the help of a subcommand begins with."""
    needed = (
        "--ckpt_path FILE"
        if command in _FROM_CHECKPOINT
        else "--config FILE ... --data.root FOLDER --data.held_out MANIPULATION"
    )
    return {
        "description": f"{TRAINER_COMMANDS[command].capitalize()}.",
        "usage": f"deepfake-mtl {command} {needed} [--OPTION VALUE ...]",
    }


def _checkpoints_folder(run: str) -> str:
    return str(Path(run) / CHECKPOINTS)
