"""A file says by which rules it was written, or it is refused."""

from pathlib import Path

import pytest

from netcaliper.errors import CorruptReading, NewerSchema
from netcaliper.fit.schema_version import checked_version


@pytest.mark.parametrize("version", [1, 2])
def test_versions_that_can_be_read(version):
    assert checked_version({"schema_version": version}, 2, Path("a"), "record") == version


def test_a_later_version():
    with pytest.raises(NewerSchema, match="'a/b' has `schema_version` 3, this netcaliper reads up to 2; update"):
        checked_version({"schema_version": 3}, 2, Path("a/b"), "record")


@pytest.mark.parametrize("record", [{}, {"schema_version": "1"}, {"schema_version": True}, [1], None])
def test_no_version(record):
    with pytest.raises(CorruptReading, match="'a' is not a record: it names no `schema_version`"):
        checked_version(record, 2, Path("a"), "record")
