"""What ``benchmarks/coverage.py`` counts, and that its second computation can tell a wrong reading."""

from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

import netcaliper as nc
from benchmark_script import imported
from bestiary import stock
from netcaliper.feed.protocol import Plan


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    with imported("coverage") as module:
        yield module


@pytest.fixture(scope="module")
def check() -> Iterator[ModuleType]:
    with imported("coverage_check") as module:
        yield module


@pytest.mark.parametrize(
    ("reason", "units"),
    [
        ("its units lie along 2 axes (1, 3) of shape (2, 8, 256, 16) (line 96 of coat.py: `a * b`)", 128),
        ("the axis of its units is not known in shape (48, 24): lost at experts", 24),
        ("the axis of its units is not known in shape (2, 4, 12, 12)", 4),
        ("lstm: the gates inside a recurrent cell are one operation of the graph, so they are no sites (64 units)", 64),
        ("something else", 0),
    ],
)
def test_units_of_a_skipped_place(script: ModuleType, reason: str, units: int) -> None:
    assert script.skipped_units(reason) == units


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("blocks.1.attn mixes the units before blocks.1.attn.proj", "blocks.7.attn mixes the units before norm"),
        (
            "its units lie along 2 axes (1, 3) of shape (2, 8, 256, 8) (line 96 of coat.py: `EV_hat = f(x)`)",
            "its units lie along 2 axes (1, 3) of shape (2, 8, 64, 16) (line 97 of coat.py: `y = g(x)`)",
        ),
        ("b.0 reads several units with one column (so)", "c reads several units with one column (so)"),
        ("consumer a.b reads every unit", "consumer c reads every unit"),
        ("a.grouped is not in the rule table (line 3 of a.py: `x`)", "a.grouped is not in the rule table"),
    ],
)
def test_reasons_of_two_places_are_one_reason(script: ModuleType, one: str, other: str) -> None:
    assert script.reason_of(one) == script.reason_of(other) == script.reason_of(script.reason_of(one))


def test_a_site_with_a_barrier_is_not_resolved_and_skipped_units_count(script: ModuleType) -> None:
    site = nc.trace(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval(), torch.randn(2, 3)).sites[0]
    assert script.resolved(site)
    assert not script.resolved(replace(site, barriers=("softmax mixes the units before b",)))
    assert not script.resolved(replace(site, refused="gt compares the units"))


@pytest.mark.parametrize("name", ["relu", "layer1.1.relu", "layer1.1.add"])
def test_the_second_computation_agrees_and_notices_every_kind_of_error(check: ModuleType, name: str) -> None:
    model, _ = stock()
    data = [torch.randn(16, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) for seed in range(2)]
    graph = nc.trace(model, data[0])
    reading = nc.measure(graph, data, only=("unit_states", "redundant"), twin=False)
    site, plan = graph.site(name), Plan(32, 0)
    number = graph.sites.index(site)
    source, value, index = check.site_values(model, graph, [site], data, plan)[name]
    assert source == "eager"
    assert check.differences(site, number, value, index, reading, plan) == []
    twice = value.copy()
    twice[..., 1] *= 2
    assert any("mean" in line for line in check.differences(site, number, twice, index, reading, plan))
    dead = value.copy()
    dead[..., 1] = 0
    assert any("dead" in line for line in check.differences(site, number, dead, index, reading, plan))
    assert any("rows" in line for line in check.differences(site, number, value, index, reading, Plan(32, 1)))


def test_a_unit_that_is_wrongly_called_removed_is_noticed(check: ModuleType) -> None:
    site = nc.trace(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval(), torch.randn(2, 3)).sites[0]
    rows = np.random.default_rng(0).normal(size=(60, 4))
    rows[:, 3] = rows[:, 0] - 2 * rows[:, 1] + 1
    assert check._removed(site, np.array([5, 5, 5, 3]), rows[:40], rows[40:]) == []
    (first, second) = check._removed(site, np.array([5, 5, 3, 5]), rows[:40], rows[40:])
    assert "calibrate" in first
    assert "select" in second
