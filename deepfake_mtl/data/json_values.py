"""JSON that is the same on every machine."""

import json
from collections.abc import Mapping
from typing import Any


def to_json(values: Mapping[str, Any]) -> str:
    """Return one line, with sorted keys and without spaces."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
