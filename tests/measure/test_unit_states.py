import numpy as np
import pytest
import torch

import netcaliper as nc
from netcaliper.errors import DataError
from netcaliper.feed.protocol import Plan, Sight
from netcaliper.measure.unit_states import UnitStatesMeasure


def site_of(activation):
    return nc.trace(torch.nn.Sequential(torch.nn.Linear(3, 4), activation).eval(), torch.randn(2, 3)).sites[0]


def findings(activation, z, parts=1):
    plan, measure, site = Plan(len(z), 0), UnitStatesMeasure(), site_of(activation)
    states = [measure.state(site, plan, torch.device("cpu")) for _ in range(2)]
    for turn, index in enumerate(np.array_split(np.arange(len(z)), parts)):
        fold = torch.from_numpy(plan.fold[index])
        states[turn % 2].update(Sight(activation(z[index]), (z[index],), index, fold))
    states[0].merge(states[1])
    return measure.finish(site, states[0], plan)


@pytest.mark.parametrize("activation", [torch.nn.ReLU(), torch.nn.GELU(), torch.nn.Hardswish()])
def test_shards_merged_answer_like_one_process(activation):
    z = 3 * torch.randn(60, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole, split = findings(activation, z), findings(activation, z, 7)
    assert whole.fields.keys() == split.fields.keys()
    for name, array in whole.arrays.items():
        assert np.allclose(array, split.arrays[name], atol=1e-12), name


def test_what_is_told_depends_on_the_function():
    z = torch.randn(60, 1, 4, generator=torch.Generator().manual_seed(0))
    assert {"linear_zone", "always_on"} <= findings(torch.nn.ReLU(), z).fields.keys()
    assert "bending_share" not in findings(torch.nn.ReLU(), z).fields
    assert "linear_zone" not in findings(torch.nn.GELU(), z).fields
    assert {"linear_zone", "bending_share"} <= findings(torch.nn.Hardswish(), z).fields.keys()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_is_not_finite_is_named(bad):
    z = torch.randn(60, 1, 4)
    z[17, 0, 2] = bad
    with pytest.raises(DataError, match="site `1` must have finite values, got NaN or infinity in examples 0 to 59"):
        _raw(z)


def _raw(z):
    """Feed the pre-activations as values: a ReLU would hide -inf."""
    measure, plan = UnitStatesMeasure(), Plan(60, 0)
    state = measure.state(site_of(torch.nn.ReLU()), plan, torch.device("cpu"))
    state.update(Sight(z, (z,), np.arange(60), torch.from_numpy(plan.fold)))
