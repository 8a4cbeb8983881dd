"""The order in which units go, against trying all of them with least squares."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import netcaliper as nc
from netcaliper.shrink.calls import find_calls
from netcaliper.shrink.held import Held
from netcaliper.shrink.judge import Judge
from netcaliper.shrink.paths import UnitPath, find_paths, gone_columns, unfit
from netcaliper.trace.batches import as_batch
from netcaliper.trace.graph import Graph
from networks import randomized


class Read(nn.Module):
    """Seven units, which two layers read; one of those has no bias."""

    def __init__(self):
        super().__init__()
        self.make, self.a, self.b = nn.Linear(5, 7), nn.Linear(7, 3), nn.Linear(7, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.make(x))
        return torch.cat([self.a(h), self.b(h)], 1)


def held(graph: Graph, x: Tensor) -> Held:
    return Held((replace(as_batch(x, form=graph.form), indices=torch.arange(len(x))),), 0)


def paths(graph: Graph, x: Tensor, gone=None) -> Any:
    calls = {call.node: call for call in find_calls(graph)[0]}
    data = held(graph, x)
    fit = [d for d in graph.structure.dimensions if unfit(d, calls, {}) is None]
    return find_paths(graph, fit, calls, data, Judge(graph, data), gone or {})


def lost(h: np.ndarray, y: np.ndarray, stay: list[int], bias: bool) -> float:
    """Return the share of the variance of y that the best fit of some units leaves."""
    rows = np.column_stack([h[:, stay], np.ones(len(h))]) if bias else h[:, stay]
    left = y - rows @ np.linalg.lstsq(rows, y, rcond=None)[0]
    return float((left**2).sum() / ((y - y.mean(0)) ** 2).sum())


@pytest.fixture(scope="module")
def read() -> tuple[Graph, Tensor]:
    model = randomized(Read().double(), 0)
    x = torch.randn(600, 5, generator=torch.Generator().manual_seed(0)).double()
    return nc.trace(model, x[:4]), x


def test_the_order_is_that_of_trying_all_with_the_joint_loss_of_the_readers(read):
    graph, x = read
    (path,), refused = paths(graph, x)
    assert not refused
    model: Any = graph.model
    with torch.no_grad():
        h = torch.tanh(model.make(x)).numpy()
        a, b = h @ model.a.weight.numpy().T, h @ model.b.weight.numpy().T
    stay, order, losses = list(range(7)), [], []
    for _ in range(len(path.order)):
        tried = {}
        for unit in stay:
            left = [u for u in stay if u != unit]
            tried[unit] = (lost(h, a, left, True), lost(h, b, left, False))
        best = min(tried, key=lambda unit: max(tried[unit]))
        order.append(best)
        losses.append(np.mean(tried[best]))
        stay.remove(best)
    assert path.order.tolist() == order
    assert np.allclose(path.loss[1:] / path.loss[-1], np.array(losses) / losses[-1], rtol=1e-6)


def test_losses_only_grow_and_start_at_nothing(read):
    graph, x = read
    (path,), _ = paths(graph, x)
    assert path.loss[0] == 0
    assert (np.diff(path.loss) >= 0).all()
    assert len(path.order) <= 6  # one unit stays


def test_the_loss_at_the_probe_is_the_divergence_of_the_fitted_network(monkeypatch, read):
    graph, x = read
    seen = []
    own = Judge.judge
    monkeypatch.setattr(Judge, "judge", lambda self, run: seen.append(own(self, run)) or seen[-1])
    (path,), _ = paths(graph, x)
    assert len(seen) == 1
    assert np.isclose(path.loss, seen[0].divergence, rtol=1e-9).any()


def test_units_that_have_gone_come_first(read):
    graph, x = read
    name = graph.structure.dimensions[0].name
    (path,), _ = paths(graph, x, {name: np.isin(np.arange(7), [2, 5])})
    assert path.start == 2
    assert path.order[:2].tolist() == [2, 5]
    assert sorted(set(path.order.tolist())) == sorted(path.order.tolist())
    assert (path.loss[:3] == 0).all()


def test_too_few_rows_are_said(read):
    graph, x = read
    found, refused = paths(graph, x[:6])
    assert found == ()
    assert "too few rows (6 for the 7 input columns of a)" in next(iter(refused.values()))


def unit_path(read, steps: int, kind: Any = "inner", units: int = 7) -> UnitPath:
    dimension = replace(read[0].structure.dimensions[0], kind=kind, units=units)
    return UnitPath(dimension, np.arange(steps), np.linspace(0, 1, steps + 1))


def test_places_leave_multiples(read):
    assert unit_path(read, 6).places(1).tolist() == [1, 2, 3, 4, 5, 6]
    assert unit_path(read, 6).places(3).tolist() == [1, 4]
    assert unit_path(read, 6, "heads").places(3).tolist() == [1, 2, 3, 4, 5, 6]
    long = unit_path(read, 240, units=300)
    assert len(long.places(1)) <= 30
    assert long.places(1)[-1] == 240
    assert all((300 - place) % 8 == 0 for place in long.places(8))


def test_what_is_gone_after_some_steps(read):
    path = unit_path(read, 3)
    assert np.flatnonzero(path.removed(2)).tolist() == [0, 1]
    cuts = {(name, axis): gone.tolist() for name, axis, gone in path.cuts()}
    assert cuts == {(name, axis): [0, 1, 2, 3] for name, axis in
                    (("make.weight", 0), ("make.bias", 0), ("a.weight", 1), ("b.weight", 1))}  # fmt: skip


def test_columns_of_a_convolution_go_by_unit():
    model = randomized(
        nn.Sequential(nn.Conv2d(2, 4, 1), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)), 0
    )
    graph = nc.trace(model, torch.randn(2, 2, 4, 4))
    calls = {call.node: call for call in find_calls(graph)[0]}
    gone = gone_columns(graph.structure.dimensions, calls, {"1": np.array([False, True, False, False])})
    (columns,) = gone.values()
    assert np.flatnonzero(columns).tolist() == list(range(9, 18))


def test_readers_that_cannot_be_fitted_are_named():
    model: Any = nn.Sequential(
        nn.Conv2d(2, 4, 1), nn.ReLU(), nn.ConvTranspose2d(4, 3, 2), nn.Flatten(), nn.Linear(75, 2)
    )
    graph = nc.trace(randomized(model, 0), torch.randn(2, 2, 4, 4))
    calls, refused = find_calls(graph)
    (why,) = [unfit(d, {c.node: c for c in calls}, refused) for d in graph.structure.dimensions if d.name == "1"]
    assert why == "2, which reads it, is a transposed convolution, which is not unfolded" or "transpose" in str(why)
