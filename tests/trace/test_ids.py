"""Compact ids behave like full ones."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from netcaliper.trace.ids import MIXED, NONE, Classes, along, compact, line, merge, varying, window


def test_compaction_keeps_what_varies() -> None:
    full = along(1, 4, torch.arange(5)).expand(2, 5, 3, 3)
    assert compact(full.clone()).shape == (1, 5, 1, 1)
    assert varying(compact(full.clone())) == (1,)


def test_places_without_units_do_not_count_as_variation() -> None:
    tokens = along(2, 3, torch.arange(4)).expand(2, 6, 4).clone()
    tokens[:, 0] = NONE  # a class token
    assert varying(compact(tokens)) == (2,)
    assert line(compact(tokens), 2, 4).tolist() == [0, 1, 2, 3]
    padded = torch.tensor([[0, NONE, NONE]])  # one unit and two empty columns
    assert varying(padded) == ()
    assert line(padded, 1, 3).tolist() == [0, NONE, NONE]
    assert window(padded, [1], keepdim=False).tolist() == [0]
    assert window(torch.tensor([[MIXED, NONE]]), [1], keepdim=False).tolist() == [MIXED]


def test_a_column_with_two_units_is_mixed() -> None:
    ids = torch.tensor([[0, 1], [0, 2]])
    assert line(ids, 1, 2).tolist() == [0, MIXED]
    assert window(ids, [0], keepdim=False).tolist() == [0, MIXED]


def test_merging() -> None:
    assert merge(torch.tensor([0, 1, NONE]), torch.tensor([0, 2, 5])).tolist() == [0, MIXED, 5]


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30))
def test_union_find_equals_connected_components(pairs: list[tuple[int, int]]) -> None:
    classes = Classes()
    ids = classes.fresh(20)
    component = list(range(20))
    for a, b in pairs:
        classes.union(torch.tensor([a]), torch.tensor([b]))
        old, new = component[b], component[a]
        component = [new if c == old else c for c in component]
    found = classes.find(ids).tolist()
    assert all((found[i] == found[j]) == (component[i] == component[j]) for i in range(20) for j in range(20))


def test_union_of_arrays_and_frozen_classes() -> None:
    classes = Classes()
    a, b = classes.fresh(4), classes.fresh(4)
    classes.union(a, b.flip(0))
    assert classes.find(b).tolist() == [3, 2, 1, 0]
    classes.freeze(b[:1])
    assert classes.frozen().tolist() == [3]
    assert classes.find(torch.tensor([NONE, MIXED])).tolist() == [NONE, MIXED]
