import numpy as np
import torch
from torch import nn

import netcaliper as nc
from netcaliper.feed.examples import chosen_examples


def test_the_chosen_examples_come_in_order_whatever_the_batches():
    x = torch.arange(50.0)[:, None].repeat(1, 3)
    graph = nc.trace(nn.Sequential(nn.Linear(3, 4), nn.ReLU()).eval(), x[:4])
    chosen = np.random.default_rng(0).random(50) < 0.4
    for cut in (7, 13, 50):
        seen: list[int] = []
        found = list(chosen_examples(graph, list(x.split(cut)), chosen, seen.append))
        assert torch.cat([batch.args[0] for batch in found])[:, 0].tolist() == np.flatnonzero(chosen).tolist()
        assert torch.cat([batch.indices for batch in found]).tolist() == np.flatnonzero(chosen).tolist()
        assert all(batch.size == min(cut, int(chosen.sum())) for batch in found[:-1])
        assert seen == [*range(cut, 50, cut), 50]


def test_nothing_chosen_gives_nothing():
    x = torch.randn(9, 3)
    graph = nc.trace(nn.Sequential(nn.Linear(3, 4), nn.ReLU()).eval(), x[:4])
    assert not list(chosen_examples(graph, [x], np.zeros(9, dtype=bool)))
