"""What is written about a video: its verdict as JSON and as a page, and an annotated copy."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from deepfake_mtl.data.text_files import shown
from deepfake_mtl.errors import DeepfakeMTLError
from deepfake_mtl.inference.aggregation import Analysis
from deepfake_mtl.inference.api import Progress, VideoDetector
from deepfake_mtl.inference.batch.jobs import ANNOTATED, PAGE, VERDICT, Job
from deepfake_mtl.inference.report.annotate import annotate
from deepfake_mtl.inference.report.page import render_page
from deepfake_mtl.inference.verdict import VerdictWarning
from deepfake_mtl.util.files import write_whole


def judge(detector: VideoDetector, job: Job, progress: Progress) -> dict[str, Any]:
    """Judge a video and write the verdict; whatever the file is, there is one.

    Args:
        detector: What judges.
        job: What is to be done.
        progress: Told the number of frames that are done, and of all.

    Returns:
        The content of the JSON file.
    """
    try:
        analysis = detector.analyse(job.video, progress, keep_squares=job.annotate)
    except (DeepfakeMTLError, MemoryError) as error:
        reason = str(error) or "it takes more memory than is allowed"
        analysis = Analysis(detector.setup.failure(job.video, shown(reason)), {})
    except Exception as error:  # noqa: BLE001 (untrusted files find errors that nobody thought of)
        reason = f"{job.video}: cannot be judged ({type(error).__name__}: {error})"
        analysis = Analysis(detector.setup.failure(job.video, shown(reason)), {})
    if job.annotate and analysis.tracks:
        _annotate(analysis, job, detector, progress)
    return write_verdict(job.folder, analysis, detector)


def _annotate(analysis: Analysis, job: Job, detector: VideoDetector, progress: Progress) -> None:
    """Write the annotated video; that there is none takes nothing from the verdict."""
    try:
        annotate(analysis, job.folder / ANNOTATED, detector.options.limits, progress)
    except (DeepfakeMTLError, MemoryError) as error:
        verdict = analysis.verdict
        warning = VerdictWarning(
            "not_annotated", f"There is no annotated video: {shown(str(error))}"
        )
        analysis.verdict = replace(verdict, warnings=(*verdict.warnings, warning))


def write_verdict(
    folder: Path, analysis: Analysis, detector: VideoDetector | None
) -> dict[str, Any]:
    """Write page and JSON, the JSON last: where it is, all is there.

    Args:
        folder: Where to write.
        analysis: What was found.
        detector: What draws heat maps; None for a page without.

    Returns:
        The content of the JSON file.
    """
    page = render_page(analysis, None if detector is None else detector.network)
    write_whole(folder / PAGE, page)
    text = analysis.verdict.to_json()
    write_whole(folder / VERDICT, text)
    content: dict[str, Any] = json.loads(text)
    return content
