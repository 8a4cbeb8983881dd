from itertools import product

import pytest

from netcaliper.study.file.axes import Axis, placed, points, read_axis


def test_a_path_with_values():
    assert read_axis("width", ["arguments.width", [0.5, 1]]) == Axis(
        "width", ((0.5, {"arguments.width": 0.5}), (1, {"arguments.width": 1}))
    )


def test_names_with_what_they_set_and_names_that_write_numbers_are_numbers():
    axis = read_axis("w", {"32": {"a": [32]}, "0.5": {}, "true": {}, "inf": {}, "1e-3": {"a": 1, "b.c": 2}})
    assert [label for label, _ in axis.values] == [32, 0.5, "true", "inf", 1e-3]
    assert axis.values[-1][1] == {"a": 1, "b.c": 2}


def test_seeds_set_nothing():
    assert read_axis("seed", [3, 1]) == Axis("seed", ((3, {}), (1, {})))


@pytest.mark.parametrize(
    ("column", "written", "words"),
    [
        ("seed", [], "is empty"),
        ("seed", [0, 0], "the value 0 twice"),
        ("seed", [True], "whole numbers"),
        ("seed", [-1], "whole numbers"),
        ("seed", {"a": {}}, r"write `seed = \[0, 1, 2\]`"),
        ("width", [], "is empty"),
        ("width", {}, "is empty"),
        ("width", ["arguments.width", []], "is empty"),
        ("width", ["arguments.width", [[32]]], "name them"),
        ("width", [1, 2], "cannot be read"),
        ("width", {"a": 1}, "cannot be read"),
        ("width", 3, "cannot be read"),
        ("width", ["a", [1, 1.0]], "twice"),
        ("epoch", ["a", [1]], "cannot be a column"),
        ("a b", ["a", [1]], "cannot be a column"),
    ],
)
def test_what_cannot_be_an_axis(column, written, words):
    with pytest.raises(ValueError, match=words):
        read_axis(column, written)


def test_points_are_the_product_with_the_last_axis_fastest():
    axes = [read_axis("a", ["x", [1, 2]]), read_axis("b", ["y.z", [3, 4, 5]])]
    found = [(point.columns, point.settings) for point in points(axes)]
    assert found == [({"a": a, "b": b}, {"x": a, "y.z": b}) for a, b in product([1, 2], [3, 4, 5])]
    assert [point.columns for point in points([])] == [{}]


def test_placed_copies_and_sets():
    table = {"a": {"b": [1]}, "c": 1}
    assert placed(table, {"a.b": [2], "d.e.f": 3}) == {"a": {"b": [2]}, "c": 1, "d": {"e": {"f": 3}}}
    assert table == {"a": {"b": [1]}, "c": 1}
    with pytest.raises(ValueError, match="leads through `c`"):
        placed(table, {"c.x": 1})
