"""How options are spelled: with underscores, in every command; with dashes, with a warning."""

import re
from pathlib import Path

import pytest

from deepfake_mtl import cli
from deepfake_mtl.cli import main

OPTION = re.compile(r"(?<![\w-])--[A-Za-z][\w.-]*")
COMMANDS = [*cli._TOOLS, *cli._TRAINER_COMMANDS]


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
