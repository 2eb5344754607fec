"""`deepfake-mtl detect` on a folder full of traps, and on files that kill."""

import csv
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from deepfake_mtl.cli import main
from deepfake_mtl.data.video import probe
from deepfake_mtl.errors import ConfigurationError, VideoError
from deepfake_mtl.inference.batch.inputs import find_inputs, folder_name
from deepfake_mtl.inference.batch.jobs import Job
from deepfake_mtl.inference.batch.workers import Workers, WorkerSettings
from deepfake_mtl.inference.options import DetectOptions
from tests.data.videos import frame_pattern, write_video
from tests.inference.made_up import description, write_folder
from tests.inference.mutations import mutate

COLOURS = {"grey": (90, 90, 90), "red": (255, 0, 0), "blue": (0, 0, 255), "green": (0, 255, 0)}
NASTY = 'a "b" <script>alert(1)<&>\n\x1b[31m.mp4'
# macOS takes no names that are not UTF-8.
UNREADABLE = [os.fsdecode(b"bad\xff.mp4")] if sys.platform == "linux" else []
WHOLE = ["good.mp4", NASTY, "below/good.mp4", *UNREADABLE]


def write_audio(path: Path) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 16000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write_giant(path: Path, said: int, side: int = 10_000) -> None:
    """Frames of 100 megapixels, as motion JPEG, whose header says another size."""
    _, jpeg = cv2.imencode(".jpg", np.zeros((side, side), np.uint8))
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width = stream.height = said
        stream.pix_fmt = "yuvj420p"
        for number in range(3):
            packet = av.Packet(jpeg.tobytes())
            packet.stream, packet.pts, packet.dts = stream, number, number
            packet.is_keyframe = True
            container.mux(packet)


