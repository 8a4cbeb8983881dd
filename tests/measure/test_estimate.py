from typing import Any

import pytest
import torch
from torch import nn

import netcaliper as nc
from netcaliper.measure import network_run
from netcaliper.measure.estimate import estimate
from netcaliper.measure.network_run import ABLATION_PASSES, NetworkRun
from netcaliper.measure.protocol import Plan
from netcaliper.measure.static import MEASURES, ONE_PASS


def planned(examples, width=8, names=MEASURES, **more) -> Any:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 6), nn.ReLU(), nn.Linear(6, 2)).eval()
    graph = nc.trace(model, torch.randn(3, 4))
    plan = Plan(examples, 0, more.pop("mode", "default"))
    return NetworkRun(graph, graph.sites, plan, ONE_PASS, frozenset(names), parameters=1, macs=48, **more)


def test_one_pass_leaves_verify_examples_out():
    run = planned(1000, names=("unit_states", "redundant"))
    read = 1000 - run.plan.sizes["verify"]
    cost = estimate([run])
    assert cost.passes == pytest.approx(read / 1000)
    assert cost.macs == 48 * read
    assert (cost.ablated, "units taken away" in str(cost)) == (0, False)


def test_every_further_question_costs_something():
    names = ["unit_states", "needed", "needed_at_97", "prunable"]
    passes = [planned(2000, names=names[:count]).passes() for count in range(1, 5)]
    assert passes == sorted(passes)
    assert len(set(passes)) == 4
    assert planned(2000, names=names, verify=False).passes() < passes[-1]
    assert planned(2000, names=names, ablation="mean").passes() > passes[-1]
    assert planned(2000, names=names).passes(0) == pytest.approx(passes[2])


def test_ablations_keep_to_their_budget_and_say_on_how_many_examples():
    run = planned(4000)
    without = planned(4000, names=set(MEASURES) - {"prunable"})
    assert 0.9 * ABLATION_PASSES < run.passes() - without.passes() <= ABLATION_PASSES
    assert f"taken away on {2 * run.ablated_examples:,} examples" in str(estimate([run, run]))
    twice = estimate([run, run], twin_passes=0.5)
    assert twice.passes == pytest.approx(2 * run.passes() + 0.5)


def test_single_sites_are_left_out_where_they_cost_too_much(monkeypatch):
    assert planned(200).apart
    monkeypatch.setattr(network_run, "ALWAYS_MACS", 0)
    run = planned(200)
    assert not run.apart
    assert run.passes() < planned(200).passes() + ABLATION_PASSES
    assert planned(20_000).apart


def test_memory_depends_on_the_width_and_not_on_the_examples():
    few, many = (estimate([planned(count)]) for count in (100, 10_000))
    assert few.memory == many.memory
    assert estimate([planned(100, width=64)]).memory > 2 * few.memory
