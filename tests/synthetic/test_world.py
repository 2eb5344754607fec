import hashlib
import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from deepfake_mtl.cli import main
from deepfake_mtl.data.records import MANIPULATIONS
from deepfake_mtl.errors import ConfigurationError, CorpusError
from deepfake_mtl.synthetic import SyntheticConfig, contact_sheet, synthesize
from deepfake_mtl.synthetic.filming import record, shoot
from deepfake_mtl.synthetic.manipulations import FORGERS
from deepfake_mtl.synthetic.video import read_video
from deepfake_mtl.synthetic.world import pair_identities, split_pairs

TINY = SyntheticConfig(identities=6, seed=3, size=48, seconds=0.24)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("synthetic") / "world"
    synthesize(root, TINY, workers=1, progress=False)
    return root


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def splits(root: Path) -> dict[str, list[list[str]]]:
    return {
        name: json.loads((root / "splits" / f"{name}.json").read_text())
        for name in ("train", "val", "test")
    }


def test_layout_is_the_official_one(world):
    names = {f"{index:03}" for index in range(6)}
    originals = world / "original_sequences" / "youtube" / "c23" / "videos"
    assert {path.stem for path in originals.iterdir()} == names
    fakes = {
        f"{target}_{source}"
        for pairs in splits(world).values()
        for a, b in pairs
        for target, source in ((a, b), (b, a))
    }
    assert len(fakes) == 6
    for method in MANIPULATIONS:
        for kind in ("c23", "masks"):
            folder = world / "manipulated_sequences" / method / kind / "videos"
            assert {path.stem for path in folder.iterdir()} == fakes
    assert not list(world.rglob(".*"))
    marker = json.loads((world / "synthetic.json").read_text())
    assert marker["synthetic"] is True
    assert marker["config"]["seed"] == 3


def test_every_identity_is_in_one_split(world):
    flat = [name for pairs in splits(world).values() for pair in pairs for name in pair]
    assert sorted(flat) == [f"{index:03}" for index in range(6)]
    assert all(splits(world).values())


def test_videos_are_encoded_as_the_corpus_is(world):
    for path in world.rglob("*.mp4"):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == "h264"
            assert stream.pix_fmt == "yuv444p"
            assert stream.average_rate == 25
            assert (stream.width, stream.height) == (48, 48)
            assert sum(1 for _ in container.decode(video=0)) == TINY.frames
    path = next(world.glob("original_sequences/**/*.mp4"))
    settings = path.read_bytes()
    assert b"crf=23.0" in settings
    assert b"keyint=250" in settings


def test_masks_go_with_their_fakes(world):
    for path in world.glob("manipulated_sequences/*/masks/videos/*.mp4"):
        mask = np.stack(read_video(path))
        assert mask.shape == (TINY.frames, 48, 48, 3)
        assert 0.02 < (mask > 128).mean() < 0.45
        assert ((mask < 25) | (mask > 230)).mean() > 0.9


@pytest.mark.parametrize("method", MANIPULATIONS)
def test_fakes_differ_inside_their_masks(method):
    config = SyntheticConfig(identities=6, size=96, seconds=0.2)
    target, source = record(config, 0), record(config, 1)
    forge = FORGERS[method](target, source, np.random.default_rng(0))
    for view in shoot(config, 0, target):
        fake = forge(view)
        difference = np.abs(fake.frame.astype(int) - view.frame).mean(axis=-1)
        assert set(np.unique(fake.mask)) == {0, 255}
        assert difference[fake.mask == 255].mean() > 3
        # A soft edge fades out beyond the mask, from a tenth of full strength.
        assert difference[fake.mask == 0].max() < 26
        assert difference[fake.mask == 0].mean() < 0.5
        # The face is in the middle of the frame, and the manipulation in the face.
        rows, columns = np.nonzero(fake.mask)
        assert 30 < rows.mean() < 75
        assert 35 < columns.mean() < 61


def test_bytes_do_not_depend_on_workers_and_work_resumes(world, tmp_path):
    expected = digests(world)
    parallel = tmp_path / "parallel"
    synthesize(parallel, TINY, workers=2, progress=False)
    assert digests(parallel) == expected

    kept = next(parallel.glob("original_sequences/**/*.mp4"))
    before = kept.stat().st_mtime_ns
    next(parallel.glob("manipulated_sequences/FaceSwap/c23/**/*.mp4")).unlink()
    next(parallel.glob("manipulated_sequences/Deepfakes/masks/**/*.mp4")).unlink()
    synthesize(parallel, TINY, workers=1, progress=False)
    assert digests(parallel) == expected
    assert kept.stat().st_mtime_ns == before


def test_seeds_make_other_worlds(world, tmp_path):
    other = SyntheticConfig(identities=6, seed=4, size=48, seconds=0.08)
    synthesize(tmp_path / "other", other, workers=1, progress=False)
    name = Path("original_sequences/youtube/c23/videos/000.mp4")
    first, second = (read_video(root / name)[0] for root in (world, tmp_path / "other"))
    assert np.abs(first.astype(int) - second).mean() > 5


@pytest.mark.parametrize(
    "change",
    [
        {"identities": 7},
        {"identities": 4},
        {"seed": -1},
        {"compression": "c24"},
        {"size": 47},
        {"size": 16},
        {"seconds": 0.0},
        {"test_share": 0.0},
        {"test_share": 0.8},
    ],
)
def test_impossible_configurations_are_refused(change):
    with pytest.raises(ConfigurationError):
        SyntheticConfig(**{"identities": 6, **change})


def test_folders_of_something_else_are_refused(world, tmp_path):
    with pytest.raises(ConfigurationError, match="another configuration"):
        synthesize(world, SyntheticConfig(identities=6, seed=9), progress=False)
    (tmp_path / "thesis.txt").write_text("do not touch")
    with pytest.raises(ConfigurationError, match="not empty"):
        synthesize(tmp_path, TINY, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_command_line(world, capsys):
    words = f"{world} --identities 6 --seed 3 --size 48 --seconds 0.24 --workers 1"
    before = digests(world)
    assert main(["synthesize", *words.split()]) == 0
    assert digests(world) == before
    assert "30/30" in capsys.readouterr().err


def test_contact_sheet(world, tmp_path):
    contact_sheet(world, tmp_path / "sheet.png", identities=2, frames=2, tile=64)
    assert (tmp_path / "sheet.png").stat().st_size > 10_000
    with pytest.raises(CorpusError, match="no synthetic world"):
        contact_sheet(tmp_path, tmp_path / "none.png")


def test_import_needs_no_torch():
    code = "import sys, deepfake_mtl.synthetic.command; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("share", [0.01, 0.14, 0.5, 0.7])
def test_nobody_is_in_two_splits_whatever_the_share(share: float) -> None:
    pairs = pair_identities(SyntheticConfig(identities=200, test_share=share))
    splits = split_pairs(pairs, share)
    assert sorted(p for split in splits.values() for p in split) == sorted(pairs)
    assert len(splits["test"]) == max(1, round(share * 100))
    assert len(splits["val"]) == 14
    assert len(splits["train"]) >= 16
