"""Layers of rows: what meets is tied, what cannot go freezes."""

import torch

from netcaliper.trace.ids import NONE
from netcaliper.trace.rows import Carried, RowLayer, Rows, disjoint, picked, placed, ranked


def made(rows: Rows, shape: tuple[int, ...], axes: tuple[int, ...], *, fixed: bool = False) -> Carried:
    """Return a value with rows of its own along some axes."""
    sizes = [size if axis in axes else 1 for axis, size in enumerate(shape)]
    ids = rows.classes.fresh(int(torch.tensor(sizes).prod())).reshape(sizes)
    return Carried(shape, (RowLayer(ids),), fixed=fixed)


def frozen(rows: Rows) -> set[int]:
    return {int(one) for ids, _ in rows.frozen for one in rows.classes.find(ids)}


def test_values_that_are_added_tie_their_rows_place_by_place() -> None:
    rows = Rows()
    a, b = made(rows, (2, 3), (1,)), made(rows, (3,), (0,))
    met = rows.meet([a, b], "add")
    assert met.layers[0].axes == {1}
    assert rows.classes.find(torch.arange(6)).tolist() == [0, 1, 2, 0, 1, 2]
    assert rows.frozen == []


def test_what_has_full_size_and_no_rows_freezes() -> None:
    rows = Rows()
    met = rows.meet([made(rows, (2, 3), (1,)), Carried((3,))], "a constant")
    assert (met.layers, met.lost) == ((), "a constant")
    assert frozen(rows) == {0, 1, 2}
    rows = Rows()
    assert rows.meet([made(rows, (2, 3), (1,)), Carried((2, 1))], "a mask").layers[0].axes == {1}
    assert rows.frozen == []


def test_heads_stay_where_the_places_inside_are_tied() -> None:
    rows = Rows()
    query, heads = made(rows, (4, 2, 3), (1, 2)), made(rows, (4, 2, 1), (1,))
    met = rows.meet([query, heads], "scores")
    assert met.layers[0].axes == {1}
    assert len(set(rows.classes.find(torch.arange(8)).tolist())) == 2
    rows = Rows()
    scale = made(rows, (3,), (0,), fixed=True)
    met = rows.meet([made(rows, (4, 2, 3), (1, 2)), scale], "a scale for every place inside a head")
    assert met.layers[0].axes == {1}
    assert frozen(rows) == {0, 1, 2}, "the scale cannot go, the heads can"


def test_a_layer_without_another_axis_is_frozen_and_lost() -> None:
    rows = Rows()
    value = made(rows, (2, 3), (1,))
    assert rows.without(value, [-1], "mean").lost == "mean"
    assert frozen(rows) == {0, 1, 2}


def test_rows_that_meet_an_empty_place_freeze() -> None:
    rows = Rows()
    ids = rows.classes.fresh(3)
    rows.tie(ids, torch.tensor([NONE, 0, 1]), "padding")
    assert frozen(rows) == {0}


def test_vectors_are_laid_out_along_an_axis_and_ranks_filled_up_in_front() -> None:
    rows = Rows()
    vector = made(rows, (3,), (0,))
    assert placed(vector, 1, 4).layers[0].ids.shape == (1, 3, 1, 1)
    assert ranked(vector, 2).shape == (1, 3)
    assert vector.along(-1) is vector.layers[0]
    assert not ranked(vector, 2).covers(0)


def test_of_two_layers_along_one_axis_the_first_stays() -> None:
    rows = Rows()
    a, b = made(rows, (3,), (0,)).layers[0], made(rows, (3,), (0,)).layers[0]
    assert disjoint(rows, Carried((3,), (a, b)), "flatten").layers == (a,)
    assert frozen(rows) == {3, 4, 5}


def test_picked_entries_keep_their_rows() -> None:
    layer = RowLayer(torch.tensor([[5, 6, 7]]), ("norm",))
    moved = picked(layer, torch.tensor([2, NONE, 0]))
    assert (moved.ids.tolist(), moved.through) == ([7, NONE, 5], ("norm",))
