"""The number in a file of netcaliper that says by which rules it was written."""

from pathlib import Path
from typing import Any

from netcaliper.errors import CorruptReading, NewerSchema


def checked_version(record: Any, newest: int, file: Path, what: str) -> int:
    """Return the ``schema_version`` of what was read from a file.

    Args:
        record: the content of the file, whatever it is.
        newest: the last version that can be read.
        file: where it comes from.
        what: what the file should be, for the message.

    Raises:
        CorruptReading: ``record`` is not a mapping with a whole number under that key.
        NewerSchema: a later netcaliper wrote it.
    """
    version = record.get("schema_version") if isinstance(record, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise CorruptReading(f"{str(file)!r} is not a {what}: it names no `schema_version`.")
    if version > newest:
        raise NewerSchema(
            f"{str(file)!r} has `schema_version` {version}, this netcaliper reads up to {newest}; update netcaliper."
        )
    return version
