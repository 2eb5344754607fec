"""Text that other programs and people have written: lists, tables, JSON, in the usual encodings."""

import codecs
import json
import os
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

from deepfake_mtl.errors import CorpusError, DeepfakeMTLError

_MARKS: Final = (
    (codecs.BOM_UTF8, "UTF-8"),
    (codecs.BOM_UTF32_LE, "UTF-32-LE"),  # begins as that of UTF-16-LE does
    (codecs.BOM_UTF32_BE, "UTF-32-BE"),
    (codecs.BOM_UTF16_LE, "UTF-16-LE"),
    (codecs.BOM_UTF16_BE, "UTF-16-BE"),
)
"""Byte-order marks, with which Windows programs begin a file, and what they tell."""


def read_text(
    path: Path,
    remedy: str,
    error: type[DeepfakeMTLError] = CorpusError,
    undecodable: Literal["strict", "surrogateescape"] = "strict",
) -> str:
    """Read a text file: in the encoding that its byte-order mark tells, else in UTF-8.

    Args:
        path: The file.
        remedy: What to do where it cannot be read, for the message.
        error: Type of the error, likewise.
        undecodable: Whether bytes that are not UTF-8 are an error, or are kept as the operating
            system keeps them in the names of files.

    Raises:
        DeepfakeMTLError: An error of type `error`: it is missing, or is not text; then the message
            names the line.
    """
    try:
        content = path.read_bytes()
    except OSError as cause:
        raise error(f"{shown(path)}: cannot be read ({cause.strerror}); {remedy}") from cause
    mark, encoding = next((each for each in _MARKS if content.startswith(each[0])), (b"", "UTF-8"))
    content = content.removeprefix(mark)
    try:
        text = content.decode(encoding, "strict" if mark else undecodable)
    except UnicodeDecodeError as cause:
        line = content[: cause.start].decode(encoding, "replace").count("\n") + 1
        raise error(
            f"{shown(path)}, line {line}: is not text in {encoding} ({cause.reason}); save the "
            f"file as UTF-8, or {remedy}"
        ) from cause
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise error(
            f"{shown(path)}, line {line}: holds a zero byte, as text in UTF-16 without a "
            f"byte-order mark does; save the file as UTF-8, or {remedy}"
        )
    return text


def read_lines(
    path: Path,
    remedy: str,
    error: type[DeepfakeMTLError] = CorpusError,
    undecodable: Literal["strict", "surrogateescape"] = "strict",
) -> list[tuple[str, str]]:
    """Read the lines of a list that are not empty, without the spaces around them.

    Returns:
        Of each line the file and its number, for messages, and the text.

    Raises:
        DeepfakeMTLError: The errors of `read_text`.
    """
    # Not splitlines(), which also splits at characters that may stand in the name of a file.
    lines = read_text(path, remedy, error, undecodable).replace("\r\n", "\n").replace("\r", "\n")
    return [
        (f"{shown(path)}, line {number}", line.strip())
        for number, line in enumerate(lines.split("\n"), start=1)
        if line.strip()
    ]


def read_json(path: Path, remedy: str, error: type[DeepfakeMTLError] = CorpusError) -> Any:  # noqa: ANN401 (of a file)
    """Read a JSON file.

    Raises:
        DeepfakeMTLError: The errors of `read_text`; or it is not JSON.
    """
    text = read_text(path, remedy, error)
    try:
        return json.loads(text)
    except json.JSONDecodeError as cause:
        place = f"{shown(path)}, line {cause.lineno}"
        raise error(f"{place}: cannot be read as JSON ({cause.msg}); {remedy}") from cause


def listed_path(text: str) -> PurePosixPath:
    r"""Return a path as a list has it, written with ``/`` or, on Windows, with ``\``."""
    return PurePosixPath(text.strip().replace("\\", "/"))


def shown(path: Path | str) -> str:
    """Return a path as text that can be printed: valid UTF-8 without control characters."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
