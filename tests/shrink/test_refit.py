"""Fitting calls again, against least squares on the rows themselves."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import netcaliper as nc
import padded_models
from netcaliper.shrink import refit as module
from netcaliper.shrink.calls import find_calls
from netcaliper.shrink.held import Held
from netcaliper.shrink.judge import Judge, without
from netcaliper.shrink.paths import find_paths, gone_columns
from netcaliper.shrink.refit import RIDGES, Fits, refit
from netcaliper.surgery.masking import masked
from netcaliper.trace.batches import as_batch
from netcaliper.trace.graph import NODE, Graph
from netcaliper.trace.residual import residual_blocks
from netcaliper.zoo.resnet import ResNet
from networks import randomized


def held(graph: Graph, x: Tensor, size: int = 50) -> Held:
    """Hold all examples, in batches."""
    batches, start = [], 0
    for part in x.split(size):
        batches.append(replace(as_batch(part, form=graph.form), indices=torch.arange(start, start + len(part))))
        start += len(part)
    return Held(tuple(batches), 0)


def fits(graph: Graph, removed: dict[str, list[int]], data: Held, *, beside: bool = True, dropped=()) -> Fits:
    calls, _ = find_calls(graph)
    calls = calls if beside else tuple(replace(call, beside=None) for call in calls)
    units = {name: np.isin(np.arange(graph.structure.dimension(name).units), gone) for name, gone in removed.items()}
    gone = gone_columns(graph.structure.dimensions, {call.node: call for call in calls}, units)
    smaller = graph.with_state(masked(graph.program.tensors, graph.structure, units))
    return refit(graph, calls, smaller, gone, data, dropped)


def value(graph: Graph, node: str, x: Tensor) -> Tensor:
    seen: list[Tensor] = []
    graph.run(x, taps={NODE + node: lambda value, *_: seen.append(value)})
    return seen[0]


def mlp(*widths: int, bias: bool = True) -> Any:
    layers = [part for a, b in itertools.pairwise(widths) for part in (nn.Linear(a, b, bias=bias), nn.ReLU())]
    return randomized(nn.Sequential(*layers[:-1]).double(), 0)


def conv() -> Any:
    layers = [
        nn.Conv2d(2, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 4, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
    ]
    return randomized(nn.Sequential(*layers, nn.Linear(4 * 9, 3)).double(), 0)


def rows_of(model: Any, node_input: Tensor) -> Tensor:
    return F.unfold(node_input, 3, padding=1, stride=2).transpose(1, 2).flatten(0, 1)


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_is_fitted_as_least_squares_on_its_rows(monkeypatch, bias):
    monkeypatch.setattr(module, "RIDGES", (1e-15,) * len(RIDGES))
    model, x = mlp(5, 8, 4, bias=bias), torch.randn(300, 5).double()
    graph = nc.trace(model, x[:4])
    found = fits(graph, {"1": [1, 4]}, held(graph, x))
    with torch.no_grad():
        z, y = torch.relu(model[0](x)), model(x)
    stay = [0, 2, 3, 5, 6, 7]
    rows = z[:, stay].numpy()
    rows = np.column_stack([rows, np.ones(len(rows))]) if bias else rows
    expected = np.linalg.lstsq(rows, y.numpy(), rcond=None)[0].T
    assert np.allclose(found.state["2.weight"][:, stay], expected[:, :6], rtol=1e-8, atol=1e-10)
    assert not found.state["2.weight"][:, [1, 4]].any()
    if bias:
        assert np.allclose(found.state["2.bias"], expected[:, 6], rtol=1e-8, atol=1e-10)
    assert list(found.fitted) == ["2"]


def test_a_convolution_is_fitted_as_least_squares_on_its_unfolded_rows(monkeypatch):
    monkeypatch.setattr(module, "RIDGES", (1e-15,) * len(RIDGES))
    model, x = conv(), torch.randn(120, 2, 6, 6).double()
    graph = nc.trace(model, x[:4])
    found = fits(graph, {"1": [0, 3]}, held(graph, x))
    with torch.no_grad():
        z = torch.relu(model[0](x))
        y = model[2](z).flatten(2).transpose(1, 2).flatten(0, 1)
    stay = [1, 2, 4, 5]
    rows = np.column_stack([rows_of(model, z[:, stay]).numpy(), np.ones(len(y))])
    expected = np.linalg.lstsq(rows, y.numpy(), rcond=None)[0].T
    assert np.allclose(found.state["2.weight"][:, stay].flatten(1), expected[:, :-1], rtol=1e-7, atol=1e-9)
    assert np.allclose(found.state["2.bias"], expected[:, -1], rtol=1e-7, atol=1e-9)


def test_the_second_layer_is_fitted_on_what_the_first_one_leaves(monkeypatch):
    """Its input is the smaller network's, its target the original one's."""
    monkeypatch.setattr(module, "RIDGES", (1e-15,) * len(RIDGES))
    model, x = mlp(5, 8, 7, 3), torch.randn(400, 5).double()
    graph = nc.trace(model, x[:4])
    found = fits(graph, {"1": [1, 4, 6]}, held(graph, x))
    smaller = graph.with_state(found.state)
    z, y = value(smaller, "relu_1", x), model(x).detach()
    expected = np.linalg.lstsq(np.column_stack([z.numpy(), np.ones(len(z))]), y.numpy(), rcond=None)[0].T
    assert np.allclose(found.state["4.weight"], expected[:, :-1], rtol=1e-6, atol=1e-8)
    assert list(found.fitted) == ["2", "4"]


def test_units_that_others_make_up_for_leave_the_outputs_as_they_are():
    """relu(2 a) = 2 relu(a): unit 3 is twice unit 1, and unit 6 three times unit 0."""
    model, x = mlp(5, 8, 6, 3), torch.randn(400, 5).double()
    with torch.no_grad():
        for unit, other, factor in ((3, 1, 2.0), (6, 0, 3.0)):
            model[0].weight[unit], model[0].bias[unit] = factor * model[0].weight[other], factor * model[0].bias[other]
    graph = nc.trace(model, x[:4])
    found = fits(graph, {"1": [3, 6]}, held(graph, x))
    new = torch.randn(200, 5).double()
    before, after = model(new).detach(), graph.with_state(found.state).run(new).output
    assert float((before - after).abs().max()) < 1e-9 * float(before.abs().max())


@pytest.fixture(scope="module")
def resnet() -> tuple[Graph, Tensor]:
    model = randomized(ResNet(14, 0.25, size=8, classes=4).double(), 0)
    x = torch.randn(220, 3, 8, 8).double()
    return nc.trace(model, x[:4]), x


class Stream(nn.Module):
    """Two residual blocks of linear layers."""

    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Linear(5, 6), nn.Linear(6, 3)
        self.up, self.down = (nn.ModuleList(nn.Linear(*sizes) for _ in range(2)) for sizes in ((6, 24), (24, 6)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for up, down in zip(self.up, self.down, strict=True):
            x = x + down(torch.relu(up(x)))
        return self.head(x)


def test_what_a_stream_has_lost_is_made_up_for():
    """The second block is fitted to the sum, so that it does what the first one no longer does."""
    model, x = randomized(Stream().double(), 0), torch.randn(1500, 5).double()
    graph = nc.trace(model, x[:4])
    data, other = held(graph, x[:1000], 200), Judge(graph, held(graph, x[1000:]))
    branch = residual_blocks(graph).blocks[0].branch
    with_it, without_it = (
        other.judge(without(graph.with_state(fits(graph, {}, data, beside=beside, dropped=[branch]).state), [branch]))
        for beside in (True, False)
    )
    assert with_it.divergence < 0.7 * without_it.divergence


def test_a_left_out_branch_is_made_up_for_by_the_later_ones(resnet):
    graph, x = resnet
    branch = next(block.branch for block in residual_blocks(graph).blocks if block.reason is None)
    data, other = held(graph, x[:160]), Judge(graph, held(graph, x[160:]))
    found = fits(graph, {}, data, dropped=[branch])
    assert found.fitted
    plain = other.judge(without(graph, [branch])).divergence
    assert other.judge(without(graph.with_state(found.state), [branch])).divergence < plain


def test_nothing_is_touched_where_nothing_changed(resnet):
    graph, x = resnet
    found = fits(graph, {}, held(graph, x[:60]))
    assert not found.fitted
    assert not found.kept
    assert all(torch.equal(found.state[name], tensor) for name, tensor in graph.program.tensors.items())


def test_calls_in_front_of_a_change_are_not_touched():
    model, x = mlp(5, 8, 7, 3), torch.randn(300, 5).double()
    graph = nc.trace(model, x[:4])
    found = fits(graph, {"3": [1]}, held(graph, x))
    assert list(found.fitted) == ["4"]
    assert torch.equal(found.state["0.weight"], model[0].weight)


def test_too_few_rows_are_said():
    model, x = mlp(5, 8, 4), torch.randn(6, 5).double()
    graph = nc.trace(model, x[:4])
    found = fits(graph, {"1": [1]}, held(graph, x))
    assert "too few rows" in found.kept["2"]
    assert not found.fitted


def test_the_same_examples_in_other_batches_give_the_same_fit():
    model, x = mlp(5, 8, 4), torch.randn(300, 5).double()
    graph = nc.trace(model, x[:4])
    one, other = (fits(graph, {"1": [1, 4]}, held(graph, x, size)).state["2.weight"] for size in (50, 300))
    assert torch.allclose(one, other, rtol=1e-9)


def test_global_random_numbers_are_not_drawn():
    model, x = mlp(5, 8, 4), torch.randn(100, 5).double()
    graph = nc.trace(model, x[:4])
    before = torch.get_rng_state()
    fits(graph, {"1": [1]}, held(graph, x))
    assert torch.equal(before, torch.get_rng_state())


def sequences(graph: Graph, length: int, fill: int) -> Held:
    """Hold 400 sentences in two batches, padded to a length with some token."""
    chosen, batches = padded_models.sentences(400), []
    for start in (0, 200):
        ids, mask = padded_models.padded(chosen[start : start + 200], length=length, fill=fill)
        batch = as_batch({"input_ids": ids, "attention_mask": mask}, form=graph.form)
        batches.append(replace(batch, indices=torch.arange(start, start + 200)))
    return Held(tuple(batches), 0)


def test_padding_is_no_row():
    """What lies under the padding, and how much of it there is, changes neither the order nor the fit."""
    model = padded_models.built(padded_models.Language())
    ids, mask = padded_models.padded(padded_models.sentences(4))
    graph = nc.trace(model, {"input_ids": ids, "attention_mask": mask})
    (hidden,) = (d.name for d in graph.structure.dimensions if d.units == 7)
    short, long = (fits(graph, {hidden: [1, 4]}, sequences(graph, *given)) for given in ((9, 0), (13, 5)))
    assert "body.layer.feed.2" in short.fitted
    assert short.fitted.keys() == long.fitted.keys()
    for name, tensor in short.state.items():
        torch.testing.assert_close(tensor, long.state[name], rtol=0, atol=1e-9)
    orders = []
    for given in ((9, 0), (13, 5)):
        data = sequences(graph, *given)
        calls, _ = find_calls(graph)
        paths, _ = find_paths(
            graph, graph.structure.dimensions, {c.node: c for c in calls}, data, Judge(graph, data), {}
        )
        orders.append({path.name: path for path in paths})
    one, other = (found[hidden] for found in orders)
    np.testing.assert_array_equal(one.order, other.order)
