"""What is said beside a score, and where the encoder looked."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from deepfake_mtl.inference import DetectOptions, VideoDetector
from deepfake_mtl.inference.aggregation import aggregate_face
from deepfake_mtl.inference.clips import Clip
from deepfake_mtl.inference.face_track import FaceTrack
from deepfake_mtl.inference.reliability import about_detector, about_video, statement
from deepfake_mtl.inference.report.heatmap import heat_map
from deepfake_mtl.inference.video import VideoFacts
from deepfake_mtl.inference.views import View
from tests.inference.made_up import CORPUS, center_crops, description, network, write_folder

FACTS = VideoFacts(
    "/a.mp4", 10**6, 0, "0", "mp4", "h264", "yuv420p", 640, 480, 100, 25.0, 4.0, 0.26
)


def track(
    scores: list[float], manipulation: list[list[float]], frames: int = 100, side: float = 99
):
    seen = FaceTrack(0, 0, 0)
    picture = np.zeros((2, 2, 3), np.uint8)
    for number in range(frames):
        seen.see(View(0, number, picture, (0, 0, side), side, found=True))
    for place, (score, row) in enumerate(zip(scores, manipulation, strict=True)):
        clip = Clip(0, place, place + 7, np.zeros((8, 2, 2, 3), np.uint8), side, 1.0)
        outputs = {"binary": (1 - score, score), "manipulation": tuple(row)}
        seen.take((clip, score, outputs), [n / 25 for n in range(frames)])
    return seen


def judge(seen: FaceTrack, **changes):
    return aggregate_face(seen, 0.5, description(**changes))


def codes(warnings) -> set[str]:
    return {warning.code for warning in warnings}


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ([0.1, 0.7, 0.1, 0.0, 0.1], "Deepfakes"),
        ([0.3, 0.3, 0.2, 0.0, 0.2], None),  # none is confident
        ([0.9, 0.1, 0.0, 0.0, 0.0], None),  # the readouts contradict each other
        ([0.1, 0.2, 0.0, 0.7, 0.0], None),  # held out: nothing was learnt of it
    ],
)
def test_a_fake_resembles_a_manipulation_or_none_of_those_seen(row: list[float], name) -> None:
    face = judge(track([0.8, 0.9], [row, row]))
    assert face.is_fake
    assert face.resembles is not None
    assert face.resembles.name == name
    assert face.resembles.probabilities["Deepfakes"] == pytest.approx(row[1])
    assert judge(track([0.1, 0.2], [row, row])).resembles is None


def test_what_makes_a_score_less_trustworthy_is_said() -> None:
    row = [0.2] * 5
    steady = judge(track([0.8] * 5, [row] * 5))
    assert steady.warnings == ()
    assert steady.score == pytest.approx(0.8)
    assert steady.spread == pytest.approx(0)
    assert codes(judge(track([0.1, 0.9], [row] * 2)).warnings) == {"disagreement"}
    assert codes(judge(track([0.8], [row], frames=10)).warnings) == {"few_frames"}
    assert judge(track([0.8], [row])).spread is None
    small = judge(track([0.8], [row], side=20), crops=center_crops())
    assert codes(small.warnings) == {"small_face"}
    trained = {"shorter_side": [400.0, 480.0, 720.0], "crop_side": [90.0, 200.0, 300.0]}
    trained["bits_per_pixel"] = [0.02, 0.03, 0.05]
    small = judge(track([0.8], [row], side=60), crops=center_crops(), videos=trained)
    assert codes(small.warnings) == {"small_face"}
    assert codes(judge(track([], [], frames=3)).warnings) == {"not_scored"}

    assert codes(about_video(FACTS, description(videos=trained))) == {"compression"}
    far = replace(FACTS, height=100, bits_per_pixel=0.03)
    assert codes(about_video(far, description(videos=trained))) == {"resolution"}
    assert codes(about_video(FACTS, description())) == {"unknown_training"}
    usual = replace(FACTS, bits_per_pixel=0.03)
    assert about_video(usual, description(videos=trained)) == []


@pytest.mark.parametrize(
    ("trained", "fps", "far"),
    [
        ([24.0, 25.0, 30.0], 5, True),
        ([24.0, 25.0, 30.0], 120, True),
        ([24.0, 25.0, 30.0], 30, False),
        ([24.0, 25.0, 30.0], None, False),
        ([50.0, 50.0, 60.0], 60, False),
        ([50.0, 50.0, 60.0], 25, True),
        (None, 5, True),
        (None, 120, True),
        (None, 29.97, False),
    ],
)
def test_another_frame_rate_is_said(
    trained: list[float] | None, fps: float | None, far: bool
) -> None:
    usual = {"shorter_side": [400.0, 480.0, 720.0], "bits_per_pixel": [0.1, 0.2, 0.3]}
    about = about_video(replace(FACTS, fps=fps), description(videos=usual | {"fps": trained}))
    assert codes(about) == ({"frame_rate"} if far else set())
    if far:
        assert f"{fps:.4g} frames a second" in about[0].text


def test_interlaced_video_is_said() -> None:
    usual = {"shorter_side": [400.0, 480.0, 720.0], "bits_per_pixel": [0.1, 0.2, 0.3]}
    for share, expected in ((0.0, set()), (0.05, set()), (1.0, {"interlaced"})):
        about = about_video(FACTS, description(videos=usual), share)
        assert codes(about) == expected


def test_a_detector_says_what_it_was_trained_on() -> None:
    assert codes(about_detector(description())) == {"synthetic"}
    assert codes(about_detector(description(corpus=None))) == {"unknown_corpus"}
    assert about_detector(description(corpus=CORPUS | {"synthetic": False})) == []
    assert "FaceSwap held out" in statement(description())
    assert "synthetic world" in statement(description())


@pytest.mark.parametrize(
    "changes",
    [
        {"threshold": 0.25},
        {"threshold_from": "given"},
        {"settings": {"step": 5, "clips": None}},
        {"detector": {"sha256": "other"}},
        {"detector": {"version": "other"}},
    ],
)
def test_a_verdict_is_taken_over_from_the_same_setup_only(changes, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "detector", description())
    setup = VideoDetector.from_checkpoint(folder, DetectOptions(device="cpu")).setup
    content = json.loads(setup.failure(tmp_path / "a.mp4", "it is broken").to_json())
    assert (content["status"], content["error"]) == ("failed", "it is broken")
    assert setup.made(content)
    assert setup.made({**content, "statement": "in other words"})
    if "detector" in changes:
        changes = {"detector": content["detector"] | changes["detector"]}
    assert not setup.made(content | changes)


def test_a_heat_map_lies_where_and_when_the_evidence_is() -> None:
    made = network(description())
    # The first feature is redness; real or fake hangs on it alone.
    with torch.no_grad():
        made.encoder.cells[1].weight.zero_()
        made.encoder.cells[1].bias.zero_()
        made.encoder.cells[1].weight[0, 0] = 1
        head = made.primary.head
        for layer in (head[0], head[2], head[5]):
            layer.weight.zero_()
            layer.bias.zero_()
        head[0].weight[0, 0] = head[2].weight[0, 0] = head[5].weight[1, 0] = 1
    clip = torch.zeros(3, 16, 64, 64, dtype=torch.uint8)
    clip[0, 8:12, 16:24, 40:48] = 255
    clip[1, 0:4] = 255  # green is no evidence
    heat = heat_map(made, clip)
    assert heat is not None
    assert heat.shape == (16, 64, 64)
    assert heat.max() == 1
    centre = np.array([(heat.sum(axis=axes) * np.arange(n)).sum() / heat.sum() for axes, n in
                       (((1, 2), 16), ((0, 2), 64), ((0, 1), 64))])  # fmt: skip
    np.testing.assert_allclose(centre, [9.5, 19.5, 43.5], atol=0.5)
    assert heat[:4].max() == 0
    assert heat[:, 40:].max() == 0
