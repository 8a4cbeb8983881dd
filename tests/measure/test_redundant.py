from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import netcaliper as nc
from netcaliper.measure.protocol import Plan, Sight
from netcaliper.measure.redundant import RedundantMeasure


def state_of(x, plan, measure, site, parts) -> Any:
    """Feed ``[example, position, unit]`` in parts, every second part to a second state that is merged."""
    states = [measure.state(site, plan, torch.device("cpu")) for _ in range(2)]
    for turn, index in enumerate(np.array_split(np.arange(len(x)), parts)):
        fold = torch.from_numpy(plan.fold[index])
        states[turn % 2].update(Sight(x[index], (), index, fold))
    states[0].merge(states[1])
    return states[0]


def site_of(units):
    model = torch.nn.Sequential(torch.nn.Linear(3, units), torch.nn.ReLU()).eval()
    return nc.trace(model, torch.randn(2, 3)).sites[0]


@settings(max_examples=15)
@given(st.integers(0, 999), st.integers(1, 9))
def test_shards_merged_answer_like_one_process(seed, parts):
    x = torch.randn(80, 4, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x[:, :, 5] = 2 * x[:, :, 1] - 1
    x[:, :, 4] = x[:, :, 0] + x[:, :, 2]
    plan, measure, site = Plan(80, seed), RedundantMeasure(), site_of(6)
    whole = measure.finish(site, state_of(x, plan, measure, site, 1), plan)
    split = measure.finish(site, state_of(x, plan, measure, site, parts), plan)
    assert whole.fields["removable"] == split.fields["removable"]
    assert whole.fields["removable"]["1e-06"] == 2
    for name, array in whole.arrays.items():
        assert np.allclose(array, split.arrays[name], atol=1e-10), name


def test_a_wide_site_keeps_no_folds_and_says_so():
    plan, measure, site = Plan(1400, 0), RedundantMeasure(), site_of(520)
    x = torch.randn(1400, 1, 520, generator=torch.Generator().manual_seed(0))
    found = measure.finish(site, state_of(x, plan, measure, site, 3), plan)
    assert found.fields["redundant"].low is None
    assert found.fields["redundant"].over == "no interval: 520 units (folds are kept up to 512)"
