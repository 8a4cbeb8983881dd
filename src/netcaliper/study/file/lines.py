"""On which line of a TOML file something stands; ``tomllib`` says what a file holds, but not where."""

import re
import tomllib
from collections.abc import Sequence

_TOKEN = re.compile(
    r'(?P<string>"""(?:\\.|[^\\])*?"""+|\'\'\'.*?\'\'\'+|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\')'
    r"|(?P<comment>#[^\n]*)|(?P<newline>\n)|(?P<mark>[\[\]{},=.])|(?P<bare>[^\s\[\]{},=.\"'#]+)",
    re.DOTALL,
)

Path = tuple[str | int, ...]


class Lines:
    """The lines of all keys of a file that ``tomllib`` has accepted; entries of lists are counted from 0.

    Args:
        text: the file.
    """

    def __init__(self, text: str) -> None:
        text = text.replace("\r\n", "\n")
        self._tokens = [
            (found[0], found.lastgroup, text.count("\n", 0, found.start()) + 1)
            for found in _TOKEN.finditer(text)
            if found.lastgroup != "comment"
        ]
        self._at = 0
        self._lines: dict[Path, int] = {}
        self._counts: dict[Path, int] = {}
        self._file()

    def of(self, path: Sequence[str | int]) -> int | None:
        """Return the line of a key, or of the nearest table above it; ``None`` if not even that is there."""
        known = self.depth(path)
        return self._lines[tuple(path[:known])] if known else None

    def depth(self, path: Sequence[str | int]) -> int:
        """Return how many leading parts of a path the file holds."""
        return next((size for size in range(len(path), 0, -1) if tuple(path[:size]) in self._lines), 0)

    def _file(self) -> None:
        table: Path = ()
        while self._at < len(self._tokens):
            text, group, line = self._tokens[self._at]
            if group == "newline":
                self._at += 1
            elif text == "[":
                table = self._header(line)
            else:
                self._pair(table)

    def _header(self, line: int) -> Path:
        """Read ``[a.b]`` or ``[[a.b]]``, of which the latter is the next entry of a list."""
        listed = self._tokens[self._at + 1][0] == "["
        self._at += 2 if listed else 1
        *above, last = self._key()
        self._at += 2 if listed else 1
        path: Path = ()
        for part in above:
            path = (*path, part)
            self._note(path, line)
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
        path = (*path, last)
        self._note(path, line)
        if listed:
            self._counts[path] = self._counts.get(path, 0) + 1
            path = (*path, self._counts[path] - 1)
            self._note(path, line)
        return path

    def _pair(self, table: Path) -> None:
        """Read ``key = value`` in a table."""
        line = self._tokens[self._at][2]
        path = table
        for part in self._key():
            path = (*path, part)
            self._note(path, line)
        self._at += 1  # =
        self._value(path)

    def _key(self) -> Path:
        """Read ``a.b."c d"``."""
        parts: Path = ()
        while self._tokens[self._at][1] in ("string", "bare"):
            text, group, _ = self._tokens[self._at]
            parts = (*parts, next(iter(tomllib.loads(f"{text} = 0"))) if group == "string" else text)
            self._at += 2 if self._tokens[self._at + 1][0] == "." else 1
        return parts

    def _value(self, path: Path) -> None:
        """Read a value, up to what ends it."""
        if self._open("{"):
            while not self._close("}"):
                self._pair(path)
        elif self._open("["):
            index = 0
            while not self._close("]"):
                self._note((*path, index), self._tokens[self._at][2])
                self._value((*path, index))
                index += 1
        else:
            # A number with a point and a date with a blank are several tokens.
            while self._at < len(self._tokens) and self._tokens[self._at][0] not in (",", "]", "}", "\n"):
                self._at += 1

    def _open(self, mark: str) -> bool:
        """Go on behind a bracket if it is the next token."""
        if self._tokens[self._at][0] != mark:
            return False
        self._at += 1
        return True

    def _close(self, mark: str) -> bool:
        """Go on behind a bracket if nothing but line ends and a comma stand before it."""
        while self._tokens[self._at][0] in (",", "\n"):
            self._at += 1
        return self._open(mark)

    def _note(self, path: Path, line: int) -> None:
        """Keep the first line of a path."""
        self._lines.setdefault(path, line)
