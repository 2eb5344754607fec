"""A folder shaped like FaceForensics++, full of rendered people."""

import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from tqdm import tqdm

from deepfake_mtl.data.records import MANIPULATIONS
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.synthetic.config import WORLD_VERSION, SyntheticConfig
from deepfake_mtl.synthetic.filming import random_numbers, record, shoot
from deepfake_mtl.synthetic.manipulations import FORGERS
from deepfake_mtl.synthetic.publication import Publication
from deepfake_mtl.synthetic.video import write_video
from deepfake_mtl.util.files import write_whole
from deepfake_mtl.util.machine import usable_cores
from deepfake_mtl.util.processes import end_with_parent

MARKER: Final = "synthetic.json"
"""The file at the root of a corpus that says that it is synthetic, and how it was made."""

MASK_RATE_FACTOR: Final = 12
"""Rate factor of the mask videos: edges stay sharp, whatever the compression of the fakes."""


def synthesize(
    root: Path, config: SyntheticConfig, workers: int = 0, progress: bool = True
) -> None:
    """Write a synthetic world.

    Below `root` are made, in the layout of FaceForensics++: the originals, the four manipulations
    of each with the names ``<target>_<source>``, a mask video of each fake, the lists of the splits
    in the official form, and `MARKER`. What a folder of the same configuration holds already is
    kept, so that interrupted work goes on where it was.

    Args:
        root: Folder of the corpus; made if it does not exist.
        config: What to make.
        workers: Number of processes; 0 for one for each core, 1 for none beside this one. The
            number makes no difference to the files.
        progress: Whether to show a bar.

    Raises:
        ConfigurationError: If `root` holds something else.
    """
    if workers < 0:
        raise ConfigurationError(f"workers={workers}: must not be negative")
    _claim(root, config)
    _write_splits(root, split_pairs(pair_identities(config), config.test_share))
    jobs = [
        (target, source)
        for target, source in sorted(_sources(config).items())
        if any(not path.exists() for path in _paths(root, config, target, source).values())
    ]
    processes = min(workers or usable_cores(), len(jobs))
    videos = 1 + len(FORGERS)
    with tqdm(
        total=config.identities * videos,
        initial=(config.identities - len(jobs)) * videos,
        desc="Synthesizing videos",
        unit="video",
        disable=not progress,
    ) as bar:
        for written in _run(partial(_film, root, config), jobs, processes):
            bar.update(written)


def pair_identities(config: SyntheticConfig) -> list[tuple[int, int]]:
    """Return who is swapped with whom: every identity is in one pair."""
    order = np.random.default_rng([config.seed, 1]).permutation(config.identities).tolist()
    return list(zip(order[::2], order[1::2], strict=True))


def split_pairs(
    pairs: list[tuple[int, int]], test_share: float = 0.14
) -> dict[str, list[tuple[int, int]]]:
    """Share pairs out: 14 % to val, a share to test, at least one each, the rest to train."""
    val, test = (max(1, round(share * len(pairs))) for share in (0.14, test_share))
    train = len(pairs) - val - test
    return {"train": pairs[:train], "val": pairs[train:-test], "test": pairs[-test:]}


def film_identity(root: Path, config: SyntheticConfig, target: int) -> int:
    """Make the videos of one identity that are missing: its original and the fakes of it.

    Args:
        root: Folder of the corpus.
        config: The world.
        target: Number of the identity.

    Returns:
        The number of videos, masks apart.
    """
    return _film(root, config, (target, _sources(config)[target]))


def _sources(config: SyntheticConfig) -> dict[int, int]:
    """Return whose face each identity gets."""
    pairs = pair_identities(config)
    return dict([*pairs, *((source, target) for target, source in pairs)])


def _claim(root: Path, config: SyntheticConfig) -> None:
    """Mark a folder as a world of this configuration, or refuse."""
    marker = root / MARKER
    content = {"synthetic": True, "version": WORLD_VERSION, "config": asdict(config)}
    if marker.exists():
        try:
            found = json.loads(marker.read_text(encoding="utf-8"))
        except ValueError:
            found = None
        if found != content:
            raise ConfigurationError(
                f"{root}: holds a synthetic world of another configuration ({marker} says"
                f" {json.dumps(found)}, asked for was {json.dumps(content)}); give another folder,"
                " remove this one, or ask for the same configuration to go on with it"
            )
        return
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise ConfigurationError(
            f"{root}: is not empty and holds no synthetic world ({MARKER} is not there);"
            " give a new or empty folder"
        )
    root.mkdir(parents=True, exist_ok=True)
    write_whole(marker, json.dumps(content, indent=2) + "\n")


def _write_splits(root: Path, splits: dict[str, list[tuple[int, int]]]) -> None:
    folder = root / "splits"
    folder.mkdir(exist_ok=True)
    for name, pairs in splits.items():
        entries = [[f"{first:03}", f"{second:03}"] for first, second in pairs]
        write_whole(folder / f"{name}.json", json.dumps(entries, indent=2) + "\n")


def _paths(root: Path, config: SyntheticConfig, target: int, source: int) -> dict[str, Path]:
    """Return the files of one target: original, fakes by method, masks by method/mask."""
    originals = root / "original_sequences" / "youtube" / config.compression / "videos"
    paths = {"original": originals / f"{target:03}.mp4"}
    for method in MANIPULATIONS:
        folder = root / "manipulated_sequences" / method
        name = f"{target:03}_{source:03}.mp4"
        paths[method] = folder / config.compression / "videos" / name
        paths[f"{method}/mask"] = folder / "masks" / "videos" / name
    return paths


def _run(film: "partial[int]", jobs: list[tuple[int, int]], processes: int) -> Iterator[int]:
    if processes <= 1:
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            yield from map(film, jobs)
        finally:
            cv2.setNumThreads(threads)
        return
    with ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
    ) as pool:
        yield from pool.map(film, jobs)


def _start_worker() -> None:
    end_with_parent()
    cv2.setNumThreads(1)


def _film(root: Path, config: SyntheticConfig, job: tuple[int, int]) -> int:
    """Make the missing videos of one target: the original and its fakes; returns their number."""
    target_id, source_id = job
    paths = _paths(root, config, target_id, source_id)
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    target, source = record(config, target_id), record(config, source_id)
    views = shoot(config, target_id, target)
    if not paths["original"].exists():
        publication = Publication.sample(random_numbers(config, target_id, "publication"))
        frames = (publication(view.frame) for view in views)
        write_video(paths["original"], frames, config.rate_factor)
    for method, forger in FORGERS.items():
        if paths[method].exists() and paths[f"{method}/mask"].exists():
            continue
        rng = random_numbers(config, target_id, method)
        publication = Publication.sample(rng)
        forge = forger(target, source, rng)
        forged = [forge(view) for view in views]
        masks = (np.repeat(fake.mask[..., None], 3, axis=-1) for fake in forged)
        write_video(paths[f"{method}/mask"], masks, MASK_RATE_FACTOR, "ultrafast")
        write_video(paths[method], (publication(fake.frame) for fake in forged), config.rate_factor)
    return 1 + len(MANIPULATIONS)
