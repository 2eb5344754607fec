"""The mutation tester changes what it says, in one place, and leaves the rest alone."""

import ast
from pathlib import Path

import pytest

from tests.mutation.mutants import Mutations

CODE = '''
"""What it does."""

import math
from typing import Final

LIMIT: Final = 0.5


def share(values: list[float], *, strict: bool = True) -> float | None:
    """Of what?"""
    if not values or max(values) < LIMIT:
        raise ValueError(f"there are {len(values)} values")
    return len([v for v in values[1:] if v > 2]) / 7
'''
MUTANTS = {
    "0.5 -> 1.0",
    "True -> False",
    "not values or max(values) < LIMIT -> not (not values or max(values) < LIMIT)",
    "not values or max(values) < LIMIT -> not values and max(values) < LIMIT",
    "not values -> values",
    "max(values) < LIMIT -> max(values) <= LIMIT",
    "max(values) -> min(values)",
    "raise ValueError(f'there are {len(values)} values') -> nothing",
    "return len([v for v in values[1:] if v > 2]) / 7 -> return None",
    "len([v for v in values[1:] if v > 2]) / 7 -> len([v for v in values[1:] if v > 2]) * 7",
    "v > 2 -> nothing",
    "v > 2 -> v >= 2",
    "2 -> 3",
    "1: -> :",
    "1 -> 2",
    "7 -> 8",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "module.py"
    path.write_text(CODE)
    return path


def test_code_is_changed_and_words_are_not(path: Path) -> None:
    found = Mutations(path).found
    assert {mutant.text for mutant in found} == MUTANTS
    assert len(found) == len(MUTANTS)
    lines = CODE.splitlines()
    for mutant in found:
        assert mutant.text.split(" -> ")[0].split("(")[0] in lines[mutant.lines.start - 1]


@pytest.mark.parametrize("number", range(len(MUTANTS)))
def test_each_is_another_program(path: Path, number: int) -> None:
    mutant = Mutations(path).found[number]
    mutant.compile()
    changed = ast.unparse(mutant.tree).splitlines()
    before = ast.unparse(ast.parse(CODE)).splitlines()
    assert sum(a != b for a, b in zip(changed, before, strict=True)) == 1
