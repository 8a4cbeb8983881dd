"""Exact states: mixing keeps chances and counts, equal states are one."""

import torch

from netcaliper.trace.ids import NONE
from netcaliper.trace.path_states import ABSENT, State, States


def started():
    states = States()
    states.add(State())
    return states


def test_equal_states_have_one_id():
    states = started()
    half = State((1, 1), 2, (1, 1), ((0, 1),))
    assert states.add(half) == states.add(State((1, 1), 2, (1, 1), ((0, 1),))) == 1
    assert states[1] == half


def test_a_dense_layer_averages_chances_and_adds_paths():
    states = started()
    ids = states.step(torch.zeros(1, 4, dtype=torch.int64), 1, 0, torch.tensor([1, 0, 0, 0]).bool(), _no(4))
    mixed = states.dense(ids, 1, 4)
    assert mixed.shape == (1, 1)
    assert states[int(mixed)] == State((3, 1), 4, (3, 1), ((0, 1),))


def test_groups_keep_apart():
    states = started()
    ids = states.step(torch.zeros(1, 1, dtype=torch.int64), 1, 0, torch.tensor([1, 1, 0, 0]).bool(), _no(4))
    assert [states[int(i)].paths for i in states.dense(ids, 1, 4, groups=2).flatten()] == [(0, 2), (2,)]
    assert states[int(states.dense(torch.zeros(1, 1, dtype=torch.int64), 1, 6, groups=3))].paths == (2,)


def test_positions_count_once_and_what_carries_nothing_leaves_the_mean():
    states = started()
    ids = torch.tensor([[0, 0, NONE, 0]])
    assert states.positions(ids, [1]).tolist() == [[0]]
    deeper = states.step(torch.zeros(1, 3, dtype=torch.int64), 1, 0, torch.tensor([True, False, False]), _no(3))
    mixed = states[int(states.positions(deeper, [1]))]
    assert (mixed.chance, mixed.parts, mixed.paths) == ((2, 1), 3, (1, 1))


def test_what_is_absent_is_told_from_what_never_carried():
    states = started()
    absent = torch.tensor([True, False])
    ids = states.step(torch.tensor([[0, NONE]]), 1, 0, absent, absent)
    assert ids.tolist() == [[ABSENT, NONE]]
    assert int(states.dense(ids, 1, 2)) == ABSENT
    assert int(states.dense(torch.tensor([[NONE, NONE]]), 1, 2)) == NONE


def test_branches_are_mixed_entry_by_entry():
    states = started()
    a, b = torch.tensor([[0, NONE, 0]]), torch.tensor([[0, 0, ABSENT]])
    ids = states.branches([a, b]).flatten().tolist()
    assert [states[i].paths for i in ids] == [(2,), (1,), (1,)]


def test_what_is_unknown_stays_unknown():
    states = started()
    unknown = states.add(State(unknown="a cell"))
    mixed = states.branches([torch.tensor([0]), torch.tensor([unknown])])
    assert states[int(mixed)].unknown == "a cell"
    assert states.step(mixed, 0, 0, torch.ones(1).bool(), _no(1)).tolist() == [unknown]


def test_numbers_never_overflow():
    states, ids = started(), torch.zeros(1, 1, dtype=torch.int64)
    for site in range(300):
        ids = states.step(states.dense(ids, 1, 4096), 1, site, torch.ones(1).bool(), _no(1))
    assert states[int(ids)].paths[-1] == 4096**300


def _no(units):
    return torch.zeros(units, dtype=torch.bool)
