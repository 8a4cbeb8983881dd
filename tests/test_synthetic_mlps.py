"""What ``benchmarks/synthetic_mlps.py`` takes for granted."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from benchmark_script import imported
from netcaliper.stats.ablation_curve import first_crossing
from netcaliper.zoo.mlp import MLP


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    with imported("synthetic_mlps") as module:
        yield module


def test_training_in_the_span_of_the_examples_is_the_training_itself(script: ModuleType) -> None:
    cell = script.Cell(inputs=300, units=24, rate=0.1, factor=100.0, epochs=3, examples=150, seed=1)
    train, test = script.data(cell.inputs, cell.teacher, cell.examples)
    plain = cell.untrained()
    assert script.descend(plain, train, cell)
    quick = script.trained(cell)
    with torch.no_grad():
        moved = (plain.hidden[0].linear.weight - cell.untrained().hidden[0].linear.weight).norm()
        apart = (plain.hidden[0].linear.weight - quick.hidden[0].linear.weight).norm()
        assert moved > 0.1 * plain.hidden[0].linear.weight.norm()
        assert apart < 1e-3 * moved
        torch.testing.assert_close(quick(test.x), plain(test.x), rtol=1e-3, atol=1e-3)


def test_copies_can_all_go_but_the_last(script: ModuleType) -> None:
    model: Any = MLP(2, (12,), 2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.hidden[0].linear.weight[:, 0] = 1.0
        model.head.weight[1] = 1.0
        model.head.bias[0] = 1e-3
    hidden = model.hidden[0](torch.stack([torch.linspace(-1, 1, 100), torch.zeros(100)], 1))
    curves = script.random_ablation(model, hidden, seed=0)
    assert np.all(curves[:, :-1] == 1)  # a single copy still decides
    assert np.all(curves[:, -1] == 0.5)  # without any, the bias answers for all
    assert first_crossing(curves, 0.8)[0] == pytest.approx(5 / 6 + 0.2 / 0.5 / 6)


def test_the_best_network_is_chosen_and_diverged_ones_are_not(script: ModuleType) -> None:
    records = [
        {"units": 32, "rate": 1.0},
        {"units": 32, "rate": 0.1, "accuracy": 0.9},
        {"units": 32, "rate": 0.01, "accuracy": 0.9},
        {"units": 64, "rate": 0.1, "accuracy": 0.5},
        {"units": 64, "rate": 0.01, "accuracy": 0.6},
    ]
    assert [record["rate"] for record in script.chosen(records, "units")] == [0.1, 0.01]
