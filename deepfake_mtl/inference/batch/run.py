"""Many videos: what is asked for, what is there already, and the rest."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from deepfake_mtl.data.text_files import shown
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.inference.batch.inputs import Inputs, answer_name
from deepfake_mtl.inference.batch.jobs import Job, finished
from deepfake_mtl.inference.batch.summary import Answered, outcome, write_summary
from deepfake_mtl.inference.batch.workers import Answer, Workers, WorkerSettings


def judge_all(
    inputs: Inputs, out: Path, settings: WorkerSettings, *, annotate: bool
) -> list[Answered]:
    """Judge videos, each in a process that may die of it, and write all answers.

    What an earlier run has answered, of the same file with the same detector and settings, is not
    done again. An interrupted run is finished by the next.

    Args:
        inputs: The videos.
        out: Where answers go; nothing is written elsewhere.
        settings: Of the processes.
        annotate: Whether to write annotated videos.

    Returns:
        Folder and content of each answer, in the order of the videos.

    Raises:
        CheckpointError: The detector cannot be loaded.
        ConfigurationError: Or not be used, or ``out`` cannot be written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{shown(out)}: cannot be written to ({error.strerror}); name another folder"
        ) from error
    jobs = [Job(path, out / answer_name(path), annotate) for path in inputs.videos]
    with closing(Workers(settings)) as workers:
        blank = json.loads(workers.blank.to_json())
        answers = {job: there for job in jobs if (there := finished(job, blank)) is not None}
        if answers:
            print(f"{len(answers)} of {len(jobs)} videos were judged before")
        missing = [job for job in jobs if job not in answers]
        with tqdm(total=len(missing), desc="Judging", unit="video", disable=not missing) as bar:
            for answer in workers.run(missing, _on(bar, len(missing))):
                content = answer.content or _write_failure(answer, workers.blank)
                answers[answer.job] = content
                bar.update()
                bar.write(_line(content))
    found: list[Answered] = [(job.folder, answers[job]) for job in jobs]
    write_summary(out, found, inputs.left_out)
    return found


def _on(bar: "tqdm[Any]", jobs: int) -> Callable[[Job, int, int], None]:
    def progress(job: Job, done: int, frames: int) -> None:
        name = shown(job.video.name)[-30:] if jobs > 1 else "frames"
        bar.set_postfix_str(f"{name} {done}/{max(frames, done)}")

    return progress


def _line(content: Mapping[str, Any]) -> str:
    score = "" if content["score"] is None else f" {content['score']:.3f}"
    said = f" ({shown(content['error'])})" if content["error"] else ""
    return f"{outcome(content)}{score}: {shown(content['video'])}{said}"


def _write_failure(answer: Answer, blank: Any) -> dict[str, Any]:  # noqa: ANN401
    """Write the answer of a process that died."""
    # PyTorch, which this process does without otherwise.
    from deepfake_mtl.inference.api import Examination  # noqa: PLC0415
    from deepfake_mtl.inference.batch.writing import write_answer  # noqa: PLC0415

    verdict = replace(blank, video=str(answer.job.video.absolute()), error=shown(answer.reason))
    return write_answer(answer.job.folder, Examination(verdict), None)


def exit_status(answers: Sequence[Answered]) -> int:
    """Return 0 if all videos were answered, with a score or for want of a face; else 1."""
    return int(any(content["status"] == "failed" for _, content in answers))
