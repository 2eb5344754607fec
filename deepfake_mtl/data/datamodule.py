"""The LightningDataModule: a corpus on disk, as the clips of one leave-one-out experiment."""

import logging
import os
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities import rank_zero_info

from deepfake_mtl.data.batches import ClipBatch, CorpusReport
from deepfake_mtl.data.checkpoint_state import compare_checkpoints
from deepfake_mtl.data.clips import OnCorrupt, ProbedVideos, SecondView, probe_videos
from deepfake_mtl.data.contract import FoldContract
from deepfake_mtl.data.corpora import Corpus
from deepfake_mtl.data.corpora.faceforensics import Compression
from deepfake_mtl.data.dataset_statistics import describe_training
from deepfake_mtl.data.loaders import ClipLoaders, Stage
from deepfake_mtl.data.loading import EpochPlace
from deepfake_mtl.data.missing import OnMissing
from deepfake_mtl.data.opening import check_crops, open_data
from deepfake_mtl.data.protocol import Fold, leave_out, parse_held_out
from deepfake_mtl.data.records import VideoRecord
from deepfake_mtl.data.shortcuts import check_shortcuts
from deepfake_mtl.data.splits import fingerprint, random_splits, read_splits
from deepfake_mtl.data.store.index import FaceStore
from deepfake_mtl.data.transforms import AugmentationSettings, ClipAugmentation
from deepfake_mtl.data.treatments import parse_degradation
from deepfake_mtl.errors import CheckpointError, ConfigurationError, VideoError
from deepfake_mtl.util.machine import usable_cores

RANDOM_SPLITS: Final = "random"

_MOST_WORKERS: Final = 8

_SAME_PEOPLE: Final = ("faceforensics", "faceshifter")
"""Corpora of the people of FaceForensics++, whose test must not be of people who were learnt."""

_log = logging.getLogger(__name__)


def _usable_cores() -> int:
    return min(usable_cores(), _MOST_WORKERS)


