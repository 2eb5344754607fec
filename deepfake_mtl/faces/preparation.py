"""From a corpus of videos to a store of face crops."""

import multiprocessing
import shutil
import signal
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path
from typing import Final

import cv2
from tqdm import tqdm

from deepfake_mtl.data.corpora import CorpusReader, FaceForensics
from deepfake_mtl.data.missing import find_missing
from deepfake_mtl.data.records import ORIGINAL, VideoRecord
from deepfake_mtl.data.shortcuts import check_shortcuts
from deepfake_mtl.data.store.crop_files import estimate_bytes, read_header
from deepfake_mtl.data.store.crop_header import CropHeader
from deepfake_mtl.data.store.folder import StoreInfo, check_store, create_store, crops_path
from deepfake_mtl.data.store.index import write_index, write_test_list
from deepfake_mtl.data.store.upkeep import lock_store, match_corpus, remove_unfinished
from deepfake_mtl.data.video import VideoInfo, probe
from deepfake_mtl.errors import ConfigurationError, CorpusError, FileNameError, VideoError
from deepfake_mtl.faces.cropping import (
    CropJob,
    Cropper,
    CropSource,
    describe_masks,
    is_current,
    is_of_source,
)
from deepfake_mtl.faces.outcomes import GONE, NOT_THERE, Outcome, write_report
from deepfake_mtl.util.files import is_there, open_whole
from deepfake_mtl.util.memory import keep_freed_memory
from deepfake_mtl.util.processes import end_with_parent

_SPARE: Final = 0.02  # of the disk, which a store never takes


def prepare(corpus: CorpusReader, out: Path, source: CropSource, workers: int) -> list[Outcome]:
    """Crop the main face out of every video of a corpus, and write a store.

    Originals come first; a fake takes the squares of the original of its target, where the corpus
    tells which that is. What is there already is not done again, unless its video has changed.
    Files are written whole, so that a run that was stopped in whatever way is finished by the next,
    and the store is the same byte for byte. Crops of videos that the corpus does not have any more
    are set aside.

    Args:
        corpus: What to crop.
        out: Folder of the store; new, empty, or a store with the same settings.
        source: How to crop.
        workers: Number of processes.

    Returns:
        One outcome for each video, in the order of the corpus; then for each that should be there
        and is not, and for each that is set aside.

    Raises:
        CorpusError: The corpus or its test list is incomplete; or the folder holds something else,
            or a store with other settings or of other videos, cannot be written to, or is being
            written to by another process.
        SplitError: The lists of identities of the corpus are damaged.
        ConfigurationError: The disk is too small, or the face detector cannot be used.
    """
    records = corpus.index()
    test_list = _test_list(corpus, records)
    missing = find_missing(corpus.expected(records), {record.key for record in records})
    info = StoreInfo(corpus.name, corpus.compression, corpus.is_synthetic, source.settings)
    source.detector()  # fails here rather than in every worker
    check_store(out, info)
    with lock_store(out):
        create_store(out, info)
        remove_unfinished(out)
        stale = match_corpus(out, records)
        _remove_changed(out, records, corpus.root)
        if corpus.splits_folder is not None:
            _copy_splits(corpus.splits_folder, out / "splits")
        if test_list is not None:
            write_test_list(out, test_list)
        _check_disk(out, records, source)
        jobs = [_job(each, corpus, out, with_masks=source.settings.masks) for each in records]
        found: dict[str, Outcome] = {}
        with tqdm(total=len(jobs), desc="Cropping", unit="video") as progress:
            for outcome in _run(jobs, source, workers):
                found[outcome.key] = outcome
                progress.update()
        outcomes = [found[record.key] for record in records]
        outcomes += [Outcome(key, "missing", NOT_THERE) for key in missing.keys]
        outcomes += [
            Outcome(f"{corpus.name}/{'/'.join(each)}", "set aside", GONE) for each in stale
        ]
        write_index(out)
        write_report(out, outcomes)
    return outcomes


def _crops(out: Path, record: VideoRecord) -> Path:
    return crops_path(out, record.method, record.compression, record.name)


def _test_list(corpus: CorpusReader, records: Iterable[VideoRecord]) -> list[str] | None:
    """Return the keys of the videos to be tested on; None where the splits of the store say it."""
    if corpus.name == FaceForensics.name:
        return None
    listed = corpus.test_list()
    # Without a list all are tested on, those as well that are about to be left out.
    return [record.key for record in records] if listed is None else listed


