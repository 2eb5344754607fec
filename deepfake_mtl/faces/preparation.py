"""From a corpus of videos to a store of face crops."""

import csv
import io
import multiprocessing
import shutil
import signal
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import cv2
from tqdm import tqdm

from deepfake_mtl.data.allocation import keep_freed_memory
from deepfake_mtl.data.corpora import FaceForensics, VideoCorpus
from deepfake_mtl.data.crop_files import estimate_bytes, read_header
from deepfake_mtl.data.reading import probe
from deepfake_mtl.data.records import ORIGINAL, VideoRecord
from deepfake_mtl.data.store import (
    StoreInfo,
    create_store,
    crops_path,
    remove_unfinished,
    write_index,
    write_test_list,
)
from deepfake_mtl.data.whole_files import open_whole
from deepfake_mtl.errors import ConfigurationError, CorpusError, VideoError
from deepfake_mtl.faces.cropping import CropJob, Cropper, CropSource

REPORT: Final = "report.csv"

_SPARE: Final = 0.02  # of the disk, which a store never takes

Status = Literal["prepared", "left out"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one video.

    Attributes:
        key: Of the video.
        status: Whether the store has its crops.
        reason: Why it has not; empty where it has.
        boxes_from: Key of the video whose boxes were used; empty where there are no crops.
    """

    key: str
    status: Status
    reason: str = ""
    boxes_from: str = ""


def prepare(corpus: VideoCorpus, out: Path, source: CropSource, workers: int) -> list[Outcome]:
    """Crop the subject's face out of every video of a corpus, and write a store.

    Originals come first; a fake takes the squares of the original of its target, where the corpus
    tells which that is. What is there already is not done again. Files are written whole, so that a
    run that was stopped in whatever way is finished by the next, and the store is the same byte for
    byte.

    Args:
        corpus: What to crop.
        out: Folder of the store; new, empty, or a store with the same settings.
        source: How to crop.
        workers: Number of processes.

    Returns:
        One outcome a video, in the order of the corpus.

    Raises:
        CorpusError: The corpus or its test list is incomplete; or the folder holds something else,
            or a store with other settings, or cannot be written to.
        ConfigurationError: The disk is too small, or the face detector cannot be used.
    """
    records = corpus.index()
    test_list = _test_list(corpus, records)
    info = StoreInfo(
        corpus=corpus.name,
        compression=corpus.compression,
        synthetic=corpus.is_synthetic,
        settings=source.settings,
    )
    source.detector()  # fails here rather than in every worker
    create_store(out, info)
    remove_unfinished(out)
    if corpus.splits_folder is not None:
        _copy_splits(corpus.splits_folder, out / "splits")
    if test_list is not None:
        write_test_list(out, test_list)
    _check_disk(out, records, source)
    outcomes: dict[str, Outcome] = {}
    jobs = [_job(each, corpus, out, with_masks=source.settings.masks) for each in records]
    with tqdm(total=len(jobs), desc="Cropping", unit="video") as progress:
        for outcome in _run(jobs, source, workers):
            outcomes[outcome.key] = outcome
            progress.update()
    ordered = [outcomes[record.key] for record in records]
    write_index(out)
    _write_report(out, ordered)
    return ordered


def _crops(out: Path, record: VideoRecord) -> Path:
    return crops_path(out, record.method, record.compression, record.name)


def _test_list(corpus: VideoCorpus, records: Iterable[VideoRecord]) -> list[str] | None:
    """Keys of the videos to be tested on; None where the splits of the store say it."""
    if corpus.name == FaceForensics.name:
        return None
    listed = corpus.test_list()
    # Without a list all are tested on, those as well that are about to be left out.
    return [record.key for record in records] if listed is None else listed


def _job(record: VideoRecord, corpus: VideoCorpus, out: Path, *, with_masks: bool) -> CropJob:
    original = corpus.original_of(record)
    masks = corpus.mask_path(record) if with_masks else None
    return CropJob(
        record=record,
        out=_crops(out, record),
        borrow=crops_path(out, ORIGINAL, record.compression, original) if original else None,
        masks=masks if masks and masks.exists() else None,
    )


def _run(jobs: Sequence[CropJob], source: CropSource, workers: int) -> Iterator[Outcome]:
    missing = {job.out: job for job in jobs if not job.out.is_file()}
    # A fake takes the squares of its original, which has to be finished before.
    ready: list[CropJob] = []
    waiting: dict[Path, list[CropJob]] = {}
    for job in missing.values():
        (waiting.setdefault(job.borrow, []) if job.borrow in missing else ready).append(job)
    for job in jobs:
        if job.out not in missing:
            yield Outcome(job.record.key, "prepared", boxes_from=read_header(job.out).boxes_from)
    if not missing:
        return
    context = multiprocessing.get_context("spawn")  # a fork would inherit OpenCV's threads
    pool = ProcessPoolExecutor(
        min(workers, len(missing)), context, initializer=_start_worker, initargs=(source,)
    )
    with pool:
        running = {pool.submit(_work, job): job for job in ready}
        try:
            while running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    finished = running.pop(future).out
                    yield future.result()
                    for job in waiting.pop(finished, ()):
                        running[pool.submit(_work, job)] = job
        except BrokenProcessPool as error:
            raise CorpusError(
                "a process that crops died, as one does that the system kills for want of memory. "
                "Run the same command again to go on; with fewer --workers it needs less memory"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_cropper: Cropper | None = None


def _start_worker(source: CropSource) -> None:
    global _cropper  # noqa: PLW0603 (the way to give a worker process something to keep)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent sees to it
    cv2.setNumThreads(1)
    keep_freed_memory()
    _cropper = Cropper(source)


def _work(job: CropJob) -> Outcome:
    if _cropper is None:
        raise RuntimeError("the worker was not started")
    try:
        header = _cropper.crop(job)
    except (VideoError, ConfigurationError) as error:
        return Outcome(job.record.key, "left out", str(error))
    return Outcome(job.record.key, "prepared", boxes_from=header.boxes_from)


def _copy_splits(source: Path, target: Path) -> None:
    for file in sorted(source.glob("*.json")) if source.is_dir() else []:
        _write(target / file.name, file.read_bytes())


def _check_disk(out: Path, records: Iterable[VideoRecord], source: CropSource) -> None:
    frames = 0
    for record in records:
        if not _crops(out, record).is_file():
            try:
                frames += probe(record.path).frames
            except VideoError:
                continue  # reported when its turn comes
    needed = estimate_bytes(frames, source.settings.size, source.settings.codec)
    disk = shutil.disk_usage(out)
    print(
        f"{frames} frames to crop: about {needed / 1e9:.1f} GB in {out}, where "
        f"{disk.free / 1e9:.1f} GB are free"
    )
    if needed > disk.free - _SPARE * disk.total:
        raise ConfigurationError(
            f"{out}: the store needs about {needed / 1e9:.1f} GB more, but only "
            f"{disk.free / 1e9:.1f} GB of the disk are free: choose another disk with --out, a "
            "smaller --size, or --codec jpeg95"
        )


def _write_report(out: Path, outcomes: Iterable[Outcome]) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["key", "status", "reason", "boxes_from"])
    for each in outcomes:
        table.writerow([each.key, each.status, each.reason, each.boxes_from])
    _write(out / REPORT, text.getvalue().encode())


def _write(path: Path, content: bytes) -> None:
    with open_whole(path) as file:
        file.append(content)
