"""Starts the runs of a benchmark as processes of their own, and goes on past what fails."""

import os
import queue
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from tqdm import tqdm

from deepfake_mtl.experiments.files import FAILURE, ROBUSTNESS
from deepfake_mtl.experiments.folder import Base, state_of
from deepfake_mtl.experiments.locks import locked_command, own_run
from deepfake_mtl.experiments.plan import Run
from deepfake_mtl.training.run_folder import is_tested
from deepfake_mtl.util.files import write_whole
from deepfake_mtl.util.machine import CORES, usable_cores
from deepfake_mtl.util.processes import apart, ask_to_stop, ending

LOG: Final = "log.txt"

_TAIL: Final = 4000
_PATIENCE: Final = 60
"""Seconds that an interrupted process has to write its checkpoint."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run.

    Attributes:
        run: The run.
        state: ``finished`` or ``failed``.
        reason: Why it failed.
    """

    run: Run
    state: Literal["finished", "failed"]
    reason: str = ""


def run_all(folder: Path, runs: Sequence[Run], base: Base, jobs: int) -> list[Outcome]:
    """Train and test every run that is not finished, so many at a time.

    A run goes on from its last checkpoint. Each writes what it prints into its ``log.txt``, and
    where it fails the reason into ``failure.txt``. Where there are several GPUs, runs at the same
    time have one each; they share the cores, on which clips are read.

    Args:
        folder: Folder of the benchmark.
        runs: Runs to be done, in their order.
        base: What they have in common.
        jobs: How many at a time.

    Returns:
        One outcome a run, in the order of the runs.

    Raises:
        KeyboardInterrupt: After the processes were stopped, if this one is interrupted.
    """
    outcomes: dict[str, Outcome] = {}
    starter = _Starter(folder, base, jobs)
    with (
        ThreadPoolExecutor(jobs) as pool,
        tqdm(total=len(runs), desc="Runs", unit="run") as progress,
    ):
        futures = [pool.submit(starter.run, run) for run in runs]
        try:
            for future in as_completed(futures):
                outcome = future.result()
                outcomes[outcome.run.name] = outcome
                failed = sum(each.state == "failed" for each in outcomes.values())
                progress.set_postfix_str(f"{failed} failed" if failed else "", refresh=False)
                progress.update()
        except BaseException:
            starter.stop()
            pool.shutdown(cancel_futures=True)
            raise
    return [outcomes[run.name] for run in runs]


class _Starter:
    def __init__(self, folder: Path, base: Base, jobs: int) -> None:
        self._folder = folder
        self._base = base
        self._environments: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()
        for environment in _environments(jobs):
            self._environments.put(environment)
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def run(self, run: Run) -> Outcome:
        """Train and test, unless that is done or being done."""
        place = self._folder / run.name
        place.mkdir(parents=True, exist_ok=True)
        environment = self._environments.get()
        try:
            with own_run(place) as name:
                if state_of(self._folder, run, self._base) == "finished":
                    return Outcome(run, "finished")
                (place / FAILURE).unlink(missing_ok=True)
                reason = self._train_and_test(run, place, environment, name)
        finally:
            self._environments.put(environment)
        if reason and not self._stopped:
            write_whole(place / FAILURE, reason + "\n")
        return Outcome(run, "failed" if reason else "finished", reason)

    def stop(self) -> None:
        """Stop what is running; a training writes a checkpoint first."""
        self._stopped = True
        for process in list(self._processes):
            trains = isinstance(process.args, list) and "fit" in process.args
            ask_to_stop(process, saves=trains)
        for process in list(self._processes):
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()

    def _train_and_test(self, run: Run, place: Path, environment: dict[str, str], name: str) -> str:
        words = [*self._base.words(), *run.words()]
        # Files first: one after an option would override it in silence.
        words.sort(key=lambda word: not word.startswith("--config="))
        words += [f"--trainer.default_root_dir={place}", "--trainer.enable_progress_bar=false"]
        for command in self._commands(place, words):
            reason = self._start(command, place, environment, name)
            if reason:
                return reason
        lacking = self._base.lacking(place)
        return f"{lacking[0]} was not written; see {place / LOG}" if lacking else ""

    def _commands(self, place: Path, words: list[str]) -> Iterator[list[str]]:
        """Yield what is still to be done for a run, step by step."""
        checkpoint = place / "checkpoints" / f"{self._base.checkpoint}.ckpt"
        test = ["test", *words, f"--ckpt_path={checkpoint}"]
        if not is_tested(place, None):
            last = place / "checkpoints" / "last.ckpt"
            yield ["fit", *words, *([f"--ckpt_path={last}"] if last.is_file() else [])]
            yield test
        for corpus in self._base.test_on:
            if not is_tested(place, corpus):
                yield [*test, f"--data.test_on={corpus}"]
        if self._base.robustness and not (place / ROBUSTNESS).is_file():
            yield ["robustness", *words, f"--ckpt_path={checkpoint}", f"--out={place}"]

    def _start(self, words: list[str], place: Path, environment: dict[str, str], name: str) -> str:
        """Run a command to its end; returns why it failed, or nothing."""
        if self._stopped:
            return "interrupted"
        with (place / LOG).open("ab") as log:
            log.write(f"\n$ deepfake-mtl {' '.join(words)}\n".encode())
            log.flush()
            begin = log.tell()
            with subprocess.Popen(  # noqa: S603 (this very program)
                locked_command(place, name, words),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
                **apart(),
            ) as process:
                self._processes.add(process)
                try:
                    status = process.wait()
                finally:
                    self._processes.discard(process)
        return "" if status == 0 else _reason(place / LOG, begin, status)


def _environments(jobs: int) -> list[dict[str, str]]:
    """Return what each process is told that runs beside others, so as to share the machine."""
    if jobs == 1:
        return [{}]
    import torch  # noqa: PLC0415 (seconds that --help does without)

    share = str(max(usable_cores() // jobs, 1))
    devices = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = devices.split(",") if devices else [str(i) for i in range(torch.cuda.device_count())]
    if names and torch.cuda.is_available():
        return [
            {CORES: share, "CUDA_VISIBLE_DEVICES": names[job % len(names)]} for job in range(jobs)
        ]
    threads = os.environ.get("OMP_NUM_THREADS")
    return [{CORES: share, "OMP_NUM_THREADS": threads or share} for _ in range(jobs)]


def _reason(log: Path, begin: int, status: int) -> str:
    """Return the last line of what a process said, its error, and where the rest is."""
    with log.open("rb") as file:
        file.seek(begin)
        text = file.read()[-_TAIL:].decode(errors="replace")
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("deepfake-mtl: error: ")] or lines[-1:]
    said = told[-1].removeprefix("deepfake-mtl: error: ") if told else "it said nothing"
    return f"{said} ({ending(status)}; see {log})"
