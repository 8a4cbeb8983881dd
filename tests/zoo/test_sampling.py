"""Subsets hold every class in its share; random labels know nothing of the true ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netcaliper.errors import DataError
from netcaliper.zoo.sampling import HELD_OUT, held_out, noisy_labels, numbered, random_labels, stratified


@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=60), seed=st.integers(0, 9), data=st.data())
def test_every_class_has_its_share(labels, seed, data):
    y = np.array(labels)
    examples = data.draw(st.integers(1, len(y)))
    rows = stratified(y, examples, seed)
    assert len(set(rows.tolist())) == len(rows) == examples
    assert (np.diff(rows) > 0).all()
    for label in np.unique(y):
        share = (y == label).sum() * examples / len(y)
        assert abs((y[rows] == label).sum() - share) < 1
    assert np.array_equal(rows, stratified(y, examples, seed))


def test_a_small_subset_lies_in_a_large_one():
    y = np.repeat(np.arange(10), 30)
    small, large, other = stratified(y, 50, 3), stratified(y, 200, 3), stratified(y, 50, 4)
    assert set(small.tolist()) < set(large.tolist())
    assert set(small.tolist()) != set(other.tolist())


@pytest.mark.parametrize("examples", [0, 5])
def test_more_than_there_are(examples):
    with pytest.raises(DataError, match=f"`examples` must be from 1 to the 4 examples there are, got {examples}"):
        stratified(np.zeros(4, dtype=np.int64), examples)


def test_random_labels_are_uniform_and_a_prefix_of_more():
    labels = random_labels(20_000, 10, seed=1)
    assert np.abs(np.bincount(labels, minlength=10) / 20_000 - 0.1).max() < 0.01
    assert np.array_equal(random_labels(123, 10, seed=1), labels[:123])
    assert not np.array_equal(random_labels(123, 10, seed=2), labels[:123])


def test_labels_are_numbered_by_their_place():
    assert numbered(np.array([5, 0, 9, 5, 2]), (9, 5)).tolist() == [1, -1, 0, 1, -1]
    assert numbered(np.array([1, 0]), (7,)).tolist() == [-1, -1]


def test_noise_depends_on_seed_and_row_alone():
    y = np.arange(20_000) % 7
    noisy = noisy_labels(y, 7, 0.3, seed=4)
    assert abs((noisy != y).mean() - 0.3) < 0.01
    assert np.array_equal(noisy[:123], noisy_labels(y[:123], 7, 0.3, seed=4))
    assert np.array_equal(noisy_labels(y, 7, 0.0, seed=4), y)
    assert (noisy_labels(y, 7, 1.0, seed=4) != y).all()
    steps = np.bincount((noisy - y) % 7, minlength=7)[1:] / (noisy != y).sum()
    assert np.abs(steps - 1 / 6).max() < 0.02


def test_held_out_are_one_in_twenty_by_index_alone():
    marked = held_out(20_000)
    assert abs(marked.mean() - 1 / HELD_OUT) < 0.005
    assert np.array_equal(held_out(300), marked[:300])
    # Not the examples of one fold or split of a measure, whose seed is 0 by default.
    from netcaliper.stats.sampling import folds, splits

    for parts in (folds(np.arange(20_000), 0), splits(np.arange(20_000), 0)):
        shares = np.bincount(parts[marked]) / np.bincount(parts)
        assert np.abs(shares - 1 / HELD_OUT).max() < 0.02


def test_too_few_to_hold_one_out():
    first = int(np.flatnonzero(held_out(200))[0])
    assert held_out(first + 1).sum() == 1
    with pytest.raises(DataError, match=f"one example in 20 is held out, here 0 of {first}; give more examples"):
        held_out(first)
