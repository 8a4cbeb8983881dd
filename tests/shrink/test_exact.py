"""Units that the weights prove to be of no use: planted ones go, exactly, and nothing else does."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import netcaliper as nc
from netcaliper.surgery.cut import cut_checked
from networks import randomized
from planted_slack import FAMILIES, build, check, exact_of


@pytest.mark.parametrize("family", FAMILIES)
def test_what_was_planted_goes_and_nothing_else(family):
    """The benchmark does it over hundreds of networks (``benchmarks/exact_shrink.py``)."""
    assert check(build(family, 1000)).wrong == []


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
    model: Any = randomized(Two().double(), 0)
    x = torch.randn(8, 4).double()
    with torch.no_grad():
        for source, row, target in ((model.a, 1, 2), (model.b, 1, 3)):
            model.b.weight[target], model.b.bias[target] = source.weight[row], source.bias[row]
    graph = nc.trace(model, x)
    found = exact_of(graph, x)
    assert list(gone(found).values()) == [[9]]  # the copy within b
    assert cut_difference(graph, found, x) < 1e-12


def test_units_that_one_number_each_makes():
    """A column of a weight of one row: its stride is that of the row."""
    model: Any = randomized(nn.Sequential(nn.Linear(1, 6), nn.ReLU(), nn.Linear(6, 3)).double(), 0)
    with torch.no_grad():
        model[0].weight = nn.Parameter(torch.randn(1, 6, dtype=torch.float64).T)
        model[0].weight[4], model[0].bias[4] = model[0].weight[1], model[0].bias[1]
    x = torch.randn(8, 1).double()
    graph = nc.trace(model, x)
    found = exact_of(graph, x)
    assert list(gone(found).values()) == [[4]]
    assert cut_difference(graph, found, x) < 1e-12


def mlp(widths=(5, 6, 6, 3), seed=0) -> Any:
    layers = [part for a, b in itertools.pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU())]
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
    model: Any = nn.Sequential(nn.Linear(5, 4), nn.ReLU()).double().eval()
    x = torch.randn(8, 5).double()
    with torch.no_grad():
        model[0].weight[1], model[0].bias[1] = 0, 0
    assert exact_of(nc.trace(model, x), x).steps == ()


class Masked(nn.Module):
    """Units that one reader sees as they are and the other, without a bias, only where they are above 1."""

    def __init__(self):
        super().__init__()
        self.make, self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 3), nn.Linear(6, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.make(x))
        return self.a(y) + self.b(torch.relu(y - 1))


def test_a_reader_without_a_bias_is_no_hindrance_where_it_sees_nothing():
    model: Any = randomized(Masked().double(), 0)
    x = torch.randn(8, 4).double()
    with torch.no_grad():
        model.make.weight[1:3], model.make.bias[1:3] = 0, torch.tensor([0.5, 1.5])
    graph = nc.trace(model, x)
    found = exact_of(graph, x)
    assert list(gone(found).values()) == [[1]]
    assert "unit 2 of relu" in dict(found.stay)
    assert cut_difference(graph, found, x) < 1e-12


class Gamma(nn.Module):
    def __init__(self):
        super().__init__()
        self.make, self.norm, self.head = nn.Linear(5, 5), nn.BatchNorm1d(5), nn.Linear(25, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.norm(self.make(x))).flatten(1))


def test_a_batch_norm_along_another_axis_hides_nothing():
    model: Any = randomized(Gamma().double(), 0)
    with torch.no_grad():
        model.norm.weight[2] = 0
    x = torch.randn(8, 5, 5).double()
    graph = nc.trace(model, x)
    assert cut_difference(graph, exact_of(graph, x), x) < 1e-12


@pytest.mark.parametrize("what", ["dead", "constant", "duplicate"])
def test_something_is_left_of_a_branch_that_is_of_no_use(what):
    """The first of its units stays, and still counts once."""
    model: Any = randomized(Two().double(), 0)
    x = torch.randn(8, 4).double()
    with torch.no_grad():
        if what == "duplicate":
            model.a.weight[:], model.a.bias[:] = model.a.weight[0], 1.0
        else:
            model.a.weight[:], model.a.bias[:] = 0.0, 0.0 if what == "dead" else 1.0
    graph = nc.trace(model, x)
    found = exact_of(graph, x)
    assert list(gone(found).values()) == [[1, 2, 3, 4, 5]]
    assert kinds(found) == {what: (1, 2, 3, 4, 5)}
    assert cut_difference(graph, found, x) < 1e-12
