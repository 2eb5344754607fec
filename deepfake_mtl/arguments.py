"""Command lines from dataclasses: their fields are options, their docstrings the help."""

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any, Final, Literal, NamedTuple, get_args, get_origin, get_type_hints

from docstring_parser import parse as parse_docstring
from jsonargparse import ArgumentParser, DefaultHelpFormatter

from deepfake_mtl.errors import ConfigurationError

PARAMETER: Final = re.compile(r"(?<!`)`(\w+)(?:=\"?([^`\"]*)\"?)?`(?!`)")
"""A parameter in a text, with its value if there is one: ```on_missing="skip"```."""

_NUMBER: Final = re.compile(r"-\.?\d")
"""How a negative number begins, which is no option."""

_NO_DEFAULT: Final = re.compile(r" \(default: (?:null|\[\])\)|, default: (?:null|\[\])(?=\)$)")


@dataclass(frozen=True, slots=True)
class Without:
    """Annotates a dataclass of which some fields are not options.

    Attributes:
        names: The names of those fields, which keep their defaults.
    """

    names: tuple[str, ...]


class OtherOptions(tuple[str, ...]):
    """Options of another command and their values as they were given, which this one passes on."""

    __slots__ = ()


class HelpFormatter(DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """jsonargparse's, which keeps the lines of a description, and leaves out Python's markup."""

    def start_section(self, heading: str | None) -> None:
        """Begin a group of options."""
        super().start_section(heading and _without_markup(heading))

    def _expand_help(self, action: argparse.Action) -> str:
        text = re.sub(r"<class '([\w.]+)'>", r"\1", super()._expand_help(action))
        return _without_markup(_NO_DEFAULT.sub("", text))


class Command:
    """A command that is a function of dataclasses.

    Each dataclass is a group of options, and each field an option of its name, such as
    ``--ckpt_path``. A field that Python requires, and takes without a keyword, is a word without an
    option. A bool is a flag; a sequence takes several words; a tuple is given again for each value.
    What annotates a text lists its values.

    Args:
        name: What is typed after ``deepfake-mtl``.
        run: The function, which returns the exit status. Its last parameter may be of type
            `OtherOptions`, and then takes the options that the command does not know.
        description: What the command does.

    Attributes:
        spelled: How each option is spelled, by the name of its field.
        passes_on: Whether options that the command does not know are those of another.
    """

    def __init__(self, name: str, run: Callable[..., int], description: str) -> None:
        self._run = run
        hints = get_type_hints(run, include_extras=True)
        del hints["return"]
        kinds = [_unpacked(hint) for hint in hints.values()]
        self.passes_on = kinds[-1][0] is OtherOptions
        self._groups = [
            (kind, list(_options(kind, marks))) for kind, marks in kinds if kind is not OtherOptions
        ]
        self.spelled = {
            option.name: option.name.upper() if option.is_word else f"--{option.name}"
            for _, options in self._groups
            for option in options
        }
        self.parser = ArgumentParser(
            prog=f"deepfake-mtl {name}",
            description=description.strip(),
            formatter_class=HelpFormatter,
            allow_abbrev=False,
            exit_on_error=False,
        )
        for kind, options in self._groups:
            title = parse_docstring(kind.__doc__ or "").short_description or ""
            group = self.parser.add_argument_group(title.rstrip("."))
            for option in options:
                group.add_argument(
                    option.name if option.is_word else f"--{option.name}",
                    help=in_options(option.help, self.spelled),
                    **option.settings,
                )

    def __call__(self, words: Sequence[str]) -> int:
        """Run the command with the words after its name, and return its exit status.

        Raises:
            ConfigurationError: An option is missing, unknown, or has no such value.
        """
        own, others = self._split(words) if self.passes_on else (list(words), [])
        try:
            values = self.parser.parse_args(own)
        except argparse.ArgumentError as error:
            raise ConfigurationError(
                f"{self._complaint(str(error))}; see {self.parser.prog} --help"
            ) from error
        arguments = [
            kind(**{option.name: _fixed(values[option.name]) for option in options})
            for kind, options in self._groups
        ]
        return self._run(*arguments, *([OtherOptions(others)] if self.passes_on else []))

    def _complaint(self, text: str) -> str:
        """Say briefly, and in options, what jsonargparse says about a value."""
        missing = re.search(r"arguments are required: ([\w, ]+)$|Key \"(\w+)\" is required", text)
        if missing:
            names = (missing[1] or missing[2]).split(", ")
            return f"{', '.join(self.spelled[name] for name in names)}: required, but not given"
        key = re.match(r'Parser key "(\w+)":', text)
        value = re.search(r"(?:Got|Given) value: (.*)", text)
        if not key or not value:
            return " ".join(text.split())
        types = re.findall(r"Expected an? (.+?)(?:\. Got value|$)", text, re.MULTILINE)
        plain = [
            re.sub(r"<class '([\w.]+)'>|typing\.Literal\[(.*)\]", r"\1\2", each) for each in types
        ]
        expected = " or ".join(each for each in plain if each != "NoneType")
        return f"{self.spelled[key[1]]} is {value[1]!r}: expected {expected}"

    def _split(self, words: Sequence[str]) -> tuple[list[str], list[str]]:
        """Part the words of this command from those that it passes on."""
        known = {"-h", "--help", *self.spelled.values()}
        own: list[str] = []
        others: list[str] = []
        place = own
        for word in words:
            if word.startswith("-") and not _NUMBER.match(word):
                place = own if word.partition("=")[0] in known else others
            place.append(word)
        return own, others


def in_options(text: str, spelled: dict[str, str]) -> str:
    """Name options where a text names parameters: ```size=64``` becomes ``--size 64``.

    Args:
        text: The text, in which parameters stand in backquotes.
        spelled: How each option is spelled, by the name of its parameter; others are left.
    """

    def option(match: re.Match[str]) -> str:
        name, value = match[1], match[2]
        if name not in spelled:
            return match[0]
        return spelled[name] if value is None else f"{spelled[name]} {value}"

    return PARAMETER.sub(option, text)


class _Option(NamedTuple):
    """A field that is an option."""

    name: str
    help: str
    is_word: bool
    settings: dict[str, Any]


def _options(kind: type, marks: Sequence[object]) -> Iterator[_Option]:
    """Yield the fields of a dataclass as options."""
    hints = get_type_hints(kind, include_extras=True)
    documented = parse_docstring(kind.__doc__ or "").params
    texts = {each.arg_name: " ".join((each.description or "").split()) for each in documented}
    left_out = {name for mark in marks if isinstance(mark, Without) for name in mark.names}
    for field in fields(kind):
        if field.name in left_out:
            continue
        settings = _settings(hints[field.name])
        required = field.default is MISSING
        is_word = required and not field.kw_only
        if is_word:
            settings["metavar"] = field.name.upper()
        elif required:
            settings["required"] = True
        else:
            settings["default"] = [] if field.default == () else field.default
        yield _Option(field.name, texts[field.name], is_word, settings)


def _settings(hint: Any) -> dict[str, Any]:  # noqa: ANN401 (an annotation)
    """Return how jsonargparse is told of a type."""
    kind, marks = _unpacked(hint)
    if marks:
        return {"choices": marks[0]}
    if get_origin(kind) is Literal:
        return {"choices": get_args(kind)}
    if kind is bool:
        return {"action": "store_true"}
    if get_origin(kind) is Sequence:
        return {"nargs": "+", **_settings(get_args(kind)[0])}
    if get_origin(kind) is tuple:
        return {"action": "append", **_settings(get_args(kind)[0])}
    return {} if kind is str else {"type": kind}


def _unpacked(hint: Any) -> tuple[Any, tuple[Any, ...]]:  # noqa: ANN401 (an annotation)
    """Return what an annotation annotates, and with what."""
    if get_origin(hint) is Annotated:
        kind, *marks = get_args(hint)
        return kind, tuple(marks)
    return hint, ()


def _fixed(value: Any) -> Any:  # noqa: ANN401 (of any field)
    return tuple(value) if isinstance(value, list) else value


def _without_markup(text: str) -> str:
    return re.sub(r"(:\w+:)?`", "", text)
