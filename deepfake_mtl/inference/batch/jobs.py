"""Where answers lie, and whether one is there already."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

VERDICT: Final = "verdict.json"
PAGE: Final = "verdict.html"
ANNOTATED: Final = "annotated.mp4"
TABLE: Final = "verdicts.csv"
INDEX: Final = "index.html"

_SAME: Final = ("schema_version", "settings", "threshold", "threshold_from")


@dataclass(frozen=True, slots=True)
class Job:
    """A video to be judged.

    Attributes:
        video: Its file.
        folder: Where the answer goes.
        annotate: Whether an annotated video is asked for.
    """

    video: Path
    folder: Path
    annotate: bool


def finished(job: Job, blank: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the answer of an earlier run, where file, detector and settings are the same.

    A video that could not be judged is tried again.

    Args:
        job: What is asked for.
        blank: A verdict of the detector at hand, of any video.
    """
    try:
        content: dict[str, Any] = json.loads((job.folder / VERDICT).read_text(encoding="utf-8"))
        status = job.video.stat()
        file = content["file"]
        same = (
            content["status"] != "failed"
            and (file["bytes"], file["modified_ns"]) == (status.st_size, status.st_mtime_ns)
            and all(content[name] == blank[name] for name in _SAME)
            and all(
                content["detector"][name] == blank["detector"][name]
                for name in ("sha256", "version")
            )
            and (job.folder / PAGE).is_file()
            and (not job.annotate or not content["faces"] or (job.folder / ANNOTATED).is_file())
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return content if same else None
