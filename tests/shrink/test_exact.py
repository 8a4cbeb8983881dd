"""Units that the weights prove to be of no use: planted ones go, exactly, and nothing else does."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import netcaliper as nc
from netcaliper.surgery.cut import cut_checked
from networks import randomized
from planted_slack import FAMILIES, build, check, exact_of


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=2)
@given(seed=st.integers(1000, 10**6))
def test_what_was_planted_goes_and_nothing_else(family, seed):
    """The benchmark does it over hundreds of networks (``benchmarks/exact_shrink.py``)."""
    assert check(build(family, seed)).wrong == []


class Two(nn.Module):
    """Two layers of different inputs, side by side in one reader."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.head = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(torch.cat([self.a(x), self.b(x + 1)], -1)))


def gone(found) -> dict[str, list[int]]:
    return {name: np.flatnonzero(units).tolist() for name, units in found.removed.items()}


def kinds(found) -> dict[str, tuple[int, ...]]:
    return {step.kind: step.units for step in found.steps}


def cut_difference(graph, found, x) -> float:
    with torch.no_grad():
        return float((cut_checked(graph, found.removed, found.state).module(x) - graph.model(x)).abs().max())


def test_equal_rows_of_different_layers_are_no_duplicates():
    model, x = randomized(Two().double(), 0), torch.randn(8, 4).double()
    with torch.no_grad():
        for source, name, row, target in ((model.a, "a", 1, 2), (model.b, "b", 1, 3)):
            own: Any = getattr(model, name)
            model.b.weight[target], model.b.bias[target] = source.weight[row], source.bias[row]
            assert own is source
    graph = nc.trace(model, x)
    found = exact_of(graph, x)
    assert list(gone(found).values()) == [[9]]  # the copy within b
    assert cut_difference(graph, found, x) < 1e-12


def mlp(widths=(5, 6, 6, 3), seed=0) -> Any:
    layers = [part for a, b in zip(widths, widths[1:], strict=False) for part in (nn.Linear(a, b), nn.ReLU())]
    return randomized(nn.Sequential(*layers[:-1]).double(), seed)


def test_the_constant_of_a_unit_goes_into_the_bias_of_its_reader():
    model, x = mlp(), torch.randn(8, 5).double()
    with torch.no_grad():
        model[0].weight[2], model[0].bias[2] = 0, 1.5
    graph = nc.trace(model, x)
    found = exact_of(graph, x)
    assert gone(found) == {"1": [2]}
    assert kinds(found) == {"constant": (2,)}
    assert torch.allclose(found.state["2.bias"], model[2].bias + 1.5 * model[2].weight[:, 2], rtol=1e-14)
    assert not found.state["2.weight"][:, 2].any()


def test_a_unit_whose_inputs_have_all_gone_goes_too():
    """Unit 3 of the second layer reads constant units only; without them it is a constant itself."""
    model, x = mlp(), torch.randn(8, 5).double()
    with torch.no_grad():
        model[0].weight[1:3], model[0].bias[1:3] = 0, torch.tensor([0.5, 2.0])
        model[2].weight[3] *= torch.tensor([0.0, 1, 1, 0, 0, 0])
    graph = nc.trace(model, x)
    found = exact_of(graph, x)
    assert gone(found) == {"1": [1, 2], "3": [3]}
    assert cut_difference(graph, found, x) < 1e-12


def test_one_unit_stays_where_all_are_of_no_use():
    model, x = mlp((5, 4, 3)), torch.randn(8, 5).double()
    with torch.no_grad():
        model[0].weight.zero_()
    graph = nc.trace(model, x)
    found = exact_of(graph, x)
    assert gone(found) == {"1": [1, 2, 3]}
    assert cut_difference(graph, found, x) < 1e-12


def test_a_skipped_reason_is_not_looked_for():
    model, x = mlp(), torch.randn(8, 5).double()
    with torch.no_grad():
        model[0].weight[0:2], model[0].bias[0:2] = 0, torch.tensor([1.0, -1.0])  # a constant and a dead one
        model[0].weight[4], model[0].bias[4] = model[0].weight[3], model[0].bias[3]
    graph = nc.trace(model, x)
    assert kinds(exact_of(graph, x)) == {"dead": (1,), "constant": (0,), "duplicate": (4,)}
    assert kinds(exact_of(graph, x, ("constant",))) == {"dead": (1,), "duplicate": (4,)}
    assert kinds(exact_of(graph, x, ("dead",))) == {"constant": (0,), "duplicate": (4,)}
    assert kinds(exact_of(graph, x, ("dead", "constant", "duplicate"))) == {}


def test_what_only_the_data_say_is_not_proved():
    model, x = mlp(), torch.randn(8, 5).double()
    with torch.no_grad():
        model[0].bias[2] = -1e3  # never fires on any data that were seen, but could
    assert exact_of(nc.trace(model, x), x).steps == ()


def test_the_graph_is_left_as_it_was():
    slack = build("conv", 3)
    before = {name: value.clone() for name, value in slack.model.state_dict().items()}
    assert exact_of(nc.trace(slack.model, slack.example), slack.data[:4]).steps
    assert all(torch.equal(before[name], value) for name, value in slack.model.state_dict().items())


def test_frozen_units_stay():
    """What the network returns is read by its user, whatever its weights are."""
    model, x = nn.Sequential(nn.Linear(5, 4), nn.ReLU()).double().eval(), torch.randn(8, 5).double()
    with torch.no_grad():
        model[0].weight[1], model[0].bias[1] = 0, 0  # type: ignore[index]
    assert exact_of(nc.trace(model, x), x).steps == ()
