"""What is to be done about a video, what became of it, and where the files of it lie."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:  # what --help does without
    from deepfake_mtl.inference.verdict import Setup

VERDICT: Final = "verdict.json"
PAGE: Final = "verdict.html"
ANNOTATED: Final = "annotated.mp4"
TABLE: Final = "verdicts.csv"
INDEX: Final = "index.html"


@dataclass(frozen=True, slots=True)
class Job:
    """A video to be judged.

    Attributes:
        video: Path of the file.
        folder: Where the verdict goes.
        annotate: Whether an annotated video is asked for.
    """

    video: Path
    folder: Path
    annotate: bool


@dataclass(frozen=True, slots=True)
class JobResult:
    """What became of a job.

    Attributes:
        job: What was to be done.
        content: Content of the verdict's JSON file; None where the process died.
        reason: Why it died; empty otherwise.
    """

    job: Job
    content: dict[str, Any] | None
    reason: str = ""


def finished(job: Job, setup: "Setup") -> dict[str, Any] | None:
    """Return the verdict of an earlier run, where file, detector and settings are the same.

    A video that could not be judged is tried again.

    Args:
        job: What is asked for.
        setup: Detector and settings of this run.

    Returns:
        The content of the JSON file, or None.
    """
    try:
        content: dict[str, Any] = json.loads((job.folder / VERDICT).read_text(encoding="utf-8"))
        status = job.video.stat()
        file = content["file"]
        same = (
            content["status"] != "failed"
            and (file["bytes"], file["modified_ns"]) == (status.st_size, status.st_mtime_ns)
            and setup.made(content)
            and (job.folder / PAGE).is_file()
            and (not job.annotate or not content["faces"] or (job.folder / ANNOTATED).is_file())
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return content if same else None
