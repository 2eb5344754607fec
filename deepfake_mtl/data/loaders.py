"""Loaders of training and evaluation clips, for one process among several."""

import os
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn, TrainerStatus
from torch.utils.data import DataLoader

from deepfake_mtl.data.clips import (
    ClipSample,
    EvaluationClips,
    OnCorrupt,
    ProbedVideos,
    SecondView,
    TrainingClips,
)
from deepfake_mtl.data.degradations import Degraded
from deepfake_mtl.data.loading import ClipLoader, EpochPlace, TrainingLoader
from deepfake_mtl.data.records import MANIPULATION_CLASSES, VideoRecord
from deepfake_mtl.data.sampling import BalancedSampler, ShardSampler, mixed_order
from deepfake_mtl.data.transforms import (
    Augmentation,
    AugmentationSettings,
    ClipAugmentation,
    ClipTransform,
    EvaluationTransform,
)
from deepfake_mtl.data.workers import begin_worker
from deepfake_mtl.errors import ConfigurationError

Stage = Literal["train", "val", "test", "predict"]


class ClipLoaders(pl.LightningDataModule):
    """Loaders of the clips of each stage, shared among the ranks.

    `DeepfakeDataModule` says what each setting means, and finds the videos.
    """

    size: int
    clip_length: int
    clip_stride: int
    num_workers: int
    train_clips_per_video: int
    eval_clips_per_video: int
    second_view: SecondView
    real_fraction: float | None
    balance_manipulations: bool
    augmentation: AugmentationSettings
    extra_augmentations: list[ClipAugmentation]
    on_corrupt: OnCorrupt
    degradation: str | None
    seed: int | None
    _batch_size: int
    _videos: dict[Stage, ProbedVideos]
    _place: EpochPlace | None
    _loaded_place: dict[str, int] | None
    _loaded_seed: int | None

    @property
    def batch_size(self) -> int:
        """Clips of a batch on each device; a tuner that is at work sets no more than an epoch has.

        Lightning's goes on as long as memory is enough, and ends where nothing changes any more.
        """
        return self._batch_size

    @batch_size.setter
    def batch_size(self, clips: int) -> None:
        trainer = self.trainer
        tunes = (
            trainer is not None
            and trainer.state.fn == TrainerFn.FITTING
            and trainer.state.status == TrainerStatus.RUNNING
        )
        if tunes and "train" in self._videos:
            epoch = len(self.records("train")) * self.train_clips_per_video // self._world()[0]
            clips = min(clips, epoch)
        self._batch_size = clips

    def train_dataloader(self) -> DataLoader[ClipSample]:
        """Return random, augmented, balanced clips.

        Raises:
            ConfigurationError: There are fewer clips in an epoch than in a batch.
        """
        videos = self._videos["train"]
        seed = self._base_seed()
        dataset = TrainingClips(
            videos,
            Augmentation(self.size, self.augmentation, self.extra_augmentations),
            clip_length=self.clip_length,
            clip_stride=self.clip_stride,
            second_view=self.second_view,
            on_corrupt=self.on_corrupt,
            seed=seed,
        )
        world_size, rank = self._world()
        sampler = BalancedSampler(
            [MANIPULATION_CLASSES.index(record.method) for record in videos.records],
            real_fraction=self.real_fraction,
            balance_manipulations=self.balance_manipulations,
            draws_per_video=self.train_clips_per_video,
            seed=seed,
            num_replicas=world_size,
            rank=rank,
        )
        if len(sampler) < self.batch_size:
            raise ConfigurationError(
                f"an epoch has {len(sampler)} training clips for each device, fewer than a batch: "
                f"set `batch_size` to at most {len(sampler)} (it is {self.batch_size}), or "
                "raise `train_clips_per_video`"
            )
        if self.trainer is not None and self.trainer.overfit_batches > 0:  # type: ignore[attr-defined]
            draws = ShardSampler(list(sampler))
            self._place = None
            return ClipLoader(
                dataset, self.batch_size, sampler=draws, drop_last=True, **self._loader_options()
            )
        loader = TrainingLoader(
            dataset, sampler, self.batch_size, ranks=world_size, **self._loader_options()
        )
        self._place = loader.place
        if self._loaded_place is not None:
            # Lightning would do so, but not where a schedule has asked it for the number of steps.
            loader.load_state_dict(self._loaded_place)
        return loader

    @property
    def equal_ranks(self) -> bool:
        """Whether all ranks have training batches of one size: not where a subclass makes them."""
        return type(self).train_dataloader is ClipLoaders.train_dataloader

    def val_dataloader(self) -> DataLoader[ClipSample]:
        """Return evenly spread clips of the validation videos."""
        return self._evaluation_loader("val")

    def validated_kinds(self, batches: int) -> set[bool]:
        """Tell of which kinds the videos of the first validation batches are: fake, or not.

        Args:
            batches: Batches of each device.
        """
        records = self.records("val")
        clips = batches * self.batch_size * self._world()[0]
        order = mixed_order([record.manipulation for record in records])
        return {records[video].is_fake for video in order[:clips]}

    def test_dataloader(self) -> DataLoader[ClipSample]:
        """Return evenly spread clips of the test videos, held-out and seen manipulations alike."""
        return self._evaluation_loader("test")

    def predict_dataloader(self) -> DataLoader[ClipSample]:
        """Return evenly spread clips of every video of the corpus, whatever its split."""
        return self._evaluation_loader("predict")

    def records(self, stage: Stage) -> tuple[VideoRecord, ...]:
        """Return the videos to which the batches' `video` refers."""
        return self._videos[stage].records

    def _evaluation_loader(self, stage: Stage) -> DataLoader[ClipSample]:
        transform: ClipTransform = EvaluationTransform(self.size)
        if self.degradation is not None and stage != "val":
            transform = Degraded(transform, self.degradation)
        dataset = EvaluationClips(
            self._videos[stage],
            transform,
            clip_length=self.clip_length,
            clip_stride=self.clip_stride,
            clips_per_video=self.eval_clips_per_video,
            on_corrupt=self.on_corrupt,
        )
        world_size, rank = self._world()
        return ClipLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=ShardSampler(dataset.mixed_order(), num_replicas=world_size, rank=rank),
            **self._loader_options(),
        )

    def _loader_options(self) -> dict[str, Any]:
        return {
            "num_workers": self.num_workers,
            "pin_memory": self._device_type() == "cuda",
            "persistent_workers": self.num_workers > 0,
            "worker_init_fn": begin_worker,
            # Its own: the random state of the training is not to depend on how often data is read.
            "generator": torch.Generator().manual_seed(self._base_seed()),
        }

    def _base_seed(self) -> int:
        if self._loaded_seed is not None:
            return self._loaded_seed
        return self._asked_seed() or 0

    def _asked_seed(self) -> int | None:
        if self.seed is not None:
            return self.seed
        seed = os.environ.get("PL_GLOBAL_SEED")
        return None if seed is None else int(seed)

    def _device_type(self) -> str:
        if self.trainer is None:
            return "cuda" if torch.cuda.is_available() else "cpu"
        return self.trainer.strategy.root_device.type

    def _world(self) -> tuple[int, int]:
        if self.trainer is None:
            return 1, 0
        return self.trainer.world_size, self.trainer.global_rank

    def _check_sampler_replacement(self) -> None:
        if self.trainer is None or self.trainer.world_size == 1:
            return
        if self.trainer._accelerator_connector.use_distributed_sampler:  # noqa: SLF001
            raise ConfigurationError(
                "with several devices, create the Trainer with use_distributed_sampler=False: this "
                "datamodule shares its videos among them by itself"
            )
