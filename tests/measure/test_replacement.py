"""Networks with consumers fitted again, against the module with the same weights put in by hand."""

import weakref
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import netcaliper as nc
from netcaliper.measure import replacement
from netcaliper.measure.consumer_input import ConsumerInput, consumer_input
from netcaliper.measure.replacement import Agreement, Refitted, Remembered, compare, run_replaced
from netcaliper.stats.intervals import clopper_pearson_lower
from netcaliper.trace.batches import batches
from netcaliper.trace.graph import Graph


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.up, self.down = nn.Embedding(7, 4), nn.Linear(4, 6), nn.Linear(6, 7)

    def forward(self, x):
        return self.down(torch.relu(self.up(self.embed(x))))


class TwoReaders(nn.Module):
    """One site, read by two layers, the second of which another site follows."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b, self.head = nn.Linear(5, 8), nn.Linear(8, 3), nn.Linear(8, 6), nn.Linear(6, 3)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        return self.a(x) + self.head(torch.tanh(self.b(x)))


def network(name) -> tuple[Any, torch.Tensor]:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    if name == "tokens":
        return Tokens().double().eval(), torch.randint(0, 7, (60, 5), generator=generator)
    if name == "two readers":
        return TwoReaders().double().eval(), torch.randn(60, 5, generator=generator, dtype=torch.float64)
    x = torch.randn(60, 2, 6, 6, generator=generator, dtype=torch.float64)
    layers = [nn.Conv2d(2, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 5, 3, 2, 1, bias=False), nn.Tanh(), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(45, 1 if name == "regression" else 4)).double().eval(), x


def changed(graph, model, scale) -> tuple[Any, dict[str, Refitted]]:
    """Disturb every consumer's weight and bias, in a copy of the module and as a variant of the graph."""
    model, variant, generator = deepcopy(model), {}, torch.Generator().manual_seed(5)
    modules = dict(model.named_modules())
    for site in graph.sites:
        for consumer in site.consumers:
            source = consumer_input(graph, consumer)
            assert isinstance(source, ConsumerInput)
            noise = torch.randn(source.weight.shape, generator=generator, dtype=torch.float64)
            new = source.as_stored(source.weight + scale * noise.numpy())
            shift = scale * torch.randn(len(noise), generator=generator, dtype=torch.float64)
            layer: Any = modules[consumer.name]
            layer.weight.data = new
            if layer.bias is None:
                layer.bias = nn.Parameter(shift)
            else:
                layer.bias.data += shift
            variant[consumer.node] = Refitted(source, new, shift.numpy())
    return model, variant


@pytest.mark.parametrize("name", ["classification", "regression", "tokens", "two readers"])
def test_several_networks_are_compared_in_one_pass_as_the_modules_would_be_one_by_one(name, monkeypatch):
    model, x = network(name)
    graph = nc.trace(model, x[:4])
    others, variants = {}, {}
    for scale in (0.0, 0.2, 0.6):
        others[str(scale)], variants[str(scale)] = changed(graph, model, scale)
    runs = []
    honest = Graph.run
    monkeypatch.setattr(Graph, "run", lambda self, *a, **b: runs.append(1) or honest(self, *a, **b))
    found: Any = compare(graph, batches(list(x.split(17))), variants)
    assert len(runs) == 4 * (1 + 3)
    pieces: Any = compare(graph, batches(list(x.split(5))), variants)
    with torch.no_grad():
        before = model(x)
        for scale, other in others.items():
            after = other(x)
            one: Agreement = found[scale]
            if name == "regression":
                spent = ((after - before) ** 2).sum() / ((before - before.mean(0)) ** 2).sum()
                assert one.value == pytest.approx(1 - float(spent), abs=1e-12)
                assert (one.task, one.low, one.largest_class) == ("regression", None, None)
                assert one.meets(one.value)
            else:
                same = (before.argmax(-1) == after.argmax(-1)).double()
                same = same if same.dim() == 1 else same.mean(1)
                assert one.each == pytest.approx(same.numpy(), abs=1e-12)
                assert one.low == clopper_pearson_lower(int(np.floor(float(same.sum()) + 1e-9)), 60)
                votes = before.argmax(-1).flatten().bincount()
                assert one.largest_class == pytest.approx(float(votes.max() / votes.sum()))
                assert one.task == ("tokens" if name == "tokens" else "classification")
                assert one.meets(one.low or 0)
                assert not one.meets(1.0)
            assert one.max_abs_difference == pytest.approx(float((before - after).abs().max()), abs=1e-12)
            assert pieces[scale].each == pytest.approx(one.each, abs=1e-12, rel=1e-12)
    assert found["0.0"].value == 1
    assert found["0.6"].value < 0.95


