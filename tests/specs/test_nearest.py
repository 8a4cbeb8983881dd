"""A path that is not there is answered with the nearest one that is."""

import pytest

from netcaliper.errors import SpecError
from netcaliper.specs.nearest import existing


def test_what_is_there(tmp_path):
    (tmp_path / "a.npz").touch()
    assert existing(tmp_path / "a.npz", "npz", folder=False) == tmp_path / "a.npz"
    assert existing(tmp_path, "imagefolder", folder=True) == tmp_path


@pytest.mark.parametrize(
    ("name", "folder", "message"),
    [
        ("brids", True, "`x`: there is no folder .*brids'; did you mean .*birds'"),
        ("brids", False, "there is no file .*; did you mean .*birds'"),
        ("birds", False, "birds' is not a file; name a file"),
        ("notes.txt", True, "notes.txt' is not a folder; name a folder"),
        ("zebra", True, "zebra'; check the path"),
        ("none/zebra", True, "zebra'; check the path"),
        ("a\0b", True, "there is no folder"),
    ],
)
def test_what_is_not(tmp_path, name, folder, message):
    (tmp_path / "birds").mkdir()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(SpecError, match=message):
        existing(tmp_path / name, "x", folder=folder)
