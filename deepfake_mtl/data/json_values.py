"""JSON that is the same on every machine, and what is read out of it."""

import json
from collections.abc import Mapping
from typing import Any


def to_json(values: Mapping[str, Any]) -> str:
    """Return one line, with sorted keys and without spaces."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)


def text_value(values: Mapping[str, Any], name: str) -> str:
    """Return the value of a name that must be a text.

    Raises:
        KeyError: There is no such name.
        TypeError: It is of something else.
    """
    value = values[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r}, no text")
    return value
