"""Command lines from dataclasses."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from deepfake_mtl.arguments import Command, OtherOptions, Without
from deepfake_mtl.errors import ConfigurationError


@dataclass(frozen=True)
class Bounds:
    """What is refused.

    Attributes:
        max_hours: Length of the longest video; 12 % of a day, see `size`.
        limit: Another limit.
    """

    max_hours: float = 3.0
    limit: float | Literal["none"] | None = None


@dataclass(frozen=True)
class Settings:
    """How ``it`` is done.

    Attributes:
        size: Side in pixels, for `codec="raw"` as for ``codec``.
        codec: How frames are stored.
        made_by: What made it.
    """

    size: int = 160
    codec: Literal["jpeg", "raw"] = "jpeg"
    made_by: str = "us"


@dataclass(frozen=True)
class Words:
    """What is done.

    Attributes:
        root: Folder of it.
        names: Names of several.
        out: Folder to write.
        corpus: Name of the corpus.
        configs: Files.
        tests: More names.
        sweeps: Options and values.
        fast: Whether it is fast.
    """

    root: Path
    names: Sequence[str]
    _: KW_ONLY
    out: Path
    corpus: Annotated[str | None, ("dfdc", "folder")] = None
    configs: tuple[str, ...] = ()
    tests: Sequence[Annotated[str, ("x", "y")]] = ()
    sweeps: tuple[Sequence[str], ...] = ()
    fast: bool = False


def command(given: list[Any]) -> Command:
    def run(
        words: Words, settings: Annotated[Settings, Without(("made_by",))], bounds: Bounds
    ) -> int:
        given.extend([words, settings, bounds])
        return 7

    return Command("it", run, "Do it.\n\n  As it is.")


def passing(given: list[Any]) -> Command:
    def run(words: Words, others: OtherOptions) -> int:
        given.extend([words, others])
        return 0

    return Command("it", run, "Do it.")


def test_fields_are_options_and_their_defaults_those_of_python() -> None:
    given: list[Any] = []
    assert command(given)(["here", "a", "--out", "there"]) == 7
    assert given == [Words(Path("here"), ("a",), out=Path("there")), Settings(), Bounds()]


def test_negative_numbers_are_values() -> None:
    given: list[Any] = []
    words = ["here", "a", "--out=b", "--sweeps", "lr", "-1", "-.5", "--other", "-2"]
    assert passing(given)(words) == 0
    assert given[0].sweeps == (["lr", "-1", "-.5"],)
    assert given[1] == ("--other", "-2")


def test_every_kind_of_field() -> None:
    given: list[Any] = []
    words = ["here", "a", "b", "--out=there", "--corpus", "dfdc", "--fast", "--codec=raw"]
    words += ["--sweeps", "data.size", "8", "9", "--sweeps", "x", "1", "--max_hours", "4"]
    words += ["--configs", "c", "--configs=d", "--tests=y", "--tests", "y", "x"]
    command(given)([*words, "--size=32"])
    sweeps = (["data.size", "8", "9"], ["x", "1"])
    assert given[0] == Words(
        Path("here"),
        ("a", "b"),
        out=Path("there"),
        corpus="dfdc",
        configs=("c", "d"),
        tests=("y", "x"),
        sweeps=sweeps,
        fast=True,
    )
    assert given[1:] == [Settings(32, "raw"), Bounds(4.0)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            [],
            "(ROOT(, NAMES, --out)?|NAMES): required, but not given; see deepfake-mtl it --help",
        ),
        (["here", "a", "--out=there", "--size=big"], "--size is 'big': expected int; see"),
        (["here", "a", "--out=there", "--size=3.5"], "--size is '3.5': expected int; see"),
        (
            ["here", "a", "--out=there", "--limit=x"],
            "--limit is 'x': expected float( or 'none')?; see",
        ),
        (["here", "a", "--out=there", "--size"], "argument --size: expected one argument"),
        (
            ["here", "a", "--out=there", "--corpus=ffpp"],
            "argument --corpus: invalid choice: 'ffpp'",
        ),
        (
            ["here", "a", "--out=there", "--codec=png"],
            "argument --codec: invalid choice: 'png'",
        ),
        (
            ["here", "a", "--out=there", "--made_by=them"],
            "[Uu]nrecognized arguments: --made_by=them",
        ),
        (["here", "a", "--out=there", "--siz=3"], "[Uu]nrecognized arguments: --siz=3"),
    ],
)
def test_what_is_wrong_is_named(words: list[str], said: str) -> None:
    given: list[Any] = []
    with pytest.raises(ConfigurationError, match=f"^{said}"):
        command(given)(words)
    assert given == []


def test_help_is_the_docstrings(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command([])(["--help"])
    said = capsys.readouterr().out
    assert "\nDo it.\n\n  As it is.\n" in said
    assert "\nWhat is done:\n  ROOT " in said
    assert "\nHow it is done:\n" in said
    assert "\nWhat is refused:\n" in said
    text = " ".join(said.split())
    assert (
        "--size SIZE Side in pixels, for --codec raw as for codec. (type: int, default: 160)"
        in (text)
    )
    assert "--out OUT Folder to write. (required, type: Path)" in text
    assert "12 % of a day, see --size. (type: float, default: 3.0)" in text
    assert "--corpus {dfdc,folder} Name of the corpus." in text


def test_options_of_another_command_are_passed_on() -> None:
    given: list[Any] = []
    words = ["here", "a", "--data.size", "8", "--out", "there", "--trainer.max_epochs=1", "--fast"]
    assert passing(given).passes_on
    assert not command([]).passes_on
    passing(given)(words)
    assert given[0] == Words(Path("here"), ("a",), out=Path("there"), fast=True)
    assert given[1] == ("--data.size", "8", "--trainer.max_epochs=1")