def _job(record: VideoRecord, corpus: CorpusReader, out: Path, *, with_masks: bool) -> CropJob:
    original = corpus.original_of(record)
    return CropJob(
        record=record,
        out=_crops(out, record),
        borrow=crops_path(out, ORIGINAL, record.compression, original) if original else None,
        masks=corpus.mask_path(record) if with_masks else None,
    )


def _run(jobs: Sequence[CropJob], source: CropSource, workers: int) -> Iterator[Outcome]:
    lacking = {job.out for job in jobs if not is_there(job.out)}
    # A fake takes the squares of its original, which has to be finished before.
    ready: list[CropJob] = []
    waiting: dict[Path, list[CropJob]] = {}
    for job in jobs:
        (waiting.setdefault(job.borrow, []) if job.borrow in lacking else ready).append(job)
    context = multiprocessing.get_context("spawn")  # a fork would inherit OpenCV's threads
    pool = ProcessPoolExecutor(
        max(1, min(workers, len(jobs))), context, initializer=_start_worker, initargs=(source,)
    )
    with pool:
        running: dict[Future[Outcome], CropJob] = {}

        def begin(begun: Iterable[CropJob]) -> Iterator[Outcome]:
            for job in begun:
                outcome = _finished(job)
                if outcome is None:
                    running[pool.submit(_work, job)] = job
                else:
                    yield outcome

        try:
            yield from begin(ready)
            while running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    finished = running.pop(future).out
                    yield future.result()
                    yield from begin(waiting.pop(finished, ()))
        except BrokenProcessPool as error:
            raise CorpusError(
                "a process that crops died, as one does that the system kills for want of memory. "
                "Run the same command again to go on; with fewer `workers` it needs less memory"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _finished(job: CropJob) -> Outcome | None:
    """Return what became of a video that need not be cropped; None if it has to be."""
    if not is_there(job.out):
        return None
    header = read_header(job.out)
    return _prepared(job, header) if is_current(job, header) else None


def _prepared(job: CropJob, header: CropHeader) -> Outcome:
    return Outcome(job.record.key, "prepared", describe_masks(job, header), header.boxes_from)


_cropper: Cropper | None = None


def _start_worker(source: CropSource) -> None:
    global _cropper  # noqa: PLW0603 (the way to give a worker process something to keep)
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent sees to it
    cv2.setNumThreads(1)
    keep_freed_memory()
    _cropper = Cropper(source)


def _work(job: CropJob) -> Outcome:
    if _cropper is None:
        raise RuntimeError("the worker was not started")
    try:
        header = _cropper.crop(job)
    except (VideoError, ConfigurationError, FileNameError) as error:
        return Outcome(job.record.key, "left out", str(error))
    return _prepared(job, header)


def _remove_changed(out: Path, records: Iterable[VideoRecord], root: Path) -> None:
    """Delete the crops of videos that have changed since, so that they are cropped again."""
    for record in records:
        crops = _crops(out, record)
        if is_there(crops) and not is_of_source(read_header(crops), record, root):
            crops.unlink()


def _copy_splits(source: Path, target: Path) -> None:
    for path in sorted(source.glob("*.json")) if source.is_dir() else []:
        with open_whole(target / path.name) as file:
            file.append(path.read_bytes())


def _check_disk(out: Path, records: Iterable[VideoRecord], source: CropSource) -> None:
    probed: dict[VideoRecord, VideoInfo] = {}
    for record in records:
        if not is_there(_crops(out, record)):
            with suppress(VideoError):  # reported when its turn comes
                probed[record] = probe(record.path)
    # The store would hide how its videos were stored, but not what that did to them.
    check_shortcuts(list(probed), list(probed.values()))
    frames = sum(info.frames for info in probed.values())
    needed = estimate_bytes(frames, source.settings.size, source.settings.codec)
    disk = shutil.disk_usage(out)
    print(
        f"{frames} frames to crop: about {needed / 1e9:.1f} GB in {out}, where "
        f"{disk.free / 1e9:.1f} GB are free"
    )
    if needed > disk.free - _SPARE * disk.total:
        raise ConfigurationError(
            f"{out}: the store needs about {needed / 1e9:.1f} GB more, but only "
            f"{disk.free / 1e9:.1f} GB of the disk are free: choose another disk with `out`, a "
            'smaller `size`, or `codec="jpeg95"`'
        )
