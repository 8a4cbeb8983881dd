"""What was read once is not read again: plain records beside a cell, each whole or not there."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from netcaliper.reading.whole_file import write_whole


def once(file: Path, read: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """Return the record in a file; if it is not there, make it and write it first.

    Args:
        file: a JSON file.
        read: makes the record: numbers, words and truth values by name, or such records by name.

    Raises:
        OSError: the disk refused.
    """
    if not file.is_file():
        write_whole(file, json.dumps(plain(read()), indent=1).encode())
    return json.loads(file.read_text(encoding="utf-8"))


def plain(value: Any) -> Any:
    """Return a value as JSON holds it: numpy's scalars as Python's, numbers that are not finite as ``None``."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
