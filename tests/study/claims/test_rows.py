import numpy as np
import pandas as pd

from netcaliper.study.claims.rows import by_value, label_of, order_of, rows_of


def test_gaps_are_absent_and_numbers_are_pythons():
    frame = pd.DataFrame(
        {"cell": ["a", "b"], "x": [1.5, np.nan], "n": pd.array([3, None], dtype="Int64"), "t": ["u", None]}
    )
    found = rows_of(frame)
    assert found.columns == ("cell", "x", "n", "t")
    assert found.rows == [{"cell": "a", "x": 1.5, "n": 3, "t": "u"}, {"cell": "b"}]
    assert type(found.rows[0]["x"]) is float
    assert type(found.rows[0]["n"]) is int


def test_rows_part_by_value_in_order_of_the_values():
    rows = [{"w": 10.0}, {"w": 2}, {"w": 10}, {"v": 1}]
    parts = by_value(rows, "w")
    assert list(parts) == ["2", "10"]
    assert len(parts["10"]) == 2
    assert sorted(["b", None, 3, "a", 0.5], key=order_of) == [0.5, 3, "a", "b", None]
    assert label_of(2.5) == "2.5"
