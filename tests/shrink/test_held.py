"""Examples that are held: rows and folds follow from the seed and the index."""

import numpy as np
import torch
from torch import Tensor, nn

import netcaliper as nc
from bestiary import FixedBatch
from netcaliper.shrink.held import Held, hold


def held(size: int, most: int = 100, seed: int = 0) -> Held:
    graph = nc.trace(nn.Linear(3, 2).eval(), torch.zeros(2, 3))
    x = torch.arange(120.0)[:, None].expand(120, 3)
    return hold(graph, list(x.split(size)), np.arange(120) % 3 != 0, most, seed)


def values(found: Held) -> list[int]:
    return [int(v) for batch in found.batches for v in batch.args[0][:, 0]]


def test_only_wanted_examples_are_held_each_once():
    found = held(16)
    assert values(found) == [n for n in range(120) if n % 3]
    assert found.examples == 80
    assert found.starts == tuple(16 * n for n in range(5))


def test_which_are_held_does_not_depend_on_the_batches():
    assert values(held(16, 20)) == values(held(50, 20)) != values(held(16, 20, seed=1))
    assert len(values(held(16, 20))) == 20


def test_rows_are_spread_over_all_examples():
    found = held(16)
    rows = [found.rows(number, 7, 160) for number in range(len(found.batches))]
    assert sum(len(example) for example, _ in rows) == 160
    for example, position in rows:
        assert (np.bincount(example) == 2).all()
        assert len(set(zip(example.tolist(), position.tolist(), strict=True))) == len(example)
        assert position.max() < 7
    assert sum(len(example) for example, _ in (found.rows(n, 7, 10**6) for n in range(len(found.batches)))) == 80 * 7


def test_rows_and_folds_do_not_depend_on_the_batches():
    def folds(found: Held) -> list[int]:
        return [int(f) for number in range(len(found.batches)) for f in found.fold(number, 5)]

    def places(found: Held) -> list[int]:
        return [int(p) for number in range(len(found.batches)) for p in found.rows(number, 9, 160)[1]]

    assert folds(held(16)) == folds(held(50))
    assert set(folds(held(16))) == set(range(5))
    assert places(held(16)) == places(held(50))


def test_a_graph_of_one_batch_size_holds_whole_batches_only():
    graph = nc.trace(FixedBatch().eval(), torch.randn(2, 4))
    x: list[Tensor] = list(torch.randn(9, 4).split(3))
    found = hold(graph, x, np.ones(9, dtype=bool), 9, 0)
    assert [batch.size for batch in found.batches] == [2, 2, 2, 2]
