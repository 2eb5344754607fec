"""How options are spelled: with underscores, in every command; with dashes, with a warning."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepfake_mtl import cli
from deepfake_mtl.cli import main
from deepfake_mtl.training.words import TRAINER_COMMANDS

OPTION = re.compile(r"(?<![\w-])--[A-Za-z][\w.-]*")
COMMANDS = [*cli._TOOLS, *TRAINER_COMMANDS]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_every_command_has_one_spelling(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    options = sorted(set(OPTION.findall(capsys.readouterr().out)))
    assert options
    assert [option for option in options if "-" in option.removeprefix("--")] == []

    for option in options:
        dashed = "--" + option.removeprefix("--").replace("_", "-")
        for word, expected in ((dashed, option), (f"{dashed}=a-b_c", f"{option}=a-b_c")):
            assert cli._with_underscores([command, word, "a-b_c"]) == [command, expected, "a-b_c"]
            warned = f"warning: {dashed} is spelled {option}; the dashes are accepted until"
            said = capsys.readouterr().err
            assert (warned in said) == (dashed != option)
            assert said.count("\n") == (dashed != option)


@pytest.mark.parametrize("spelling", ["--on-missing", "--on_missing"])
def test_the_old_spelling_does_the_same(
    spelling: str, tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["prepare", str(tiny_corpus), f"--out={tmp_path / 'store'}", "--detector=center"]
    assert main([*words, "--size=32", "--workers=1", spelling, "skip"]) == 0
    assert ("warning" in capsys.readouterr().err) == (spelling == "--on-missing")


# Modules of the command line, and those that write words of one.
NAMES_OPTIONS = ("cli.py", "command.py", "lightning_cli.py", "words.py", "arguments.py")
OTHER_PROGRAMS = re.compile(r"docker run --[\w-]+|```sh.*?```", re.DOTALL)
IN_PROSE = re.compile(r"(?<![\w-])--[a-z][\w.]*(?![\w.=-])")


def literals(tree: ast.Module) -> Iterator[str]:
    """Yield the texts of a module that are not docstrings, with X where they are formatted."""
    parts = {
        part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            parts.add(node.value)
        elif isinstance(node, ast.JoinedStr):
            texts = (each.value if isinstance(each, ast.Constant) else "X" for each in node.values)
            yield "".join(str(text) for text in texts)
        elif isinstance(node, ast.Constant) and node not in parts and isinstance(node.value, str):
            yield node.value


def options_in_prose(source: str) -> list[str]:
    texts = [OTHER_PROGRAMS.sub("", text) for text in literals(ast.parse(source))]
    return [text for text in texts if IN_PROSE.search(text) and not IN_PROSE.fullmatch(text)]


def test_an_option_in_a_message_is_found() -> None:
    assert options_in_prose('x = f"{y}: write --data.size {z}"') == ["X: write --data.size X"]
    assert options_in_prose('x = "--shard is wrong"') == ["--shard is wrong"]
    assert (
        options_in_prose('def f():\n    "Write --data.size."\n    g(f"--size={x}", "--out")') == []
    )


def test_the_library_names_parameters_and_no_options() -> None:
    package = Path(cli.__file__).parent
    found = {
        str(path.relative_to(package)): texts
        for path in sorted(package.rglob("*.py"))
        if path.name not in NAMES_OPTIONS
        and (texts := options_in_prose(path.read_text(encoding="utf-8")))
    }
    assert found == {}
