"""Other rules take as many units of every dimension, never frozen ones."""

import numpy as np
import torch
from torch import nn

import netcaliper as nc
from netcaliper.shrink.baselines import random_units, smallest_units
from netcaliper.trace.graph import Graph
from networks import randomized


def traced() -> Graph:
    layers = [nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Conv2d(6, 5, 1), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 4, 3)]
    return nc.trace(randomized(nn.Sequential(*layers), 0), torch.randn(2, 2, 4, 4))


REMOVED = {"1": np.isin(np.arange(6), [0, 1, 2]), "3": np.isin(np.arange(5), [4])}


def test_random_units_are_as_many_and_follow_from_the_seed():
    graph = traced()
    found = random_units(graph.structure, REMOVED, 3)
    assert {name: int(gone.sum()) for name, gone in found.items()} == {"1": 3, "3": 1}
    assert all(np.array_equal(found[name], random_units(graph.structure, REMOVED, 3)[name]) for name in found)
    drawn = {tuple(random_units(graph.structure, REMOVED, seed)["1"]) for seed in range(12)}
    assert len(drawn) > 3


def test_the_smallest_units_are_those_of_the_smallest_weights():
    graph = traced()
    norms = graph.model[0].weight.detach().abs().sum((1, 2, 3)).numpy()  # type: ignore[index]
    found = smallest_units(graph, REMOVED)
    assert set(np.flatnonzero(found["1"])) == set(np.argsort(norms)[:3])
    assert np.flatnonzero(found["3"]).tolist() == [int(graph.model[2].weight.abs().sum((1, 2, 3)).argmin())]  # type: ignore[index]


def test_frozen_units_stay():
    graph = traced()
    graph.structure.dimension("1").frozen[:3] = True
    for found in (random_units(graph.structure, REMOVED, 0), smallest_units(graph, REMOVED)):
        assert np.flatnonzero(found["1"]).tolist() == [3, 4, 5]


def test_something_is_left_of_every_part_of_a_concatenation():
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other, self.last = nn.Linear(4, 2), nn.Linear(4, 6), nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(torch.relu(torch.cat([self.one(x), self.other(x)], 1)))

    graph = nc.trace(randomized(Branches(), 0), torch.randn(2, 4))
    (dimension,) = graph.structure.dimensions
    removed = {dimension.name: np.arange(8) > 1}
    removed[dimension.name][2] = False  # one of each branch at least: at most six can go
    removed[dimension.name][1] = True
    for seed in range(8):
        for found in (random_units(graph.structure, removed, seed), smallest_units(graph, removed)):
            gone = found[dimension.name]
            assert gone.sum() == 6
            assert gone[:2].sum() == 1
            assert gone[2:].sum() == 5
