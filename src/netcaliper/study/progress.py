"""How far a cell is, in a file that others read while it runs."""

import json
from pathlib import Path
from time import monotonic

from netcaliper.reading.whole_file import write_whole

EVERY = 0.5
"""Seconds between two writes, at least."""


class Progress:
    """Writes a share and words into a file, at most twice a second.

    Args:
        file: where.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._last = -EVERY

    def __call__(self, share: float, words: str) -> None:
        """Say that ``share`` (0 to 1) is done, and what is being done now."""
        now = monotonic()
        if now - self._last >= EVERY:
            self._last = now
            write_whole(self._file, json.dumps({"done": share, "words": words}).encode())
