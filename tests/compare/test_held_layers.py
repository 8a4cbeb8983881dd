"""What takes all held examples at once, against the same computed from features in numpy."""

import numpy as np
import pytest
import torch
from torch import nn

from bestiary import stock
from cka_oracle import stock_values
from netcaliper.compare import held_layers as module
from netcaliper.compare.alignment import Method, Network
from netcaliper.compare.held_layers import COMPONENTS, NEIGHBORS, held_layers
from netcaliper.errors import DataError
from netcaliper.feed.sample import hold
from netcaliper.stats.neighbors import overlaps
from netcaliper.stats.probe import split
from netcaliper.stats.procrustes import distances
from netcaliper.trace.layers import chosen_layers
from netcaliper.trace.trace import trace
from padded_models import Convolution, built, padded, sentences

N = 60
CHOSEN = ["input", "conv1", "relu", "layer1.0.add", "layer2.1.relu#2", "fc"]
METHOD = Method(batch=16, passes=1)


@pytest.fixture(scope="module")
def read():
    model, _ = stock(torch.float64)
    x = torch.randn(N, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    graph = trace(model, x[:4])
    network = Network(graph, chosen_layers(graph, CHOSEN)[0])
    sample = hold([x], graph.form, examples=50, seed=0, limit=None)
    values = stock_values(model, x)
    rows = [values[layer.name].flatten(1).numpy()[sample.index] for layer in network.layers]
    return network, sample, held_layers(network, sample, METHOD), [v - v.mean(0) for v in rows]


def test_components_and_norms_are_those_of_the_features_in_the_order_of_the_sample(read) -> None:
    _, _, found, rows = read
    assert len(found) == len(CHOSEN)
    for layer, x in zip(found, rows, strict=True):
        u, s, _ = np.linalg.svd(x, full_matrices=False)
        share = s**2 / np.sum(s**2)
        count = min(COMPONENTS, len(layer.principal.share))
        assert np.allclose(layer.principal.share[:count], share[:count], atol=1e-9)
        assert abs(u[:, 0] @ layer.principal.scores[:, 0]) == pytest.approx(1, abs=1e-6)
        assert layer.principal.trace == pytest.approx(np.sum(s**2))
        assert np.allclose(layer.norms, np.sum(x**2, 1))
        assert layer.probe is None


def test_neighbors_and_distances_are_those_of_the_features(read) -> None:
    _, _, found, rows = read
    overlap, apart = overlaps([layer.nearest for layer in found]), distances([layer.factor for layer in found])
    near = []
    for x in rows:
        distance = np.sum((x[:, None] - x[None]) ** 2, -1)
        np.fill_diagonal(distance, np.inf)
        near.append([set(np.argsort(row)[:NEIGHBORS].tolist()) for row in distance])
    for i in range(len(rows)):
        for j in range(len(rows)):
            expected = np.mean([len(a & b) for a, b in zip(near[i], near[j], strict=True)]) / NEIGHBORS
            assert overlap[i, j] == pytest.approx(expected)
            a, b = rows[i] / np.linalg.norm(rows[i]), rows[j] / np.linalg.norm(rows[j])
            assert apart[i, j] == pytest.approx(2 - 2 * np.linalg.norm(a.T @ b, "nuc"), abs=1e-6)


def test_layers_come_alone_where_they_do_not_fit_together(read, monkeypatch: pytest.MonkeyPatch) -> None:
    network, sample, found, _ = read
    monkeypatch.setattr(module, "AT_ONCE", 1)
    told: list[int] = []
    alone = held_layers(network, sample, METHOD, tell=lambda phase, done, total: told.append(done))
    assert told == list(range(1, len(CHOSEN) + 1))
    for one, other in zip(found, alone, strict=True):
        assert np.array_equal(one.norms, other.norms)
        assert one.nearest is not None
        assert other.nearest is not None
        assert np.array_equal(one.nearest, other.nearest)


def test_a_dead_layer_is_a_gap() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
    with torch.no_grad():
        model[0].bias.fill_(-100)  # type: ignore[union-attr]
    x = torch.randn(40, 4)
    graph = trace(model, x[:4])
    network = Network(graph, chosen_layers(graph)[0])
    found = held_layers(network, hold([x], graph.form, examples=40, seed=0, limit=None), METHOD)
    assert [layer.principal.reason is None for layer in found] == [True, True, False, False]
    assert found[2].nearest is None
    assert found[2].factor is None
    assert bool(np.isnan(overlaps([layer.nearest for layer in found])[2]).all())


def test_probes_are_trained_where_they_are_asked_for() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 12), nn.Tanh(), nn.Linear(12, 2)).eval()
    x = torch.randn(200, 4)
    labels = (x[:, 0] > 0).long()
    graph = trace(model, x[:4])
    network = Network(graph, chosen_layers(graph)[0])
    sample = hold([(x, labels)], graph.form, examples=200, seed=0, limit=None)
    held = sample.labels()
    assert held is not None
    found = held_layers(network, sample, METHOD, probed=["input", "1"], labels=held.numpy(), parts=split(200, seed=0))
    assert [layer.probe is not None for layer in found] == [True, False, True, False]
    assert found[0].probe is not None
    assert found[0].probe.accuracy > 0.85


def test_examples_of_other_shapes_are_refused_for_flattened_features() -> None:
    chosen, data = sorted(sentences(40), key=len), []
    for start in (0, 20):
        ids, mask = padded(chosen[start : start + 20])
        data.append({"input_ids": ids, "attention_mask": mask})
    graph = trace(built(Convolution()), data[0])
    network = Network(graph, chosen_layers(graph, ["words", "first", "head"])[0])
    sample = hold(data, graph.form, examples=40, seed=0, limit=None)
    with pytest.raises(DataError, match="features='pool'"):
        held_layers(network, sample, METHOD)
    assert len(held_layers(network, sample, Method(features="pool", batch=16, passes=1))) == 3
