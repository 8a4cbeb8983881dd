"""Moments of consumers' inputs against the rows written out."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import netcaliper as nc
from netcaliper.feed.protocol import Plan
from netcaliper.feed.work_folder import WorkFolder
from netcaliper.measure import consumer_moments
from netcaliper.measure.consumer_input import ConsumerInput, consumer_input
from netcaliper.measure.consumer_moments import ConsumerMoments
from netcaliper.stats.covariance import Covariance
from netcaliper.stats.sampling import CALIBRATE
from netcaliper.trace.batches import as_batch


class Shared(nn.Module):
    """Three layers read the same units, as queries, keys and values do; a fourth reads them along with others."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.other = nn.Linear(4, 6), nn.Linear(4, 3)
        self.q, self.k, self.v = (nn.Linear(6, 2) for _ in range(3))
        self.last = nn.Linear(9, 2)

    def forward(self, x):
        y = torch.relu(self.stem(x))
        return self.q(y) + self.k(y) * self.v(y) + self.last(torch.cat([y, torch.tanh(self.other(x))], 1))


@pytest.fixture
def built(monkeypatch):
    """Count the columns of every state that is allocated."""
    allocated: list[int] = []

    def make(columns, *rest):
        allocated.append(columns)
        return Covariance(columns, *rest)

    monkeypatch.setattr(consumer_moments, "Covariance", make)
    return allocated


def moments_of(model, examples, folder=None, *, free=True) -> Any:
    graph = nc.trace(model.double().eval(), examples[:4])
    inputs: dict[Any, ConsumerInput] = {}
    for site in graph.sites:
        for consumer in site.consumers:
            source = consumer_input(graph, consumer)
            assert isinstance(source, ConsumerInput)
            inputs[consumer.node, consumer.operand] = source
    return graph, ConsumerMoments(graph, Plan(len(examples), 0), inputs, dict.fromkeys(inputs, free), folder)


@pytest.mark.parametrize("free", [True, False])
def test_consumers_that_read_the_same_rows_share_one_state(built, free):
    torch.manual_seed(0)
    model, x = Shared(), torch.randn(200, 4, dtype=torch.float64)
    graph, moments = moments_of(model, x, free=free)
    assert built == []  # nothing before the first tap
    for part in np.array_split(np.arange(200), 3):
        graph.run(x[part], taps=moments.taps(as_batch(x).take(torch.from_numpy(part))))
    assert built == [6, 9]
    used = torch.from_numpy(Plan(200, 0).split == CALIBRATE)
    with torch.no_grad():
        y = torch.relu(model.stem(x[used])).numpy()
    layers = {"q": model.q, "k": model.k, "v": model.v}
    readers = {}
    for consumer in graph.sites[0].consumers:
        if consumer.name in layers:
            key = (consumer.node, consumer.operand)
            readers[consumer.name] = moments.reader(key, np.arange(6), consumer.name)
            assert moments.rows(key) == len(y)
            assert moments.mean(key) == pytest.approx(y.mean(0))
    assert set(readers) == set(layers)
    expected = np.cov(y.T, ddof=0) if free else y.T @ y / len(y)
    for name, reader in readers.items():
        assert reader.moment is readers["q"].moment
        assert reader.moment == pytest.approx(expected)
        out = y @ layers[name].weight.detach().numpy().T
        assert reader.variance == pytest.approx(out.var(0).sum())


def test_nothing_is_allocated_where_the_rows_will_not_outnumber_the_columns(built):
    """A flattened layer has one row an example; the convolution before it many."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2)]
    x = torch.randn(120, 2, 10, 10, dtype=torch.float64)
    graph, moments = moments_of(nn.Sequential(*layers), x)
    graph.run(x, taps=moments.taps(as_batch(x)))
    assert built == [27]
    calibrate = Plan(120, 0).sizes["calibrate"]
    keys = list(moments.inputs)
    assert [moments.rows(key) for key in keys] == [36 * calibrate, calibrate]


def test_what_a_folder_holds_is_not_accumulated_again(built, tmp_path):
    torch.manual_seed(0)
    model, x = Shared(), torch.randn(60, 4, dtype=torch.float64)
    graph, moments = moments_of(model, x, WorkFolder(tmp_path, {}))
    assert moments.missing
    graph.run(x, taps=moments.taps(as_batch(x)))
    moments.finish()
    assert not moments.missing
    assert len(built) == 2
    _, again = moments_of(model, x, WorkFolder(tmp_path, {}))
    assert not again.missing
    assert again.taps(as_batch(x)) == {}
    for key in moments.inputs:
        columns = np.arange(moments.inputs[key].columns)
        one, two = (m.reader(key, columns, "") for m in (moments, again))
        assert one.moment.tobytes() == two.moment.tobytes()
        assert (one.variance, one.rows) == (two.variance, two.rows)
        assert moments.mean(key).tobytes() == again.mean(key).tobytes()
    assert len(built) == 2
