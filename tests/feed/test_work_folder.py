import os

import numpy as np
import pytest

from netcaliper.errors import CorruptReading, InputError, ReadingError
from netcaliper.feed.work_folder import WorkFolder

ABOUT = {"measure": "needed", "seed": 0, "tau": 0.01, "sites": ["a", "b"]}


def test_a_piece_comes_back_as_it_was(tmp_path):
    folder = WorkFolder(tmp_path / "new" / "state", ABOUT)
    arrays = {"x": np.random.default_rng(0).normal(size=(3, 4)), "order": np.arange(3), "none": np.zeros(0)}
    assert not folder.holds("piece")
    folder.put("piece", arrays, {"rows": 3, "names": ["ü"]})
    for again in (folder, WorkFolder(tmp_path / "new" / "state", ABOUT)):
        assert again.holds("piece")
        found, record = again.get("piece")
        assert record == {"rows": 3, "names": ["ü"]}
        assert {key: value.tobytes() for key, value in found.items()} == {k: v.tobytes() for k, v in arrays.items()}
        assert found["x"].flags.writeable
    assert sorted(os.listdir(folder.path)) == ["piece.safetensors", "work.json"]


def test_an_empty_piece_is_a_piece(tmp_path):
    folder = WorkFolder(tmp_path, ABOUT)
    folder.put("nothing", {}, {"rows": 0})
    assert folder.get("nothing") == ({}, {"rows": 0})


@pytest.mark.parametrize("change", [{"seed": 1}, {"sites": ["a"]}, {"more": 1}])
def test_a_folder_of_other_work_is_refused_by_name(tmp_path, change):
    WorkFolder(tmp_path, ABOUT).put("piece", {}, {})
    with pytest.raises(InputError) as caught:
        WorkFolder(tmp_path, ABOUT | change)
    (key,) = change
    assert str(tmp_path) in str(caught.value)
    assert f"its {key} is {ABOUT.get(key)!r}, here it is {change[key]!r}" in str(caught.value)
    assert "name a new folder" in str(caught.value)


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match=r"without a work.json; choose another"):
        WorkFolder(tmp_path, ABOUT)
    with pytest.raises(InputError, match="choose another"):
        WorkFolder(tmp_path / "thesis.txt", ABOUT)
    assert os.listdir(tmp_path) == ["thesis.txt"]


def test_damage_is_named_with_the_remedy(tmp_path):
    folder = WorkFolder(tmp_path, ABOUT)
    folder.put("piece", {"x": np.ones(3)}, {})
    whole = (tmp_path / "piece.safetensors").read_bytes()
    (tmp_path / "piece.safetensors").write_bytes(whole[:-4])
    with pytest.raises(CorruptReading, match="delete it, and it will be made again"):
        folder.get("piece")
    (tmp_path / "work.json").write_text("{")
    with pytest.raises(CorruptReading, match="begin anew"):
        WorkFolder(tmp_path, ABOUT)
    (tmp_path / "work.json").write_text("[1]")
    with pytest.raises(CorruptReading, match="begin anew"):
        WorkFolder(tmp_path, ABOUT)


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    folder = WorkFolder(tmp_path, ABOUT)
    folder.put("piece", {"x": np.ones(3)}, {"n": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ReadingError, match="No space left on device; free some space"):
        folder.put("piece", {"x": np.zeros(3)}, {"n": 2})
    assert folder.get("piece")[1] == {"n": 1}
    assert sorted(os.listdir(tmp_path)) == ["piece.safetensors", "work.json"]
