"""A record is made once, and is the same whether it was made or read."""

import numpy as np

from netcaliper.study.cells.once import once, plain


def test_a_record_is_made_once(tmp_path):
    made = []

    def read():
        made.append(1)
        return {"a": np.float32(0.5), "b": float("nan"), 3: {"c": np.int64(2)}, "d": None, "e": True}

    file = tmp_path / "readings" / "one.json"
    first, second = once(file, read), once(file, read)
    assert first == second == {"a": 0.5, "b": None, "3": {"c": 2}, "d": None, "e": True}
    assert len(made) == 1
    assert [path.name for path in file.parent.iterdir()] == ["one.json"]


def test_plain_values():
    assert plain(np.bool_(True)) is True
    assert plain(float("inf")) is None
    assert type(plain(np.int64(3))) is int
    assert plain("words") == "words"