def fill(folder: Path) -> None:
    inside, outside = folder / "videos", folder / "outside"
    (inside / "below").mkdir(parents=True)
    outside.mkdir()
    good = outside / "good.mp4"
    write_video(good, frame_pattern(40, 48, 64), gop=10)
    content = good.read_bytes()
    for name in WHOLE:
        shutil.copy(good, inside / name)
    (inside / "short.mp4").write_bytes(content[: len(content) // 2])
    (inside / "text.mp4").write_text("This is no video.\n" * 100)
    (inside / "empty.mp4").touch()
    cv2.imwrite(str(folder / "a.png"), np.zeros((40, 40, 3), np.uint8))
    (folder / "a.png").rename(inside / "picture.mp4")
    write_audio(inside / "sound.mp4")
    write_giant(inside / "giant.mkv", 10_000)
    write_giant(inside / "liar.mkv", 64)
    write_playlists(inside, good)
    os.mkfifo(inside / "pipe.mp4")
    (inside / "leads_out.mp4").symlink_to(good)
    (inside / "folder_out").symlink_to(outside)
    (inside / "notes.doc").touch()
    for seed in range(24):
        (inside / f"broken{seed:02}.mp4").write_bytes(mutate(content, seed)[0])


def write_playlists(folder: Path, video: Path) -> None:
    hls = (
        f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{video}\n#EXT-X-ENDLIST\n"
    )
    (folder / "hls.mp4").write_text(hls)
    (folder / "concat.mp4").write_text(f"ffconcat version 1.0\nfile '{video}'\n")


def tree(folder: Path) -> dict[str, float]:
    return {str(path): path.lstat().st_mtime for path in sorted(folder.rglob("*"))}


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("made_up") / "detector", description())


@pytest.fixture(scope="module")
def judged(detector: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `videos`, `outside` and `out`."""
    folder = tmp_path_factory.mktemp("judged")
    fill(folder)
    before = tree(folder)
    words = ["detect", str(folder / "videos"), f"--ckpt_path={detector}", f"--out={folder / 'out'}"]
    words += ["--trust=tests"]
    assert main([*words, "--workers=1", "--device=cpu", "--annotate"]) == 1
    after = tree(folder)
    inside = str(folder / "out") + "/"
    assert {
        path: time for path, time in after.items() if not f"{path}/".startswith(inside)
    } == before
    return folder


def answers(folder: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for path in (folder / "out").glob("*/verdict.json"):
        content = json.loads(path.read_text())
        found[os.path.relpath(content["video"], folder / "videos")] = content
    return found


def test_every_file_has_an_answer(judged: Path) -> None:
    found = answers(judged)
    scored = {name for name, content in found.items() if content["status"] == "scored"}
    whole = set(WHOLE)
    assert {name for name in scored if not name.startswith("broken")} == whole
    assert len({found[name]["score"] for name in whole}) == 1
    reasons = {
        "short.mp4": "is cut short",
        "text.mp4": "cannot be opened as a video",
        "empty.mp4": "is an empty file",
        "picture.mp4": "is a PNG picture",
        "sound.mp4": "has no video stream",
        "giant.mkv": "larger ones than 40 megapixels",
        "liar.mkv": "larger ones than 40 megapixels",
        "hls.mp4": "is a playlist",
        "concat.mp4": "is a playlist",
        "pipe.mp4": "is no regular file",
    }
    for name, reason in reasons.items():
        assert found[name]["status"] == "failed"
        assert reason in found[name]["error"], found[name]["error"]
        assert found[name]["score"] is None
    assert len(found) == len(whole) + len(reasons) + 24
    for seed in range(24):
        content = found[f"broken{seed:02}.mp4"]
        assert content["status"] == "scored" or "broken" in content["error"]


def test_answers_are_files_with_safe_names_and_escaped_text(judged: Path) -> None:
    out = judged / "out"
    for path in out.rglob("*"):
        assert path.relative_to(out).as_posix().isascii()
        assert not set(' "<>&\n') & set(path.name)
    folder = out / folder_name(judged / "videos" / NASTY)
    pages = [(folder / "verdict.html").read_text(), (out / "index.html").read_text()]
    for page in pages:
        assert "<script" not in page
        assert "&lt;script&gt;alert(1)" in page
        assert "://" not in page.replace("http://www.w3.org/", "")
        assert "\x1b" not in page
    with (out / "verdicts.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(answers(judged))
    found = {row["video"]: row["score"] for row in rows}
    assert found[str(judged / "videos/good.mp4")] == found[str(judged / "videos/below/good.mp4")]
    assert [float(row["score"] or 0) for row in rows] == sorted(
        (float(row["score"] or 0) for row in rows), reverse=True
    )
    assert all((out / row["page"]).is_file() for row in rows)
    for left in ("leads_out.mp4", "folder_out", "notes.doc"):
        assert left in pages[1]
    # A synthetic world is named as such everywhere.
    assert all("synthetic world" in page for page in pages)
    assert "synthetic" in {warning["code"] for warning in answers(judged)["good.mp4"]["warnings"]}


def test_an_annotated_video_has_every_frame(judged: Path) -> None:
    folder = judged / "out" / folder_name(judged / "videos" / "good.mp4")
    info = probe(folder / "annotated.mp4")
    assert (info.frames, info.width, info.height) == (40, 64, 48)


def test_a_second_run_does_what_is_missing_only(
    judged: Path, detector: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = judged / "out"
    good = out / folder_name(judged / "videos" / "good.mp4") / "verdict.json"
    other = out / folder_name(judged / "videos" / "below/good.mp4") / "verdict.json"
    before = good.stat().st_mtime_ns
    other.unlink()
    listed = judged / "list.txt"
    listed.write_text("videos/good.mp4\n\nvideos/below/good.mp4\n")
    words = ["detect", str(listed), f"--ckpt_path={detector}", f"--out={out}", "--device=cpu"]
    words += ["--trust=tests"]
    assert main(words) == 0
    assert "1 of 2 videos were judged before" in capsys.readouterr().out
    assert good.stat().st_mtime_ns == before
    assert other.is_file()


@pytest.mark.slow
def test_a_process_that_dies_or_hangs_is_an_answer(tmp_path: Path) -> None:
    checkpoint = write_folder(tmp_path / "detector", description("HostileEncoder"))
    jobs = []
    for name, colour in COLOURS.items():
        path = tmp_path / f"{name}.mp4"
        write_video(path, np.full((10, 48, 64, 3), colour, np.uint8))
        jobs.append(Job(path, tmp_path / "out" / name, annotate=False))
    options = DetectOptions(device="cpu")
    workers = Workers(
        WorkerSettings(checkpoint, options, 1, trust=("tests",), patience=3, memory=1 << 29)
    )
    try:
        found = {each.job.video.stem: each for each in workers.run(jobs, lambda *_: None)}
    finally:
        workers.close()
    assert "died (SIGSEGV)" in found["red"].reason
    assert "given up: no frame was done within 3 seconds" in found["blue"].reason
    assert "given up: it takes more than 0.5 GiB of memory" in found["green"].reason
    assert found["grey"].content is not None
    assert found["grey"].content["status"] == "scored"


@pytest.mark.parametrize("name", ["hls.m3u8", "concat.mp4"])
def test_a_playlist_opens_no_other_file(name: str, tmp_path: Path) -> None:
    video = tmp_path / "secret.ts"
    write_video(video, frame_pattern(10), bframes=0)
    write_playlists(tmp_path, video)
    playlist = (tmp_path / name).with_suffix(".mp4").rename(tmp_path / name)
    with av.open(str(playlist), options={"safe": "0"}) as container:
        assert container.streams.video  # FFmpeg by itself would
    with pytest.raises(VideoError, match="cannot be opened as a video"):
        probe(playlist)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.mp4"], "there is no such file"),
        (["--threshold=much", "{video}"], "--threshold is 'much'"),
        (["--threshold=1.5", "{video}"], "threshold is 1.5"),
        (["--step=0", "{video}"], "step is 0"),
        (["--step=2", "--clips=2", "{video}"], "give one of them"),
        (["--ckpt_path=nowhere", "{video}"], "no such checkpoint"),
    ],
)
def test_mistakes_are_told(
    words: list[str], message: str, judged: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    video = judged / "videos" / "good.mp4"
    words = [word.format(video=video) for word in words]
    ckpt = [] if any("ckpt" in word for word in words) else ["--ckpt_path=unused"]
    assert main(["detect", *words, *ckpt, f"--out={tmp_path / 'out'}"]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert "Traceback" not in printed


def test_names_of_answers_are_unique_and_lists_are_read(tmp_path: Path) -> None:
    one, other = tmp_path / "a b.mp4", tmp_path / "a_b.mp4"
    assert folder_name(one) != folder_name(other)
    assert folder_name(one).startswith("a_b-")
    assert len(folder_name(tmp_path / ("x" * 200))) < 80
    with pytest.raises(ConfigurationError, match="no videos"):
        find_inputs([tmp_path], tmp_path / "out")
    one.touch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "annotated.mp4").touch()
    assert find_inputs([tmp_path, one], tmp_path / "out").videos == [one]
