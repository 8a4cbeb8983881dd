import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from netcaliper.reading.whole_file import write_whole


def test_a_file_is_written_in_a_new_folder_and_nothing_is_left_beside_it(tmp_path):
    file = tmp_path / "new" / "file"
    write_whole(file, b"one")
    write_whole(file, b"two")
    assert file.read_bytes() == b"two"
    assert list(file.parent.iterdir()) == [file]


def test_two_may_write_it_at_once(tmp_path):
    file = tmp_path / "file"
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda content: write_whole(file, content), [b"one", b"two"] * 50))
    assert file.read_bytes() in (b"one", b"two")
    assert list(tmp_path.iterdir()) == [file]


def test_what_was_there_stays_where_the_disk_refuses(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(file, b"new")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]
