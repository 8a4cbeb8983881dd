import torch
from torch import nn

import netcaliper as nc
from netcaliper.measure.estimate import estimate
from netcaliper.measure.protocol import Plan


def sites(width):
    model = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2)).eval()
    return nc.trace(model, torch.randn(3, 4)).sites


def test_the_forward_passes_leave_verify_out():
    plan = Plan(1000, 0)
    cost = estimate(sites(8), plan, macs_of_example=48)
    assert cost.examples == 1000 - plan.sizes["verify"]
    assert cost.passes == cost.examples / 1000
    assert cost.macs == 48 * cost.examples
    assert f"{cost.examples:,} examples" in str(cost)


def test_memory_depends_on_the_width_and_not_on_the_examples():
    few, many = (estimate(sites(8), Plan(n, 0), 48) for n in (100, 10_000))
    assert few.memory == many.memory
    assert estimate(sites(64), Plan(100, 0), 48).memory > 5 * few.memory