class DeepfakeDataModule(ClipLoaders):
    """FaceForensics++ as clips of a leave-one-manipulation-out experiment.

    Batches are `ClipBatch`. Clips travel as uint8; the encoder normalises them on its device.
    Samplers share the work among ranks by themselves: set `use_distributed_sampler` of the Trainer
    to false when there are several.

    Checkpoints remember the fold, the seed and the place in an epoch: to go on, or to test, with
    another fold is an error.

    Args:
        root: Folder that holds ``original_sequences`` and ``manipulated_sequences``, or a store of
            face crops that ``deepfake-mtl prepare`` made of one.
        compression: ``raw``, ``c23`` or ``c40``, also of another corpus to test on where that has
            several.
        held_out: Manipulation to be left out of training and validation, several, or ``none``.
        splits: Folder of the official ``train.json``, ``val.json`` and ``test.json``;
            ``<root>/splits`` by default. ``random`` makes a split by identity.
        split_seed: Seed of a random split.
        clip_length: Frames of a clip (32 is CoCLR's; the paper does not state it: an assumption).
        clip_stride: Distance of these frames (assumption: 1).
        size: Width and height of a clip in pixels, as in the paper.
        batch_size: Clips of a batch on each device (assumption).
        num_workers: Processes that read clips, on each device; ``null`` takes one for each core
            that this process may use, at most 8.
        train_clips_per_video: Clips drawn in an epoch over the number of videos (assumption).
        eval_clips_per_video: Evenly spread clips of each video in evaluation (assumption).
        second_view: For contrastive tasks, a second view of each training video in
            `ClipBatch.second_clip`: ``same_clip`` (the same frames, augmented otherwise) or
            ``other_clip`` (another place of the same video). Which the paper takes is not stated.
        real_fraction: Share of originals in training (assumption); ``null`` takes videos as they
            come, 1 : 3 on FaceForensics++.
        balance_manipulations: Draw equally many clips of each manipulation.
        augmentation: What is done to training clips (all assumptions).
        extra_augmentations: What follows, by classes of your own; see
            `deepfake_mtl.data.transforms.ClipAugmentation`.
        on_missing: ``skip`` goes on without videos that the splits name but are not there.
        on_corrupt: ``skip`` goes on without videos that cannot be decoded.
        test_on: Another corpus to test on: ``<name>=<folder>``, with a name among
            `deepfake_mtl.data.corpora.CORPORA` or the class path of a reader, or the folder of a
            store of face crops. Its official test list is tested, or all of it where there is none.
        degradation: What is done to the clips of a test or a prediction, ``<treatment>:<strength>``
            such as ``jpeg:50``; see `deepfake_mtl.data.treatments.TREATMENTS`.
        allow_other_crops: Go on with a checkpoint that was trained on crops made otherwise.
        seed: Base of all random choices; ``null`` takes Lightning's ``seed_everything``.
    """

    def __init__(  # noqa: PLR0913, PLR0917 (each is an option of the command line)
        self,
        root: str,
        held_out: str | list[str] | None,
        compression: Compression = "c23",
        splits: str | None = None,
        split_seed: int = 0,
        clip_length: int = 32,
        clip_stride: int = 1,
        size: int = 128,
        batch_size: int = 16,
        num_workers: int | None = None,
        train_clips_per_video: int = 1,
        eval_clips_per_video: int = 4,
        second_view: SecondView = "none",
        real_fraction: float | None = 0.5,
        balance_manipulations: bool = True,
        augmentation: AugmentationSettings = AugmentationSettings(),  # noqa: B008 (is frozen)
        extra_augmentations: list[ClipAugmentation] | None = None,
        on_missing: OnMissing = "error",
        on_corrupt: OnCorrupt = "error",
        test_on: str | None = None,
        degradation: str | None = None,
        allow_other_crops: bool = False,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.root = root
        self.held_out = parse_held_out(held_out)
        self.compression: Compression = compression
        self.splits = splits
        self.split_seed = split_seed
        self.clip_length = clip_length
        self.clip_stride = clip_stride
        self.size = size
        self.batch_size = batch_size
        self.num_workers = _usable_cores() if num_workers is None else num_workers
        self.train_clips_per_video = train_clips_per_video
        self.eval_clips_per_video = eval_clips_per_video
        self.second_view: SecondView = second_view
        self.real_fraction = real_fraction
        self.balance_manipulations = balance_manipulations
        self.augmentation = augmentation
        self.extra_augmentations = extra_augmentations or []
        self.on_missing: OnMissing = on_missing
        self.on_corrupt: OnCorrupt = on_corrupt
        self.test_on = test_on
        if degradation is not None:
            parse_degradation(degradation)  # rather now than in a worker
        self.degradation = degradation
        self.allow_other_crops = allow_other_crops
        self.seed = seed
        self.save_hyperparameters(
            "root", "held_out", "compression", "splits", "split_seed", "clip_length",
            "clip_stride", "size", "eval_clips_per_video", "on_missing", "on_corrupt",
        )  # fmt: skip
        self._corpus: Corpus | None = None
        self._fold: Fold | None = None
        self._split_digest = ""
        self._videos: dict[Stage, ProbedVideos] = {}
        self._corrupt: dict[str, None] = {}
        self._place: EpochPlace | None = None
        self._loaded_place: dict[str, int] | None = None
        self._loaded_seed: int | None = None
        self._statistics: dict[str, Any] | None = None

    @property
    def fold(self) -> Fold:
        """Return who is trained, validated and tested on; after `setup`."""
        if self._fold is None:
            raise ConfigurationError("the fold is known after setup() only: call it first")
        return self._fold

    def setup(self, stage: str) -> None:
        """Find the videos of a stage and read their headers.

        Raises:
            CorpusError: The root is wrong, or videos are missing.
            SplitError: The lists of identities are missing or wrong.
            VideoError: A file cannot be opened.
            ConfigurationError: Options do not fit each other or the data.
        """
        self._check_sampler_replacement()
        if stage == "fit":
            # What an earlier training went on with; a checkpoint of this one is read after this.
            self._place = self._loaded_place = self._loaded_seed = None
        compare_checkpoints(self.trainer, partial(DeepfakeDataModule.load_state_dict, self))
        if self.test_on is not None and stage != "test":
            raise ConfigurationError(
                f"`test_on` is {self.test_on}, but it is for tests alone: leave it out, or name "
                "the corpus by `root`"
            )
        if stage == "predict":
            self._prepare("predict", self._find_corpus().index())
            return
        if self.test_on is not None:
            corpus = self._find_corpus()
            if corpus.name in _SAME_PEOPLE and (corpus.root / "splits").is_dir():
                self._split_digest = fingerprint(read_splits(corpus.root / "splits"))
            self._prepare("test", corpus.test_videos())
            return
        if self._fold is None:
            rank_zero_info(self.find_fold().describe() + self._across_devices())
        fold = self.fold
        if stage == "fit":
            self._prepare("train", fold.train)
        if stage in ("fit", "validate"):
            self._prepare("val", fold.val)
        if stage == "test":
            self._prepare("test", fold.test)

    def find_fold(self) -> Fold:
        """Find out who is trained, validated and tested on, without opening a video.

        Raises:
            CorpusError: The root is wrong, or videos are missing.
            SplitError: The lists of identities are missing or wrong.
        """
        if self._fold is None:
            records = self._find_corpus().index()
            splits = (
                random_splits(records, self.split_seed)
                if self.splits == RANDOM_SPLITS
                else read_splits(self._splits_origin())
            )
            self._split_digest = fingerprint(splits)
            self._fold = leave_out(
                records, splits, self.held_out, self.on_missing, self._find_corpus().how_to_complete
            )
        return self._fold

    def report(self) -> CorpusReport:
        """Say what was found, what was missing and what could not be read, so far."""
        if self._corpus is None:
            raise ConfigurationError("there is nothing to report before setup()")
        fold = self._fold
        counts = fold.counts() if fold else {}
        if self.test_on is not None:
            counts = {"test": dict(Counter(record.method for record in self.records("test")))}
        return CorpusReport(
            corpus=self._corpus.name,
            root=str(self._corpus.root),
            compression=self._corpus.compression,
            synthetic=self._corpus.is_synthetic,
            splits=self._splits_origin(),
            seed=self._base_seed(),
            counts=counts,
            missing={m: len(names) for m, names in fold.missing.items()} if fold else {},
            corrupt=list(self._corrupt),
        )

    def on_before_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> ClipBatch:  # noqa: ARG002
        """Note what could not be decoded, which the loader has left out."""
        for failure in batch.pop("failure"):
            if failure not in self._corrupt:
                self._corrupt[failure] = None
                _log.warning("skipped: %s", failure)
        usable: ClipBatch = batch  # type: ignore[assignment]
        return usable

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must remember about its data."""
        return {
            "held_out": list(self.held_out),
            "split_digest": self._split_digest,
            "seed": self._base_seed(),
            "crops": self._crops(),
            "place": None if self._place is None else self._place.state_dict(),
            **self._dataset_statistics(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Check that a checkpoint belongs to this fold, and go on with its seed and its place.

        Raises:
            CheckpointError: It was trained with other manipulations held out, with other people, or
                on crops that were made otherwise; or a training is to go on with another seed.
        """
        FoldContract(list(self.held_out)).take_checkpoint(state_dict["held_out"])
        digest = state_dict["split_digest"]
        if self._split_digest and digest != self._split_digest:
            raise CheckpointError(
                "the checkpoint was trained with other lists of identities than those in "
                f"{self._splits_origin()}: it may have seen the people that it is tested on. Name "
                "the lists that it was trained with by `splits` (and `split_seed`)"
            )
        if self._corpus is not None and not self.allow_other_crops:
            check_crops(state_dict.get("crops"), self._crops())
        seed, asked = int(state_dict["seed"]), self._asked_seed()
        fits = self.trainer is not None and self.trainer.state.fn == TrainerFn.FITTING
        if fits and asked is not None and asked != seed:
            raise CheckpointError(
                f"this training has drawn with seed {seed}, but seed is {asked}, which changes "
                f"nothing: give seed {seed} (or seed_everything), or start anew in another folder"
            )
        self._loaded_seed = seed
        self._loaded_place = state_dict.get("place")

    def _find_corpus(self) -> Corpus:
        if self._corpus is None:
            self._corpus = open_data(self.root, self.compression, self.test_on, self.on_missing)
        return self._corpus

    def _across_devices(self) -> str:
        ranks, _ = self._world()
        if ranks == 1:
            return ""
        clips = f"\n  batches of {self.batch_size} clips on each of {ranks} devices"
        return f"{clips}, {ranks * self.batch_size} together"

    def _crops(self) -> dict[str, Any] | None:
        """Return how the crops were made; None of whole frames."""
        return self._corpus.settings.to_dict() if isinstance(self._corpus, FaceStore) else None

    def _dataset_statistics(self) -> dict[str, Any]:
        """Return the corpus, and what its training videos look like."""
        if self._corpus is None or "train" not in self._videos:
            return {}
        if self._statistics is None:
            videos = self._videos["train"]
            self._statistics = describe_training(videos.records, videos.infos)
        corpus = self._corpus
        names = {"name": corpus.name, "compression": corpus.compression}
        return {
            "corpus": {**names, "synthetic": corpus.is_synthetic},
            "videos": self._statistics,
        }

    def _splits_origin(self) -> str:
        if self.splits == RANDOM_SPLITS:
            return f"a random split of seed {self.split_seed}"
        return self.splits or os.path.join(self.root, "splits")  # noqa: PTH118 (kept as given)

    def _prepare(self, stage: Stage, records: Sequence[VideoRecord]) -> None:
        if stage in self._videos:
            return
        videos = probe_videos(records, self.on_corrupt, self._find_corpus().root)
        for failure in videos.corrupt:
            self._corrupt[failure] = None
            _log.warning("skipped: %s", failure)
        if not videos.records:
            raise VideoError(f"none of the {len(records)} {stage} videos can be read")
        if stage in ("train", "test"):
            check_shortcuts(videos.records, videos.infos)
        self._videos[stage] = videos
