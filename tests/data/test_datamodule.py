import subprocess
import sys
from pathlib import Path

import pytest
import torch

from deepfake_mtl.data.datamodule import DeepfakeDataModule
from deepfake_mtl.errors import CheckpointError, ConfigurationError, SplitError
from tests.conftest import video_path
from tests.data.videos import spoil


def datamodule(root: Path, **options: object) -> DeepfakeDataModule:
    return DeepfakeDataModule(
        str(root),
        **{
            "held_out": "NeuralTextures",
            "size": 32,
            "clip_length": 8,
            "batch_size": 4,
            "num_workers": 0,
            "eval_clips_per_video": 2,
            **options,
        },
    )


def clips_of(data: DeepfakeDataModule, epoch: int) -> dict[tuple[int, int], torch.Tensor]:
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return {
        (int(video), int(draw)): clip
        for batch in loader
        for video, draw, clip in zip(
            batch["video"], batch["clip_index"], batch["clip"], strict=True
        )
    }


def test_an_epoch_is_the_same_with_any_number_of_workers(tiny_corpus: Path) -> None:
    """Augmentation depends on seed and draw alone, not on the process that happens to do it."""
    epochs = []
    for workers in (0, 2):
        data = datamodule(tiny_corpus, num_workers=workers, seed=1)
        data.setup("fit")
        epochs.append(clips_of(data, 0))
    assert epochs[0].keys() == epochs[1].keys()
    assert all(torch.equal(clip, epochs[1][draw]) for draw, clip in epochs[0].items())


