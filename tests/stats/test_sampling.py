import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netcaliper.stats.sampling import CALIBRATE, SELECT, VERIFY, folds, held, one_token, positions, shuffled, splits


def test_the_split_is_a_half_a_quarter_a_quarter():
    split = splits(np.arange(100_000), seed=0)
    for part, share in ((CALIBRATE, 0.5), (SELECT, 0.25), (VERIFY, 0.25)):
        assert np.mean(split == part) == pytest.approx(share, abs=0.006)


def test_folds_are_even_and_independent_of_the_split():
    index = np.arange(100_000)
    split, fold = splits(index, 3), folds(index, 3)
    table = np.array([[np.sum((split == s) & (fold == f)) for f in range(10)] for s in range(3)])
    expected = table.sum(1, keepdims=True) / 10
    assert np.sum((table - expected) ** 2 / expected) < 60  # chi2 with 27 degrees of freedom: p = .0003


def test_seeds_and_purposes_are_unrelated():
    index = np.arange(50_000)
    assert np.mean(splits(index, 0) == splits(index, 1)) == pytest.approx(0.375, abs=0.01)
    assert np.mean(folds(index, 0) == folds(index, 1)) == pytest.approx(0.1, abs=0.01)


@given(st.integers(-(2**40), 2**70), st.lists(st.integers(0, 10**9), min_size=1, max_size=50), st.integers(1, 49))
def test_every_choice_depends_on_seed_and_index_only(seed, index, cut):
    index = np.array(index)
    for choice in (splits, folds):
        whole = choice(index, seed)
        assert np.array_equal(whole, np.concatenate([choice(index[:cut], seed), choice(index[cut:], seed)]))


@given(
    total=st.integers(1, 300),
    rows=st.integers(1, 3000),
    width=st.integers(1, 40),
    seed=st.integers(0, 10),
    batch=st.integers(1, 300),
)
def test_rows_are_spread_evenly_distinct_and_free_of_the_batches(total, rows, width, seed, batch):
    index = np.arange(total) * 3 + 1
    rank = np.arange(total)
    example, position = positions(index, rank, total=total, rows=rows, width=width, seed=seed)
    assert len(example) == min(rows, total * width) or rows / total > width - 1
    assert len(example) <= rows
    assert len(set(zip(example.tolist(), position.tolist(), strict=True))) == len(example)
    assert position.size == 0 or (position.min() >= 0 and position.max() < width)
    per_example = np.bincount(example, minlength=total)
    assert per_example.max() - per_example.min() <= 1
    parts = []
    for start in range(0, total, batch):
        cut = slice(start, start + batch)
        e, p = positions(index[cut], rank[cut], total=total, rows=rows, width=width, seed=seed)
        parts += list(zip((e + start).tolist(), p.tolist(), strict=True))
    assert parts == list(zip(example.tolist(), position.tolist(), strict=True))


def test_positions_cover_the_site():
    example, position = positions(np.arange(4000), np.arange(4000), total=4000, rows=8000, width=49, seed=0)
    hits = np.bincount(position, minlength=49)
    assert len(example) == 8000
    assert hits.min() > 0.7 * 8000 / 49
    assert hits.max() < 1.3 * 8000 / 49


@given(st.lists(st.integers(1, 12), min_size=1, max_size=30), st.integers(1, 200), st.integers(0, 5))
def test_the_rows_of_an_example_depend_on_its_own_valid_positions_alone(counts, rows, seed):
    """Whatever padding lies before, between or behind them."""
    index, total = np.arange(len(counts)), len(counts)
    random = np.random.default_rng(seed)
    valid = np.array([random.permutation(np.arange(14) < count) for count in counts])
    example, position = positions(index, index, total=total, rows=rows, width=14, seed=seed, valid=valid)
    for one, count in enumerate(counts):
        _, alone = positions(index[[one]], index[[one]], total=total, rows=rows, width=count, seed=seed)
        assert position[example == one].tolist() == np.flatnonzero(valid[one])[alone].tolist()
        assert len(set(alone.tolist())) == len(alone)
        assert all(alone < count)


@given(st.integers(1, 400), st.integers(1, 400), st.integers(-5, 5))
def test_a_held_sample_has_the_size_asked_for_and_contains_every_smaller_one(examples, count, seed):
    chosen = held(examples, count, seed)
    assert chosen.sum() == min(examples, count)
    assert not (held(examples, max(1, count // 2), seed) & ~chosen).any()


def test_every_example_is_held_as_often_as_any_other():
    hits = np.sum([held(50, 10, seed) for seed in range(2000)], axis=0)
    assert abs(hits - 400).max() < 5 * np.sqrt(2000 * 0.2 * 0.8)


def test_a_pass_has_an_order_of_its_own_that_depends_on_its_examples_only():
    index = np.arange(1000) * 7
    first, second = shuffled(index, 0, 0), shuffled(index, 0, 1)
    for order in (first, second, shuffled(index, 1, 0)):
        assert sorted(order.tolist()) == list(range(1000))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.15
    assert abs(np.corrcoef(first, shuffled(index, 1, 0))[0, 1]) < 0.15
    assert np.array_equal(first, shuffled(index, 0, 0))
    part = index[::3]  # left out examples do not change the order of the rest
    rest = [i for i in index[first].tolist() if i in set(part.tolist())]
    assert part[shuffled(part, 0, 0)].tolist() == rest


def test_one_token_of_every_example_evenly_and_another_one_in_another_pass():
    index, tokens = np.arange(6000), np.full(6000, 6)
    chosen = one_token(index, tokens, 0, 0)
    assert np.bincount(chosen, minlength=6).min() > 850
    assert len(np.bincount(chosen)) == 6
    other = one_token(index, tokens, 0, 1)
    assert np.mean(chosen == other) == pytest.approx(1 / 6, abs=0.03)
    assert np.array_equal(one_token(index[50:90], tokens[50:90], 0, 0), chosen[50:90])
    few = one_token(index, index % 5, 3, 2)
    assert (few <= np.maximum(index % 5 - 1, 0)).all()
