from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import netcaliper as nc
from netcaliper.errors import DataError
from netcaliper.feed.one_pass import OnePass
from netcaliper.feed.protocol import Plan
from netcaliper.measure.needed import NeededStates
from netcaliper.measure.static import ONE_PASS
from netcaliper.stats.sampling import VERIFY


def network() -> Any:
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4), nn.ReLU(), nn.Linear(4, 2))
    return nn.Sequential(*layers).eval()


def test_every_tap_sees_every_example_but_those_to_verify():
    x = torch.randn(60, 1, 6, 6)
    graph, plan = nc.trace(network(), x[:2]), Plan(60, 0)
    looked, said = [], []
    needed = NeededStates(graph, graph.sites, plan)
    one = OnePass(graph, graph.sites, ONE_PASS, needed.moments, plan, lambda batch, _: looked.append(batch.indices))
    one.run(list(x.split(11)), 11, lambda *step: said.append(step))
    read = np.flatnonzero(plan.split != VERIFY)
    assert torch.cat(looked).tolist() == read.tolist()
    assert one.positions == {site.name: size for site, size in zip(graph.sites, (16, 1), strict=True)}
    states: Any = one.states[graph.sites[0].name]["unit_states"]
    facts = states.states.finish(None)
    assert facts.examples == len(read)
    assert needed.judge(graph.sites[1]).rows == np.count_nonzero(plan.split == 0)
    assert said[-1] == ("reading", 60, 60)


@pytest.mark.parametrize(("examples", "words"), [(50, "more"), (70, "only 60")])
def test_data_of_another_length_than_were_counted_are_refused(examples, words):
    x = torch.randn(60, 1, 6, 6)
    graph = nc.trace(network(), x[:2])
    one = OnePass(graph, graph.sites, ONE_PASS, None, Plan(examples, 0))
    with pytest.raises(DataError, match=f"got {words} on the second"):
        one.run(list(x.split(11)), 11, lambda *_: None)
