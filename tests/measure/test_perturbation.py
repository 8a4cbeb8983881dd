"""What stands in for units, and their orders."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import netcaliper as nc
from bestiary import SequenceFirst
from netcaliper.feed.protocol import Plan
from netcaliper.measure.perturbation import Noise, UnitStatistics, order_of_units, taken_away, unit_statistics
from netcaliper.stats.sampling import CALIBRATE
from netcaliper.trace.batches import Batch


def conv() -> Any:
    torch.manual_seed(0)
    layers = (nn.Conv2d(2, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))
    return nn.Sequential(*layers).double().eval()


def images(examples: int = 60) -> torch.Tensor:
    return torch.randn(examples, 2, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def traced() -> Any:
    return nc.trace(conv(), images()[:2])


def test_orders_are_permutations_that_follow_from_seed_site_and_number_alone() -> None:
    (site,) = traced().sites
    orders = {(number, seed): order_of_units(site, number, seed) for number in range(4) for seed in (0, 1)}
    assert all(sorted(order) == list(range(6)) for order in orders.values())
    assert len({tuple(order) for order in orders.values()}) > 4
    assert order_of_units(site, 2, 1).tolist() == orders[2, 1].tolist()


def test_the_first_units_of_the_orders_are_uniform() -> None:
    (site,) = traced().sites
    firsts = np.bincount([order_of_units(site, number, 0)[0] for number in range(600)], minlength=6)
    assert abs(firsts - 100).max() < 40  # sd 9


def test_by_correlation_the_most_alike_to_a_random_first_unit_come_first() -> None:
    (site,) = traced().sites
    rng = np.random.default_rng(0)
    correlation = rng.random((6, 6))
    correlation = (correlation + correlation.T) / 2
    correlation[3] = correlation[:, 3] = 0  # a unit that does not vary
    statistics = UnitStatistics(np.zeros(6), correlation)
    for number in range(6):
        order = order_of_units(site, number, 5, statistics)
        assert sorted(order) == list(range(6))
        assert order[0] == order_of_units(site, number, 5)[0]
        along = [correlation[order[0], unit] for unit in order[1:]]
        assert all(a >= b for a, b in itertools.pairwise(along))
        if order[0] == 3:  # all equally unlike: as in the random order
            assert order.tolist() == order_of_units(site, number, 5).tolist()


@pytest.mark.parametrize("batch", [7, 60])
def test_statistics_are_those_of_the_calibrate_examples(batch: int) -> None:
    model, x, graph, plan = conv(), images(), traced(), Plan(60, 3)
    model[0].weight.data[4], model[0].bias.data[4] = 0, -1  # a dead channel
    graph = nc.trace(model, x[:2])
    (found,) = unit_statistics(graph, list(x.split(batch)), plan, graph.sites).values()
    with torch.no_grad():
        rows = model[:2](x)[plan.split == CALIBRATE].movedim(1, -1).reshape(-1, 6).numpy()
    assert found.mean == pytest.approx(rows.mean(0))
    live = [0, 1, 2, 3, 5]  # few enough rows that all are read
    assert found.correlation[np.ix_(live, live)] == pytest.approx(abs(np.corrcoef(rows[:, live].T)))
    assert not found.correlation[4].any()


def test_units_are_replaced_and_the_others_stay_bit_for_bit() -> None:
    graph, x = traced(), images(5)
    (site,) = graph.sites
    seen: list[torch.Tensor] = []
    graph.run(x, taps={site.name: lambda value, *_: seen.append(value.clone())})
    gone, mean = np.array([4, 1]), np.arange(6) + 0.5
    zero = taken_away(site, gone, graph, None)(seen[0])  # type: ignore[operator]
    filled = taken_away(site, gone, graph, mean)(seen[0])  # type: ignore[operator]
    for unit in range(6):
        if unit in gone:
            assert bool((zero[:, unit] == 0).all())
            assert bool((filled[:, unit] == mean[unit]).all())
        else:
            assert torch.equal(zero[:, unit], seen[0][:, unit])
            assert torch.equal(filled[:, unit], seen[0][:, unit])


def of_examples(index: np.ndarray) -> Batch:
    """Return a batch of examples with these indices in the data."""
    return Batch((torch.zeros(len(index), 1),), {}, None, len(index), indices=torch.from_numpy(index))


def test_noise_is_scaled_by_the_spread_of_each_example_and_follows_the_example() -> None:
    graph = traced()
    (site,) = graph.sites
    value = torch.randn(6, 6, 3, 3, dtype=torch.float64) * torch.arange(1, 7).reshape(6, 1, 1, 1)
    index = np.array([3, 9, 4, 11, 20, 5])
    noise = Noise(graph, of_examples(index), 6, seed=2)
    half, full = (noise.added(site, 1, level)(value) - value for level in (0.5, 1.0))  # type: ignore[operator]
    assert torch.allclose(2 * half, full)
    sd = value.reshape(6, -1).numpy().std(1)
    scaled = full.reshape(6, -1).numpy() / sd[:, None]
    assert scaled.std() == pytest.approx(1, abs=0.1)
    assert scaled.mean() == pytest.approx(0, abs=0.15)
    filled = Noise(graph, of_examples(index[[4, 0, 4]]), 2, seed=2).added(site, 1, 1.0)
    other = filled(value[[4, 0, 4]]) - value[[4, 0, 4]]  # type: ignore[operator]
    assert torch.allclose(other, full[[4, 0, 4]])  # another batch, one that is filled up with its first example
    assert not torch.allclose(noise.added(site, 2, 1.0)(value) - value, full)  # type: ignore[operator]


def test_noise_lies_as_the_value_does_where_the_batch_is_not_the_first_axis() -> None:
    torch.manual_seed(0)
    graph = nc.trace(SequenceFirst().eval(), torch.randn(4, 3, 4))
    (site,) = graph.sites
    assert site.batch_axis == 1
    value = torch.randn(3, 4, 6)  # tokens, batch, units
    index = np.array([7, 2, 8, 5])
    added = Noise(graph, of_examples(index), 4, seed=0).added(site, 0, 1.0)(value) - value  # type: ignore[operator]
    alone = Noise(graph, of_examples(index[2:3]), 1, seed=0).added(site, 0, 1.0)(value[:, 2:3]) - value[:, 2:3]  # type: ignore[operator]
    assert torch.allclose(added[:, 2:3], alone, atol=1e-6)
