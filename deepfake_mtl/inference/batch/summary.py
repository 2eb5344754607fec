"""The verdicts on many videos, as a CSV and as an index page."""

import csv
import io
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from deepfake_mtl.data.text_files import shown
from deepfake_mtl.html.environment import template_environment
from deepfake_mtl.inference.batch.jobs import INDEX, PAGE, TABLE
from deepfake_mtl.util.files import write_whole

_COLUMNS: Final = (
    "video", "status", "is_fake", "score", "threshold", "spread", "resembles", "face", "faces",
    "frames", "seconds", "warnings", "error", "page",
)  # fmt: skip
_NONE_SEEN: Final = "none of those seen"

Judged = tuple[Path, Mapping[str, Any]]
"""Folder of a verdict, and the content of its JSON file."""


def write_summary(
    out: Path, verdicts: Sequence[Judged], left_out: Sequence[tuple[Path, str]]
) -> None:
    """Write ``verdicts.csv`` and ``index.html``, the likeliest fakes first.

    Args:
        out: Folder to write to.
        verdicts: Verdicts on all videos.
        left_out: Files that were not looked at, with the reason.
    """
    ordered = sorted(
        verdicts, key=lambda each: (-(each[1]["score"] or 0), each[1]["status"], each[1]["video"])
    )
    rows = [_row(out, folder, content) for folder, content in ordered]
    text = io.StringIO()
    table = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_whole(out / TABLE, text.getvalue())
    folders = [os.path.dirname(row["video"]) for row in rows]  # noqa: PTH120 (of texts)
    common = os.path.commonpath(folders) if folders else "/"
    counts = Counter(outcome(content) for _, content in ordered)
    statement = ordered[0][1]["statement"] if ordered else ""
    page = (
        template_environment(__package__, "deepfake_mtl.inference.report")
        .get_template("index.html")
        .render(
            rows=[
                {
                    **row,
                    "name": os.path.relpath(row["video"], common),
                    "error": row["error"].removeprefix(f"{row['video']}: "),
                    "outcome": outcome(content),
                }
                for row, (_, content) in zip(rows, ordered, strict=True)
            ],
            counts=counts,
            left_out=[(shown(path), why) for path, why in left_out[:100]],
            more=max(len(left_out) - 100, 0),
            statement=statement,
            banners=_banners(ordered),
        )
    )
    write_whole(out / INDEX, page)


def outcome(content: Mapping[str, Any]) -> str:
    """Return what became of a video, in a word or two."""
    if content["status"] == "scored":
        return "called fake" if content["is_fake"] else "called real"
    return {"failed": "not judged"}.get(content["status"], str(content["status"]))


def _banners(verdicts: Sequence[Judged]) -> list[str]:
    texts = {
        warning["text"]: None
        for _, content in verdicts
        for warning in content["warnings"]
        if warning["code"] in ("synthetic", "unknown_corpus")
    }
    return list(texts)


def _row(out: Path, folder: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    file = content["file"] or {}
    alike = content["resembles"]
    return {
        # Absolute, so that it does not begin with what a spreadsheet takes for a formula.
        "video": shown(content["video"]),
        "status": content["status"],
        "is_fake": "" if content["is_fake"] is None else int(content["is_fake"]),
        "score": _number(content["score"]),
        "threshold": content["threshold"],
        "spread": _number(content["spread"]),
        "resembles": "" if alike is None else alike["name"] or _NONE_SEEN,
        "face": _number(content["face"]),
        "faces": len(content["faces"]),
        "frames": _number(file.get("frames")),
        "seconds": _number(file.get("seconds")),
        "warnings": " ".join(warning["code"] for warning in content["warnings"]),
        "error": content["error"] or "",
        "page": (folder / PAGE).relative_to(out).as_posix(),
    }


def _number(value: float | None) -> float | str:
    return "" if value is None else value
