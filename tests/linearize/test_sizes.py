"""The sizes of the bending part of a small network, by hand."""

import pytest
import torch
from torch import nn

from netcaliper.bending.bending import Bending
from netcaliper.linearize.sizes import lengths, sites_of, sizes
from netcaliper.trace.trace import trace


@pytest.fixture(scope="module")
def convolutional():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3)
    )
    bending = Bending(model, torch.randn(5, 1, 6, 6))
    return bending, sites_of(bending.graph, bending.sites)


def test_positions_are_pixels(convolutional):
    _, sites = convolutional
    assert [(site.units, site.positions, site.op, site.kind) for site in sites] == [
        (4, 36, "relu", "activation"),
        (2, 16, "relu", "activation"),
    ]


def test_counts_by_hand(convolutional):
    bending, sites = convolutional
    names = [site.name for site in sites]
    active = {names[0]: torch.tensor([True, False, True, True]), names[1]: torch.tensor([False, True])}
    found = sizes(bending.graph, sites, active)
    assert (found.units, found.active) == (6, 4)
    assert (found.calls, found.calls_before) == (3 * 36 + 1 * 16, 4 * 36 + 2 * 16)
    assert found.effective_width == 2.0
    assert found.effective_layers == pytest.approx(16 / 10)
    assert found.lengths.normalized == pytest.approx(3 / 4 + 1 / 2)
    assert sum(found.histogram) == pytest.approx(1.0)


def test_where_nothing_bends_there_is_no_width(convolutional):
    bending, sites = convolutional
    found = sizes(bending.graph, sites, {site.name: torch.zeros(site.units, dtype=torch.bool) for site in sites})
    assert (found.active, found.effective_width, found.effective_layers) == (0, None, None)
    assert found.lengths.normalized == 0.0


def test_a_network_that_cannot_be_walked_is_a_gap_with_its_reason():
    graph = trace(nn.Sequential(nn.LSTM(3, 4, batch_first=True)).eval(), torch.randn(2, 5, 3))
    found, histogram = lengths(graph, None)
    assert found.normalized is None
    assert found.reason
    assert histogram == ()
