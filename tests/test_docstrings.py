"""The examples in the docstrings of losses and metrics are run as they stand there."""

import doctest
from types import ModuleType

import pytest

from deepfake_mtl import losses, metrics

PUBLIC = [(package, name) for package in (losses, metrics) for name in package.__all__]


@pytest.mark.parametrize(
    ("package", "name"), PUBLIC, ids=[f"{package.__name__}.{name}" for package, name in PUBLIC]
)
def test_example_of_a_public_name(
    package: ModuleType, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if name == "GradientSurgery":
        pytest.importorskip("torchjd")
    found = doctest.DocTestFinder(recurse=False).find(getattr(package, name), name, globs={})
    assert any(test.examples for test in found), f"{package.__name__}.{name} shows no example"
    runner = doctest.DocTestRunner(verbose=False)
    for test in found:
        runner.run(test)
    assert not runner.failures, capsys.readouterr().out