def test_the_bound_of_shares_rounds_down():
    half = Agreement("tokens", np.array([1.0, 0.5, 0.25]), 0.0, 0.5)
    assert half.low == clopper_pearson_lower(1, 3)
    thirds = Agreement("tokens", np.array([1 / 3] * 3), 0.0, 0.5)
    assert thirds.low == clopper_pearson_lower(1, 3)  # a sum of 1 up to rounding is 1


def test_the_advantage_is_paired_over_examples():
    rng = np.random.default_rng(0)
    each = [(rng.random(200) < p).astype(float) for p in (0.9, 0.7, 0.6)]
    best, *others = (Agreement("classification", values, 0.0, 0.5) for values in each)
    mean, low, high = best.advantage(others)
    difference = each[0] - (each[1] + each[2]) / 2
    expected = stats.ttest_1samp(difference, 0).confidence_interval(0.95)
    assert mean == pytest.approx(difference.mean())
    assert (low, high) == pytest.approx((expected.low, expected.high))
    assert best.advantage([best]) == (0, 0, 0)


def test_predictions_of_the_untouched_network_are_computed_once_if_they_are_small(monkeypatch):
    model, x = network("classification")
    graph = nc.trace(model, x[:4])
    variants = {"other": changed(graph, model, 0.3)[1]}
    runs = []
    honest = Graph.run
    monkeypatch.setattr(Graph, "run", lambda self, *a, **b: runs.append(1) or honest(self, *a, **b))
    for held, expected in ((2**28, (8, 4)), (15 * 4 * 8, (8, 7)), (0, (8, 8))):
        monkeypatch.setattr(replacement, "_HELD", held)
        untouched, found = Remembered(graph), []
        for count in expected:
            runs.clear()
            found.append(compare(graph, batches(list(x.split(15))), variants, untouched))
            assert len(runs) == count, held
        assert found[0]["other"].each.tolist() == found[1]["other"].each.tolist()


def test_inputs_of_consumers_live_no_longer_than_their_last_reader(monkeypatch):
    torch.manual_seed(0)
    layers = [part for _ in range(4) for part in (nn.Linear(5, 5), nn.ReLU())]
    model = nn.Sequential(*layers, nn.Linear(5, 3)).double().eval()
    x = torch.randn(6, 5, dtype=torch.float64)
    graph = nc.trace(model, x)
    seen: list[weakref.ref] = []
    honest = ConsumerInput.replaced

    def replaced(self, graph, value, *rest):
        alive = [number for number, ref in enumerate(seen) if ref() is not None]
        assert alive in ([], [len(seen) - 1])  # the one before may be on its way out
        seen.append(weakref.ref(value))
        return honest(self, graph, value, *rest)

    monkeypatch.setattr(ConsumerInput, "replaced", replaced)
    (batch,) = batches([x])
    run_replaced(graph, batch, changed(graph, model, 0.1)[1])
    assert len(seen) == 4


def test_what_cannot_be_compared_says_why():
    model, x = network("regression")
    graph = nc.trace(model, x[:4])
    assert compare(graph, [], {}) == "there are no examples"
    model[5].weight.data[:] = 0
    assert compare(graph, batches([x]), {}) == "the output does not vary over the examples"
    odd = nn.Sequential(*network("classification")[0], nn.Unflatten(1, (4, 1, 1))).eval()
    assert "neither scores of classes" in str(compare(nc.trace(odd, x[:4]), batches([x]), {}))
