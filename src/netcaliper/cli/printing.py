"""What commands print with: text as wide as the window, JSON that is nothing but JSON, notes on standard error."""

import json
import math
import shutil
import sys
from io import TextIOBase
from typing import Any

from rich.console import RenderableType

from netcaliper.report.text import draw

WIDTH = 100
"""Columns where there is no terminal to ask."""


def say(*parts: RenderableType, stream: TextIOBase | None = None) -> None:
    """Print text and tables: in color and as wide as the window on a terminal, plain otherwise.

    Args:
        parts: strings (taken literally, without markup) and whatever Rich can draw.
        stream: where; standard output if not given.
    """
    out: Any = sys.stdout if stream is None else stream
    terminal = out.isatty()
    width = shutil.get_terminal_size((WIDTH, 24)).columns if terminal else WIDTH
    text = draw(*parts, width=width, color=terminal)
    encoding = getattr(out, "encoding", None) or "utf-8"
    out.write(text.encode(encoding, "replace").decode(encoding))
    out.flush()


def note(text: str) -> None:
    """Print one line on standard error, out of the way of what a program reads."""
    say(text, stream=sys.stderr)  # pyright: ignore[reportArgumentType]


def say_json(value: Any) -> None:
    """Print a value as one JSON document; what is not finite becomes ``null``, as JSON has no word for it."""
    sys.stdout.write(json.dumps(_plain(value), indent=1, ensure_ascii=True, allow_nan=False) + "\n")
    sys.stdout.flush()


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {str(key): _plain(entry) for key, entry in value.items()}
        case list() | tuple():
            return [_plain(entry) for entry in value]
        case float() if not math.isfinite(value):
            return None
    return value
