"""Verdicts are what a test of the same checkpoint says."""

from pathlib import Path

import numpy as np
import pytest
import torch

from deepfake_mtl.data.transforms import EvaluationTransform
from deepfake_mtl.data.video import read_clip
from deepfake_mtl.inference import DetectOptions, VideoDetector
from tests.data.videos import frame_pattern, write_video
from tests.inference.conftest import paths, scores


@pytest.mark.slow
@pytest.mark.parametrize("run", ["whole_run", "crops_run"])
def test_evenly_spread_clips_have_the_scores_of_a_test(
    run: str, tiny_corpus: Path, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(run)
    tested, videos = scores(folder), paths(tiny_corpus)
    detector = VideoDetector.from_checkpoint(
        folder / "checkpoints" / "last.ckpt", DetectOptions(clips=3, device="cpu")
    )
    assert len(tested) == 10
    assert np.ptp([score for score, _ in tested.values()]) > 1e-3  # else anything would agree
    for key, (score, faceswap) in list(tested.items())[::3]:
        verdict = detector(videos[key])
        assert verdict.status == "scored"
        assert verdict.score == pytest.approx(score, abs=1e-5)
        (face,) = verdict.faces
        assert face.readouts["manipulation"]["FaceSwap"] == pytest.approx(faceswap, abs=1e-5)
        assert len(face.clips) == 3
        assert verdict.is_fake == (verdict.score >= verdict.threshold)
        assert verdict.detector.held_out == ("Face2Face",)
        assert verdict.threshold_from == "calibrated"


@pytest.mark.parametrize("options", [DetectOptions(clips=2), DetectOptions()])
def test_a_video_shorter_than_a_clip_is_scored_forth_and_back(
    options: DetectOptions, whole_run: Path, tmp_path: Path
) -> None:
    path = tmp_path / "short.mp4"
    write_video(path, frame_pattern(5, 36, 40))
    detector = VideoDetector.from_checkpoint(whole_run / "checkpoints" / "last.ckpt", options)
    verdict = detector(path)
    frames = EvaluationTransform(32)(read_clip(path, 0, 5), ())[[0, 1, 2, 3, 4, 3, 2, 1]]
    with torch.inference_mode():
        outputs = detector.network(torch.from_numpy(frames.transpose(3, 0, 1, 2).copy())[None])
    assert verdict.score == pytest.approx(1 - float(outputs["binary"][0, 0]), abs=1e-5)
    assert len(verdict.faces[0].clips) == (options.clips or 1)
    assert "few_frames" in {warning.code for warning in verdict.warnings}


def test_overlapping_clips_cover_every_frame(checkpoint: Path, tiny_corpus: Path) -> None:
    video = next(iter(paths(tiny_corpus).values()))
    verdict = VideoDetector.from_checkpoint(checkpoint, DetectOptions(step=5))(video)
    assert [clip.start for clip in verdict.faces[0].clips] == [0, 5, 10, 15, 16]
    assert verdict.faces[0].clips[-1].end == 23
    assert verdict.score == pytest.approx(np.mean([c.score for c in verdict.faces[0].clips]))
    times = [clip.start_time for clip in verdict.faces[0].clips]
    np.testing.assert_allclose(times, [0, 0.2, 0.4, 0.6, 0.64])
    half = VideoDetector.from_checkpoint(checkpoint)(video)
    assert [clip.start for clip in half.faces[0].clips] == [0, 4, 8, 12, 16]
