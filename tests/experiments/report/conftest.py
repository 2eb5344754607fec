from pathlib import Path

import pytest

from tests.experiments.report import made_up


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole, small benchmark with everything in it; not to be written to."""
    folder = tmp_path_factory.mktemp("benchmark") / "runs"
    return made_up.write_benchmark(
        folder, made_up.LOSSES[:3], ("FaceSwap", "Deepfakes"), videos=14, extras=True
    )
