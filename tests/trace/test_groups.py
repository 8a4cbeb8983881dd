"""What shares rows changes together."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from netcaliper.trace.groups import Side, WeightAxis, couple


def _axis(call: str, side: Side, rows: list[int]) -> WeightAxis:
    return WeightAxis(call, side, np.array(rows, dtype=np.int64))


def test_a_stream_is_one_group_and_inner_sites_are_in_none() -> None:
    sites = {"inner": np.array([7, 8]), "add": np.array([0, 1]), "relu": np.array([0, 1])}
    axes = [
        _axis("stem", "rows", [0, 1]),
        _axis("a", "rows", [7, 8]),
        _axis("b", "columns", [7, 8]),
        _axis("b", "rows", [0, 1]),
    ]
    (group,) = couple(sites, [*axes, _axis("c", "columns", [0, 1])], np.array([1, 99]))
    assert (group.name, group.sites, group.producers, group.consumers) == ("g1", ("add", "relu"), ("stem", "b"), ("c",))
    assert (group.units, group.frozen) == (2, 1)


def test_a_row_that_carries_nothing_couples_nothing() -> None:
    assert couple({"a": np.array([-1, 0]), "b": np.array([-1, 1])}, [], np.empty(0, dtype=np.int64)) == []


@given(st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=4), min_size=1, max_size=8))
def test_groups_equal_transitive_overlap(rows: list[list[int]]) -> None:
    sites = {f"s{i}": np.array(r) for i, r in enumerate(rows)}
    groups = couple(sites, [], np.empty(0, dtype=np.int64))
    reach = {name: {name} for name in sites}
    for _ in sites:
        for a, ours in sites.items():
            for b, theirs in sites.items():
                if set(ours.tolist()) & set(theirs.tolist()):
                    reach[a] |= reach[b]
    expected = {frozenset(names) for names in reach.values() if len(names) > 1}
    assert {frozenset(group.sites) for group in groups} == expected
