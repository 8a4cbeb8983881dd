"""The run of one network: what it plans, and what it says of a network that agrees with everything."""

from typing import Any

import pytest
import torch
from torch import nn

import netcaliper as nc
from netcaliper.feed.protocol import Plan
from netcaliper.measure import network_run
from netcaliper.measure.network_run import NetworkRun
from netcaliper.measure.static import MEASURES, ONE_PASS


class Residual(nn.Module):
    """One inner site, a stem and a sum."""

    def __init__(self):
        super().__init__()
        self.stem, self.inner, self.back, self.head = nn.Linear(6, 8), nn.Linear(8, 5), nn.Linear(5, 8), nn.Linear(8, 3)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        return self.head(torch.relu(x + self.back(torch.relu(self.inner(x)))))


def run_of(model, *, names=MEASURES, examples=500, mode: Any = "default", balanced=True, **more) -> Any:
    x = torch.randn(examples, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    data, model = list(x.split(100)), model.double().eval()
    if balanced:
        head = model.head if isinstance(model, Residual) else model[-1]
        with torch.no_grad():
            head.bias -= model(x).mean(0)
    graph = nc.trace(model, data[0])
    plan = Plan(examples, 0, mode)
    run = NetworkRun(graph, graph.sites, plan, ONE_PASS, frozenset(names), parameters=1, macs=100, **more)
    return run, data


def residual():
    torch.manual_seed(0)
    return Residual()


def test_inner_sites_are_ablated_and_in_paper_mode_the_trunk():
    assert [site.name for site in run_of(residual())[0].ablated_sites] == ["relu#2"]
    assert [site.name for site in run_of(residual(), mode="paper")[0].ablated_sites] == ["relu#3"]
    assert run_of(residual(), names=("needed",))[0].ablated_sites == ()


def test_sites_that_are_not_ablated_say_why():
    run, data = run_of(residual(), names=("unit_states", "prunable"))
    read = run.run(data, 100, lambda *_: None)
    reasons = {site.name: site.reason or "" for site in read.sites}
    assert "prunable" not in reasons["relu#2"]
    assert all("prunable: not ablated: " in reasons[name] for name in reasons if name != "relu#2")


def test_a_network_that_always_says_the_same_is_undefined_and_its_agreement_is_worth_little():
    model = residual()
    model.head.bias.data[1] = 100.0
    run, data = run_of(model, balanced=False)
    read = run.run(data, 100, lambda *_: None)
    assert read.network.prunable is None
    assert read.network.agreement == 1
    assert read.network.needed_at_97.units is None
    assert any("one class holds 100% of the predictions" in warning for warning in read.warnings)
    assert any(warning.startswith("network: prunable: undefined") for warning in read.warnings)
    assert read.passes < run.passes()  # nothing was taken away


def test_verification_can_be_left_to_another_run():
    run, data = run_of(residual(), names=("unit_states", "redundant", "needed"), verify=False)
    read = run.run(data, 100, lambda *_: None)
    assert (read.network.agreement, read.verification_reads) == (None, 0)


@pytest.mark.parametrize("ablation", ["zero", "mean"])
def test_what_stands_in_for_units_is_said(ablation):
    run, data = run_of(residual(), names=("prunable",), ablation=ablation)
    read = run.run(data, 100, lambda *_: None)
    assert read.network.ablation.perturbation == ablation
    assert read.network.ablation.examples == run.ablated_examples


def test_single_sites_are_left_out_where_they_cost_too_much(monkeypatch):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 3))
    monkeypatch.setattr(network_run, "ALWAYS_MACS", 0)
    run, data = run_of(model, names=("prunable",), examples=200)
    read = run.run(data, 100, lambda *_: None)
    assert read.network.prunable is not None
    assert all(site.prunable is None for site in read.sites)
    assert all("by itself it would cost more than" in (site.reason or "") for site in read.sites)
