"""The way down: at each step where least is lost for what is saved."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netcaliper.shrink.descent import descend
from netcaliper.shrink.sizes import Sizes


class Part:
    """A path with given losses."""

    def __init__(self, loss: list[float], start: int = 0) -> None:
        self.loss, self.start, self.name = np.array(loss), start, "part"

    def cuts(self):
        return []

    def places(self, multiple: int) -> np.ndarray:
        steps = np.arange(1, len(self.loss))
        return steps[(len(self.loss) - steps) % multiple == 0]


class Product(Sizes):
    """Two weights between three layers: sizes are products."""

    def __init__(self, parts: list[Part]) -> None:
        self.parts = parts  # no network behind it

    def of(self, places):
        left = [len(part.loss) - place for part, place in zip(self.parts, places, strict=True)]
        sizes = [5, *left, 3]
        parameters = sum(a * b for a, b in itertools.pairwise(sizes))
        return parameters, 2 * parameters + sum(left)

    def saved(self, number, places, to):
        found = []
        for place in to:
            then = list(places)
            then[number] = int(place)
            found.append([a - b for a, b in zip(self.of(places), self.of(then), strict=True)])
        return tuple(np.array(found, dtype=float).T)


losses = st.lists(st.floats(0, 1), min_size=2, max_size=6).map(lambda found: [0.0, *sorted(found)])


def slow(parts: list[Any], sizes: Any, weights: tuple[float, float]) -> list[tuple[int, ...]]:
    """Try every place of every path at every step."""
    whole, now = sizes.of([0] * len(parts)), [part.start for part in parts]
    way = [tuple(now)]
    while True:
        tried = []
        for number, part in enumerate(parts):
            for place in range(now[number] + 1, len(part.loss)):
                then = [*now[:number], place, *now[number + 1 :]]
                saved = [(a - b) / w for a, b, w in zip(sizes.of(now), sizes.of(then), whole, strict=True)]
                gain = sum(w * s for w, s in zip(weights, saved, strict=True))
                tried.append(((part.loss[place] - part.loss[now[number]]) / gain, number, place))
        if not tried:
            return way
        _, number, place = min(tried)
        now[number] = place
        way.append(tuple(now))


@settings(max_examples=20)
@given(st.lists(losses, min_size=1, max_size=3), st.sampled_from([(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)]))
def test_every_step_is_the_best_of_all(found, weights):
    parts: Any = [Part(loss) for loss in found]
    sizes: Any = Product(parts)
    way = descend(parts, sizes, parameters=weights[0], macs=weights[1])
    rates = slow(parts, sizes, weights)
    if len({round(value, 9) for part in parts for value in part.loss[1:]}) == sum(len(p.loss) - 1 for p in parts):
        assert [place.steps for place in way] == rates  # without ties


@settings(max_examples=20)
@given(st.lists(losses, min_size=1, max_size=3))
def test_sizes_only_shrink_and_losses_only_grow(found):
    parts: Any = [Part(loss) for loss in found]
    way = descend(parts, Product(parts), parameters=1.0, macs=1.0)
    for before, after in itertools.pairwise(way):
        assert after.parameters < before.parameters
        assert after.macs < before.macs
        assert after.loss >= before.loss
    assert way[-1].steps == tuple(len(part.loss) - 1 for part in parts)
    assert way[0].loss == 0


def test_it_begins_with_what_has_gone_already():
    parts: Any = [Part([0, 0, 0, 0.5], start=2), Part([0, 0.1])]
    way = descend(parts, Product(parts), parameters=1.0, macs=0.0)
    assert way[0].steps == (2, 0)


def test_units_that_stay_are_a_multiple():
    parts: Any = [Part([0.0, *np.linspace(0.1, 1, 11)]), Part([0.0, *np.linspace(0.2, 2, 7)])]
    way = descend(parts, Product(parts), parameters=1.0, macs=0.0, multiple=4)
    assert len(way) == 3
    for place in way[1:]:
        for part, steps in zip(parts, place.steps, strict=True):
            assert steps == 0 or (len(part.loss) - steps) % 4 == 0


def test_a_jump_is_taken_where_waiting_costs_more():
    """The first unit costs much and the next ones nothing: all go in one step."""
    parts: Any = [Part([0.0, 0.5, 0.5, 0.5])]
    way = descend(parts, Product(parts), parameters=1.0, macs=0.0)
    assert [place.steps for place in way] == [(0,), (3,)]
    assert way[-1].loss == pytest.approx(0.5)
