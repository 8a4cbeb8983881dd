"""Kappa, against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from netcaliper.stats import kappa as module
from netcaliper.stats.kappa import Tally, kappa


def found(first: np.ndarray, second: np.ndarray, weight: np.ndarray, classes: int) -> np.ndarray:
    one, many = Tally(1, classes), Tally(len(second), classes)
    one.update(first[None], weight)
    many.update(second, weight)
    observed = (weight * (first == second)).sum(1) / weight.sum()
    return kappa(observed, many.chance(one.shares(0)))


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, 6), st.booleans())
def test_it_is_that_of_scikit_learn(seed: int, classes: int, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    first, other = rng.integers(classes, size=40), rng.integers(classes, size=(3, 40))
    second = np.where(rng.random((3, 40)) < 0.5, first, other)
    weight = rng.integers(0, 4, 40) / 3 if weighted else np.ones(40)
    expected = [cohen_kappa_score(first, row, sample_weight=weight) for row in second]
    assert found(first, second, weight, classes) == pytest.approx(np.array(expected), abs=1e-12)


def test_a_network_that_always_answers_the_same_agrees_by_chance_only() -> None:
    first = np.array([0] * 19 + [1])
    assert found(first, np.zeros((1, 20), dtype=int), np.ones(20), 2) == pytest.approx([0])
    assert np.isnan(found(np.zeros(20, dtype=int), np.zeros((1, 20), dtype=int), np.ones(20), 2)).all()


def test_parts_add_up_whatever_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    chosen, weight = rng.integers(7, size=(3, 50)), rng.integers(1, 3, 50).astype(float)
    whole = Tally(3, 7)
    whole.update(chosen, weight)
    monkeypatch.setattr(module, "AT_ONCE", 10)
    left, right = Tally(3, 7), Tally(3, 7)
    for part in (slice(0, 10), slice(10, 13)):
        left.update(chosen[:, part], weight[part])
    for series in range(3):
        right.update(chosen[series : series + 1, 13:], weight[13:], series)
    left.merge(right)
    share = whole.shares(2)
    assert share == pytest.approx(np.bincount(chosen[2], weight, 7) / weight.sum())
    assert [left.shares(i).tolist() for i in range(3)] == [whole.shares(i).tolist() for i in range(3)]
    assert left.chance(share).tolist() == whole.chance(share).tolist()


def test_choices_of_no_weight_leave_no_trace() -> None:
    tally = Tally(1, 5)
    tally.update(np.array([[0, 1, 2]]), np.array([1.0, 0.0, 1.0]))
    assert tally.shares(0).tolist() == [0.5, 0, 0.5, 0, 0]
