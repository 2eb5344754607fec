from pathlib import Path

import numpy as np
import pytest
import torch

from deepfake_mtl.data.clips import EvaluationClips, ProbedVideos, TrainingClips, probe_videos
from deepfake_mtl.data.corpora import FaceForensics
from deepfake_mtl.data.transforms import EvaluationTransform
from deepfake_mtl.data.video import read_clip
from deepfake_mtl.errors import ConfigurationError, VideoError
from tests.conftest import video_path
from tests.data.videos import spoil

FRAMES = 24


@pytest.fixture
def videos(tiny_corpus: Path) -> ProbedVideos:
    return probe_videos(FaceForensics(tiny_corpus).index())


def test_labels_and_frames_belong_to_the_record(videos: ProbedVideos) -> None:
    dataset = EvaluationClips(videos, EvaluationTransform(36), clip_length=8, clips_per_video=3)
    assert len(dataset) == 3 * 40
    sample = dataset[2 * 40 + 17]
    record = videos.records[17]
    assert (sample["video"], sample["clip_index"]) == (17, 2)
    assert sample["is_fake"] == int(record.is_fake) == int(sample["manipulation"] > 0)
    assert sample["clip"].shape == (3, 8, 36, 36)
    # The last clip ends with the last frame; the middle square of 36 x 40 is 36 x 36.
    expected = read_clip(record.path, FRAMES - 8, 8)[:, :, 2:38]
    np.testing.assert_array_equal(sample["clip"].permute(1, 2, 3, 0).numpy(), expected)


@pytest.mark.parametrize(
    ("clips", "stride", "starts"), [(1, 1, [8]), (2, 1, [0, 16]), (3, 2, [0, 4, 9]), (2, 9, [0, 0])]
)
def test_evaluation_clips_are_spread_evenly(
    clips: int, stride: int, starts: list[int], videos: ProbedVideos
) -> None:
    dataset = EvaluationClips(
        videos,
        EvaluationTransform(36),
        clip_length=8,
        clip_stride=stride,
        clips_per_video=clips,
    )
    for clip, start in enumerate(starts):
        shown = dataset[clip * len(videos.records)]["clip"]
        assert shown.shape[1] == 8
        first = read_clip(videos.records[0].path, start, 1)[0, :, 2:38]
        np.testing.assert_array_equal(shown[:, 0].permute(1, 2, 0).numpy(), first)


def test_a_short_video_is_played_forth_and_back(videos: ProbedVideos) -> None:
    dataset = EvaluationClips(videos, EvaluationTransform(36), clip_length=60, clips_per_video=1)
    frames = read_clip(videos.records[0].path, 0, FRAMES)[:, :, 2:38]
    there_and_back = [*range(FRAMES), *range(FRAMES - 2, 0, -1)]
    expected = frames[(there_and_back * 2)[:60]]
    np.testing.assert_array_equal(dataset[0]["clip"].permute(1, 2, 3, 0).numpy(), expected)


class Starts:
    """A transform that keeps what it was given."""

    def __init__(self) -> None:
        self.seeds: list[tuple[int, ...]] = []

    def __call__(self, frames, seed):
        self.seeds.append(tuple(seed))
        return EvaluationTransform(36)(frames, seed)


def test_draws_differ_and_repeat_exactly(videos: ProbedVideos) -> None:
    spy = Starts()
    dataset = TrainingClips(videos, spy, clip_length=8, seed=3)
    first = [dataset[3, number]["clip"] for number in range(12)]
    assert len({clip.numpy().tobytes() for clip in first}) > 4  # 17 places to begin
    assert len(set(spy.seeds)) == 12
    again = TrainingClips(videos, Starts(), clip_length=8, seed=3)
    assert all(torch.equal(again[3, n]["clip"], clip) for n, clip in enumerate(first))
    other = TrainingClips(videos, Starts(), clip_length=8, seed=4)
    assert not all(torch.equal(other[3, n]["clip"], clip) for n, clip in enumerate(first))


@pytest.mark.parametrize("kind", ["same_clip", "other_clip"])
def test_a_second_view_is_of_the_same_video(kind: str, videos: ProbedVideos) -> None:
    alone, spy = TrainingClips(videos, Starts(), clip_length=8, seed=3), Starts()
    dataset = TrainingClips(videos, spy, clip_length=8, second_view=kind, seed=3)
    samples = [dataset[3, number] for number in range(12)]
    # Other augmentations, and the first view is what it is without a second.
    assert len(set(spy.seeds)) == 24
    assert all(torch.equal(s["clip"], alone[3, n]["clip"]) for n, s in enumerate(samples))
    assert "second_clip" not in alone[3, 0]
    same = [torch.equal(sample["clip"], sample["second_clip"]) for sample in samples]
    assert all(same) == (kind == "same_clip")  # the spy's transform leaves nothing to chance
    frames = read_clip(videos.records[3].path, 0, FRAMES)[:, :, 2:38]
    windows = {frames[start : start + 8].tobytes() for start in range(FRAMES - 8 + 1)}
    seconds = {s["second_clip"].permute(1, 2, 3, 0).numpy().tobytes() for s in samples}
    assert seconds <= windows
    assert len(seconds) > 4
    with pytest.raises(ConfigurationError, match="choose among none, same_clip, other_clip"):
        TrainingClips(videos, spy, second_view="third")


def test_a_video_that_cannot_be_decoded(corpus: Path) -> None:
    broken = video_path(corpus, "FaceSwap", "001_000")
    spoil(broken)
    videos = probe_videos(FaceForensics(corpus).index())  # its header is fine
    number = next(i for i, r in enumerate(videos.records) if r.path == broken)
    transform = EvaluationTransform(32)

    with pytest.raises(VideoError, match=r"FaceSwap.*001_000\.mp4"):
        TrainingClips(videos, transform, clip_length=8)[number, 0]
    with pytest.raises(VideoError, match=r"FaceSwap.*001_000\.mp4"):
        EvaluationClips(videos, transform, clip_length=8)[number]

    training = TrainingClips(videos, transform, clip_length=8, on_corrupt="skip")
    substitute = training[number, 0]
    assert substitute["valid"]
    assert substitute["failure"].startswith(str(broken))
    assert substitute["video"] != number
    assert videos.records[substitute["video"]].method == "FaceSwap"

    evaluation = EvaluationClips(videos, transform, clip_length=8, on_corrupt="skip")
    assert not evaluation[number]["valid"]
    assert evaluation[number]["failure"].startswith(str(broken))
    assert evaluation[number]["clip"].shape == evaluation[0]["clip"].shape


def test_all_unusable_files_are_named_at_once(corpus: Path) -> None:
    broken = [video_path(corpus, "original", name) for name in ("000", "003")]
    for path in broken:
        path.unlink()
        path.write_text("not a video")
    records = FaceForensics(corpus).index()
    with pytest.raises(VideoError) as error:
        probe_videos(records)
    assert all(str(path) in str(error.value) for path in broken)
    rest = probe_videos(records, on_corrupt="skip")
    assert len(rest.records) == len(rest.infos) == 38
    assert [message.split(": ")[0] for message in rest.corrupt] == list(map(str, broken))