@pytest.mark.slow
def test_workers_start_where_opencv_has_threads(tiny_corpus: Path) -> None:
    """Fork copies no threads: OpenCV in a worker would wait for them forever.

    At the end workers are told to end by SIGTERM, which they outlive where others send it.
    """
    program = f"""
import cv2, numpy as np
from deepfake_mtl.data.datamodule import DeepfakeDataModule
cv2.setNumThreads(4)
cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (0, 0), 3)
data = DeepfakeDataModule(
    {str(tiny_corpus)!r}, "FaceSwap", size=32, clip_length=8, batch_size=4, num_workers=2
)
data.setup("fit")
batches = sum(1 for _ in data.train_dataloader())
print(batches, cv2.getNumThreads())
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-1] == "4 4"
    assert "Alarm clock" not in done.stderr


def test_workers_end_with_their_loader(tiny_corpus: Path) -> None:
    """Left to the collector of garbage, each would be waited for."""
    data = datamodule(tiny_corpus, num_workers=2)
    data.setup("fit")
    loader = data.train_dataloader()
    next(iter(loader))
    workers = loader._iterator._workers
    assert all(worker.is_alive() for worker in workers)
    del loader
    assert not any(worker.is_alive() for worker in workers)
    assert data.state_dict()["place"]["batches"] == 1


def test_a_degradation_is_of_tests_alone(tiny_corpus: Path) -> None:
    plain, noisy = datamodule(tiny_corpus), datamodule(tiny_corpus, degradation="noise:9")
    for data in (plain, noisy):
        data.setup("fit")
        data.setup("test")
    for loader, equal in (("train", True), ("val", True), ("test", False)):
        batches = [next(iter(getattr(d, f"{loader}_dataloader")())) for d in (plain, noisy)]
        assert torch.equal(batches[0]["clip"], batches[1]["clip"]) == equal
    difference = batches[1]["clip"].float() - batches[0]["clip"]
    assert 6 < difference.std() < 10  # less than 9 where levels end
    assert not torch.equal(difference[0], difference[1])
    with pytest.raises(ConfigurationError, match="degradation 'fog:1'"):
        datamodule(tiny_corpus, degradation="fog:1")


def test_epochs_seeds_and_samples_are_augmented_differently(tiny_corpus: Path) -> None:
    data = datamodule(tiny_corpus, train_clips_per_video=4, seed=1)
    data.setup("fit")
    first, second = clips_of(data, 0), clips_of(data, 1)
    data.seed = 2
    reseeded = clips_of(data, 0)
    everything = [*first.values(), *second.values(), *reseeded.values()]
    assert len({clip.numpy().tobytes() for clip in everything}) == len(everything)


def test_batches_are_what_the_detector_expects(tiny_corpus: Path) -> None:
    data = datamodule(tiny_corpus)
    data.setup("fit")
    batch = data.on_before_batch_transfer(next(iter(data.train_dataloader())), 0)
    assert batch["clip"].shape == (4, 3, 8, 32, 32)
    assert batch["clip"].dtype == torch.uint8
    for key in ("is_fake", "manipulation", "video", "clip_index"):
        assert batch[key].shape == (4,)
        assert batch[key].dtype == torch.int64
    assert not (batch["manipulation"] == 4).any()


def test_evaluation_leaves_out_what_cannot_be_decoded_and_says_so(corpus: Path) -> None:
    broken = video_path(corpus, "original", "006")
    spoil(broken)
    data = datamodule(corpus, on_corrupt="skip", batch_size=3)
    data.setup("test")
    batches = [data.on_before_batch_transfer(batch, 0) for batch in data.test_dataloader()]
    seen = {int(video) for batch in batches for video in batch["video"]}
    missing = [record.path for i, record in enumerate(data.records("test")) if i not in seen]
    assert missing == [broken]
    (message,) = data.report().corrupt
    assert message.startswith(str(broken))


def test_a_random_split_is_only_made_when_asked_for(tiny_corpus: Path, tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    root.mkdir()
    for name in ("original_sequences", "manipulated_sequences"):
        (root / name).symlink_to(tiny_corpus / name)
    with pytest.raises(SplitError, match='splits="random"'):
        datamodule(root).setup("fit")
    data = datamodule(root, splits="random", split_seed=1)
    data.setup("test")
    assert data.report().splits == "a random split of seed 1"
    assert sum(sum(methods.values()) for methods in data.report().counts.values()) == 40 - 6


def test_checkpoints_remember_fold_people_and_seed(tiny_corpus: Path) -> None:
    data = datamodule(tiny_corpus, seed=7)
    data.setup("fit")
    state = data.state_dict()

    same = datamodule(tiny_corpus)
    same.setup("test")
    same.load_state_dict(state)
    assert same.report().seed == 7
    with pytest.raises(CheckpointError, match="NeuralTextures held out, but held_out is Deepfakes"):
        datamodule(tiny_corpus, held_out="Deepfakes").load_state_dict(state)
    others = datamodule(tiny_corpus, splits="random")
    others.setup("test")
    with pytest.raises(CheckpointError, match="other lists of identities"):
        others.load_state_dict(state)


def test_nothing_is_known_before_setup(tiny_corpus: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"setup\(\)"):
        _ = datamodule(tiny_corpus).fold


def test_a_second_training_begins_at_the_start(tiny_corpus: Path) -> None:
    """With a datamodule that has gone on from the middle of another, of another seed."""
    first = datamodule(tiny_corpus, seed=7)
    first.setup("fit")
    next(iter(first.train_dataloader()))
    state = first.state_dict()
    assert state["place"]["batches"] == 1

    used, fresh = datamodule(tiny_corpus, seed=1), datamodule(tiny_corpus, seed=1)
    used.setup("fit")
    used.load_state_dict(state)
    assert used.report().seed == 7
    assert len(list(used.train_dataloader())) == 3
    for data in (used, fresh):
        data.setup("fit")
    expected = [batch["clip"] for batch in fresh.train_dataloader()]
    actual = [batch["clip"] for batch in used.train_dataloader()]
    assert len(actual) == len(expected) == 4
    assert all(torch.equal(a, e) for a, e in zip(actual, expected, strict=True))
    assert used.report().seed == used.state_dict()["seed"] == 1
