"""Many videos: what is asked for, what is there already, and the rest."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from deepfake_mtl.data.text_files import shown
from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.inference.batch.inputs import Inputs, folder_name
from deepfake_mtl.inference.batch.jobs import Job, JobResult, finished
from deepfake_mtl.inference.batch.summary import Judged, outcome, write_summary
from deepfake_mtl.inference.batch.workers import Workers, WorkerSettings

if TYPE_CHECKING:  # PyAV, which this module does without until a worker is ready
    from deepfake_mtl.inference.verdict import Setup


def judge_all(
    inputs: Inputs, out: Path, settings: WorkerSettings, *, annotate: bool
) -> list[Judged]:
    """Judge videos, each in a process that may die of it, and write all verdicts.

    What an earlier run has judged, of the same file with the same detector and settings, is not
    done again. An interrupted run is finished by the next.

    Args:
        inputs: The videos.
        out: Folder that verdicts go to; nothing is written elsewhere.
        settings: How processes are run.
        annotate: Whether to write annotated videos.

    Returns:
        Folder and content of each verdict, in the order of the videos.

    Raises:
        CheckpointError: The detector cannot be loaded.
        ConfigurationError: The detector cannot be used, or ``out`` cannot be written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{shown(out)}: cannot be written to ({error.strerror}); name another folder"
        ) from error
    jobs = [Job(path, out / folder_name(path), annotate) for path in inputs.videos]
    with closing(Workers(settings)) as workers:
        verdicts = {
            job: there for job in jobs if (there := finished(job, workers.setup)) is not None
        }
        if verdicts:
            print(f"{len(verdicts)} of {len(jobs)} videos were judged before")
        missing = [job for job in jobs if job not in verdicts]
        with tqdm(total=len(missing), desc="Judging", unit="video", disable=not missing) as bar:
            for result in workers.run(missing, _on(bar, len(missing))):
                content = result.content or _write_failure(result, workers.setup)
                verdicts[result.job] = content
                bar.update()
                bar.write(_line(content))
    found: list[Judged] = [(job.folder, verdicts[job]) for job in jobs]
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


def _write_failure(result: JobResult, setup: "Setup") -> dict[str, Any]:
    """Write the verdict on a video of which a process died."""
    # PyTorch, which this process does without otherwise.
    from deepfake_mtl.inference.aggregation import Analysis  # noqa: PLC0415
    from deepfake_mtl.inference.batch.writing import write_verdict  # noqa: PLC0415

    verdict = setup.failure(result.job.video, shown(result.reason))
    return write_verdict(result.job.folder, Analysis(verdict, {}), None)


def exit_status(verdicts: Sequence[Judged]) -> int:
    """Return 0 if all videos were judged, with a score or for want of a face; else 1."""
    return int(any(content["status"] == "failed" for _, content in verdicts))
