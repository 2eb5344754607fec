"""Where a run keeps what."""

from pathlib import Path

from deepfake_mtl.data.treatments import parse_degradation


def results_folder(run: Path, test_on: str | None, degradation: str | None) -> Path:
    """Return where a test writes to: a folder of its own for each corpus and degradation.

    Args:
        run: The run folder.
        test_on: As of the datamodule.
        degradation: Likewise.
    """
    if test_on is not None:
        name, separator, _ = test_on.partition("=")
        run = run / "tests" / (name if separator else Path(name).resolve().name)
    if degradation is not None:
        name, strength = parse_degradation(degradation)
        run = run / "robustness" / f"{name}-{strength:g}"
    return run
