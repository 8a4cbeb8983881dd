"""Text for a terminal: tables and sentences drawn at a width, and names that cannot move the cursor."""

from io import StringIO

from rich.console import Console, RenderableType

NARROWEST = 40


def draw(*parts: RenderableType, width: int, color: bool) -> str:
    """Draw parts one below the other.

    Args:
        parts: strings (taken literally, without markup) and whatever Rich can draw.
        width: columns of the terminal; at least 40 are used.
        color: with terminal escapes; plain text without trailing spaces otherwise.

    Returns:
        Lines, the last one ended. Sentences are left to the terminal to wrap, so that a path in them can be copied.
    """
    stream = StringIO()
    console = Console(
        file=stream,
        width=max(width, NARROWEST),
        force_terminal=color,
        color_system="standard" if color else None,
        legacy_windows=False,
        highlight=False,
        markup=False,
        emoji=False,
    )
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str))
    text = stream.getvalue()
    return text if color else "".join(line.rstrip() + "\n" for line in text.splitlines())


def printable(text: str | None) -> str:
    """Replace what could move the cursor or change colors: the name of a layer is not trusted."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text or "")
