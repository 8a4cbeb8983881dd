"""The parts of the data: nothing in two of them, and what is too few is said."""

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import netcaliper as nc
from netcaliper.errors import DataError
from netcaliper.shrink.parts import Parts, parts_of
from netcaliper.stats.intervals import fewest_trials
from netcaliper.trace.graph import Graph


def data(examples: int, seed: int = 0, size: int = 20) -> list[tuple[Tensor, Tensor]]:
    x = torch.randn(examples, 4, generator=torch.Generator().manual_seed(seed))
    return list(zip(x.split(size), (x[:, 0] > 0).long().split(size), strict=True))


@cache
def graph() -> Graph:
    return nc.trace(nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)).eval(), torch.zeros(3, 4))


def parts(own: Any, verification: Any = None, **given: Any) -> Parts:
    return parts_of(graph(), own, verification, **{"seed": 0, "force": False, "most": 10**6, "agreement": None} | given)


def indices(batches) -> set[int]:
    return {int(index) for batch in batches for index in batch.indices}


def test_the_parts_are_disjoint_and_hold_everything():
    found = parts(data(400))
    each = [indices(found.calibrate.batches), indices(found.select.batches), indices(found.verify())]
    assert set.union(*each) == set(range(400))
    assert [len(part) for part in each] == [found.sizes.calibrate, found.sizes.select, found.sizes.verify]
    assert sum(map(len, each)) == 400
    assert 150 < len(each[0]) < 250


def test_the_split_follows_from_the_seed_and_not_from_the_batches():
    one, other = parts(data(200)), parts(data(200, size=7))
    assert indices(one.verify()) == indices(other.verify())
    assert one.fingerprint == other.fingerprint
    assert indices(one.verify()) != indices(parts(data(200), seed=1).verify())


def test_as_many_are_held_as_fit():
    found = parts(data(400), most=30)
    assert found.calibrate.examples == 30
    assert indices(found.calibrate.batches) < indices(parts(data(400)).calibrate.batches)


def test_with_data_of_their_own_for_the_proof_half_is_chosen_on():
    found = parts(data(200), data(50, seed=1))
    assert indices(found.verify()) == set(range(50))
    assert found.sizes.calibrate + found.sizes.select == 200
    assert not found.forced


def test_examples_that_are_in_both_are_refused_with_their_number():
    both = data(50, seed=1)
    both[0] = data(200)[0]
    with pytest.raises(DataError, match=r"`verification` must hold no example of `data`, got 20 that are in both"):
        parts(data(200), both)
    found = parts(data(200), both, force=True)
    assert found.forced
    assert found.sizes.verify == 50


def test_the_same_data_are_refused_whatever_their_labels_and_order_are():
    own = data(100)
    turned = [(x.flip(0), 1 - y) for x, y in reversed(own)]
    with pytest.raises(DataError, match="got 100 that are in both"):
        parts(own, turned)


def test_too_few_for_the_bound_are_refused_with_the_number_needed():
    need = fewest_trials(0.99)
    with pytest.raises(DataError, match=rf"`agreement` 0.99 needs {need} select .* about {4 * need:,} examples"):
        parts(data(400), agreement=0.99)
    with pytest.raises(DataError, match=f"about {2 * need:,} examples"):
        parts(data(400), data(50, seed=1), agreement=0.99)
    assert parts(data(400), agreement=0.95).sizes.verify


def test_too_few_for_anything_are_refused():
    with pytest.raises(DataError, match="give more examples"):
        parts(data(3))
