"""Corpora that tests share, and how the suite stays fast.

Most of the time goes into what surrounds a test. A fresh interpreter that imports PyTorch and
Lightning costs up to twenty seconds of processor time on a slow core, so: commands run in the
process of the test (``main([...])``); several processes are forked from one that has imported
already (`tests.processes`); a fresh interpreter is started only where its start, its end or what it
imports is tested, and then once for all that can be asked of it. Trainings that several tests look
at are fixtures of the session. Where the encoder is not what is tested, it is
`tests.worlds.TinyEncoder`. bf16 is for networks of a few layers: on processors without AVX-512,
convolutions in it are thirty times slower. What takes more than ten seconds is marked ``slow``.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from deepfake_mtl.data.records import MANIPULATIONS, ORIGINAL

if "PYTEST_XDIST_WORKER" in os.environ:
    # Processes that run tests side by side share the cores, as do those that they start.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says something about the machine alone.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")


SHARED = Path(__file__).resolve().parents[2] / "shared"
METHODS = (ORIGINAL, *MANIPULATIONS)
PAIRS = {
    "train": [["000", "001"], ["002", "003"]],
    "val": [["004", "005"]],
    "test": [["006", "007"]],
}


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache folder of the tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPFAKE_MTL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def shared_path(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"needs {name} in a folder `shared` beside the repository")
    return path


def video_path(root: Path, method: str, name: str, compression: str = "c23") -> Path:
    sequences = (
        "original_sequences/youtube" if method == ORIGINAL else f"manipulated_sequences/{method}"
    )
    return root / sequences / compression / "videos" / f"{name}.mp4"


def write_splits(folder: Path, pairs: dict[str, list[list[str]]] = PAIRS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for split, content in pairs.items():
        (folder / f"{split}.json").write_text(json.dumps(content))


def names_of(pairs: list[list[str]], method: str) -> list[str]:
    if method == ORIGINAL:
        return [identity for pair in pairs for identity in pair]
    return [name for a, b in pairs for name in (f"{a}_{b}", f"{b}_{a}")]


@pytest.fixture
def empty_official_tree(tmp_path: Path) -> Path:
    """The official corpus as a tree of empty files, with its official splits."""
    splits = shared_path("ffpp_splits")
    root = tmp_path / "faceforensics"
    for split in ("train", "val", "test"):
        pairs = json.loads((splits / f"{split}.json").read_text())
        for method in METHODS:
            for name in names_of(pairs, method):
                path = video_path(root, method, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
    shutil.copytree(splits, root / "splits")
    return root


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight people, five methods, 24 frames of 40 x 36 pixels; not to be written to."""
    from tests.data.videos import frame_pattern, write_video  # noqa: PLC0415

    root = tmp_path_factory.mktemp("tiny") / "corpus"
    seed = 0
    for pairs in PAIRS.values():
        for method in METHODS:
            for name in names_of(pairs, method):
                path = video_path(root, method, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                write_video(path, frame_pattern(24, 36, 40, seed=seed))
                seed += 1
    write_splits(root / "splits")
    return root


@pytest.fixture
def corpus(tiny_corpus: Path, tmp_path: Path) -> Path:
    """A copy of the tiny corpus that a test may damage."""
    return Path(shutil.copytree(tiny_corpus, tmp_path / "corpus", copy_function=os.link))
