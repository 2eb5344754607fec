"""The files of an answer: a verdict as JSON and as a page, and an annotated video."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from deepfake_mtl.data.text_files import shown
from deepfake_mtl.errors import DeepfakeMTLError
from deepfake_mtl.inference.api import Examination, Progress, VideoDetector
from deepfake_mtl.inference.batch.jobs import ANNOTATED, PAGE, VERDICT, Job
from deepfake_mtl.inference.report.annotate import annotate
from deepfake_mtl.inference.report.page import render_page
from deepfake_mtl.inference.verdict import Warned
from deepfake_mtl.util.files import write_whole


def answer(detector: VideoDetector, job: Job, progress: Progress) -> dict[str, Any]:
    """Judge a video and write what is said about it; whatever the file is, there is an answer.

    Args:
        detector: Judges.
        job: What to do.
        progress: Told how far it is.

    Returns:
        The content of the JSON file.
    """
    try:
        examination = detector.examine(job.video, progress, keep_squares=job.annotate)
    except (DeepfakeMTLError, MemoryError) as error:
        reason = str(error) or "it takes more memory than is allowed"
        examination = Examination(detector.failure(job.video, shown(reason)))
    except Exception as error:  # noqa: BLE001 (untrusted files find errors that nobody thought of)
        reason = f"{job.video}: cannot be judged ({type(error).__name__}: {error})"
        examination = Examination(detector.failure(job.video, shown(reason)))
    if job.annotate and examination.squares:
        _annotate(examination, job, detector, progress)
    return write_answer(job.folder, examination, detector)


def _annotate(
    examination: Examination, job: Job, detector: VideoDetector, progress: Progress
) -> None:
    """Write the annotated video; that there is none takes nothing from the verdict."""
    try:
        annotate(examination, job.folder / ANNOTATED, detector.options.limits, progress)
    except (DeepfakeMTLError, MemoryError) as error:
        verdict = examination.verdict
        warning = Warned("not_annotated", f"There is no annotated video: {shown(str(error))}")
        examination.verdict = replace(verdict, warnings=(*verdict.warnings, warning))


def write_answer(
    folder: Path, examination: Examination, detector: VideoDetector | None
) -> dict[str, Any]:
    """Write page and JSON, the JSON last: where it is, the answer is whole.

    Args:
        folder: Where to.
        examination: What was found.
        detector: For heat maps; None for a page without.

    Returns:
        The content of the JSON file.
    """
    page = render_page(examination, None if detector is None else detector.network)
    write_whole(folder / PAGE, page)
    text = examination.verdict.to_json()
    write_whole(folder / VERDICT, text)
    content: dict[str, Any] = json.loads(text)
    return content
