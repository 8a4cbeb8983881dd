"""A file that is there whole or not at all."""

import os
import secrets
from contextlib import suppress
from pathlib import Path


def write_whole(file: Path, content: bytes) -> None:
    """Write a file aside, flush it to the disk and move it into place; its folder is made.

    Raises:
        OSError: the disk refused; what was there before is unchanged, and nothing is left beside it.
    """
    # Not by the process's number: two machines on one folder may have the same.
    aside = file.with_name(f".{file.name}.{secrets.token_hex(4)}.partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(aside, file)
    finally:
        with suppress(OSError):  # the first error is the one to tell
            aside.unlink(missing_ok=True)
