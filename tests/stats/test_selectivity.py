import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from netcaliper.stats.selectivity import ClassRows, ClassSums, best_class, selectivity


def one_group(rows, labels):
    """Return ``[rows, units]`` with a label each as sums, by a loop."""
    distinct = np.unique(labels)
    sums = np.array([sum(rows[i] for i in range(len(rows)) if labels[i] == label) for label in distinct])
    return ClassRows(distinct, np.array([[np.count_nonzero(labels == label)] for label in distinct]), sums[:, None])


def oracle(rows, labels, best):
    """Return selectivity for given labels of the best classes, from the rows themselves."""
    found = np.zeros(rows.shape[1])
    for unit, label in enumerate(best):
        mine, rest = rows[labels == label, unit], rows[labels != label, unit]
        if len(mine) and len(rest) and mine.mean() + rest.mean() > 0:
            found[unit] = (mine.mean() - rest.mean()) / (mine.mean() + rest.mean())
    return found


def data(seed, examples=40, positions=3, units=5, classes=4):
    rng = np.random.default_rng(seed)
    value = np.maximum(rng.normal(size=(examples, positions, units)), 0)
    return value, rng.integers(0, classes, examples) * 7, rng.integers(0, 3, examples)


def fed(value, labels, group, parts):
    """Feed in parts, every second to a second state that is merged."""
    states = [ClassSums(value.shape[2], 3) for _ in range(2)]
    for turn, index in enumerate(np.array_split(np.arange(len(value)), parts)):
        states[turn % 2].update(torch.from_numpy(value[index]), labels[index], group[index])
    states[0].merge(states[1])
    return states[0]


@given(st.integers(0, 999), st.integers(1, 7))
def test_streamed_is_whole_is_merged(seed, parts):
    value, labels, group = data(seed)
    rows = fed(value, labels, group, parts).finish()
    assert rows.labels.tolist() == sorted(set(labels.tolist()))
    for number, label in enumerate(rows.labels):
        for g in range(3):
            chosen = value[(labels == label) & (group == g)].reshape(-1, 5)
            assert rows.counts[number, g] == len(chosen)
            assert np.allclose(rows.sums[number, g], chosen.sum(0), atol=1e-12)


@given(st.integers(0, 999))
def test_the_index_is_that_of_the_rows(seed):
    value, labels, group = data(seed)
    value[:, :, 2] = 0
    flat, repeated = value.reshape(-1, 5), np.repeat(labels, 3)
    rows = fed(value, labels, group, 2).finish().of(np.arange(3))
    best = best_class(rows)
    assert best[2] == -1
    for unit in (0, 1, 3, 4):
        means = [flat[repeated == label, unit].mean() for label in rows.labels]
        assert best[unit] == np.argmax(means)
    found = selectivity(rows, best)
    assert np.allclose(found, oracle(flat, repeated, np.where(best < 0, -1, rows.labels[best])), atol=1e-12)
    assert ((found >= 0) & (found <= 1)).all()


@given(st.integers(0, 999), st.floats(1e-3, 1e3))
def test_it_does_not_depend_on_the_scale_or_on_the_names_of_classes(seed, scale):
    value, labels, _ = data(seed)
    flat, repeated = value.reshape(-1, 5), np.repeat(labels, 3)
    one, other = one_group(flat, repeated), one_group(scale * flat, 100 - repeated)
    assert np.allclose(selectivity(one, best_class(one)), selectivity(other, best_class(other)), atol=1e-12)


def test_planted_units():
    labels = np.repeat([0, 1, 2], 10)
    rows = np.zeros((30, 4))
    rows[labels == 1, 0] = 5  # answers to one class alone
    rows[:, 1] = 3  # to all alike
    rows[:, 2] = np.where(labels == 2, 3, 1)  # (3 - 1) / (3 + 1)
    rows[labels != 0, 3] = 1  # to two of three: rest is one half, (1 - .5) / (1 + .5)
    found = one_group(rows, labels)
    assert best_class(found).tolist() == [1, 0, 2, 1]
    assert selectivity(found, best_class(found)).tolist() == [1, 0, 0.5, 1 / 3]


def test_a_class_kept_on_other_rows_may_be_the_wrong_one():
    labels = np.array([0, 0, 1, 1])
    rows = one_group(np.array([[0.0], [0.0], [4.0], [2.0]]), labels)
    assert selectivity(rows, np.array([0])).tolist() == [-1]


def test_means_without_rows_give_zero():
    rows = ClassRows(np.array([3, 5]), np.array([[4], [0]]), np.array([[[2.0]], [[0.0]]]))
    assert best_class(rows).tolist() == [0]
    assert selectivity(rows, np.array([0])).tolist() == [0]  # no other class
    assert selectivity(rows, np.array([1])).tolist() == [0]  # no row of its own


def test_groups_can_be_pooled_on_either_side_of_a_merge():
    value, labels, group = data(0)
    for pooled in ((0,), (1,), (0, 1), ()):
        halves = [fed(value[part], labels[part], group[part], 1) for part in (slice(0, 20), slice(20, 40))]
        for number in pooled:
            halves[number].pool(1)
        halves[0].merge(halves[1])
        assert halves[1].groups == (2 if 1 in pooled else 3), "the other state was changed"
        whole, rows = fed(value, labels, group, 1).finish(), halves[0].finish()
        assert rows.counts.shape[1] == (2 if pooled else 3)
        assert np.array_equal(rows.counts[:, 0], whole.counts[:, 0])
        assert np.array_equal(rows.counts.sum(1), whole.counts.sum(1))
        assert np.allclose(rows.sums.sum(1), whole.sums.sum(1), atol=1e-12)


def test_half_precision_is_summed_in_single():
    value = torch.full((2, 4096, 1), 0.1, dtype=torch.float16)
    state = ClassSums(1, 1)
    state.update(value, np.array([0, 1]), np.array([0, 0]))
    assert np.allclose(state.finish().sums, 4096 * float(value[0, 0, 0]), rtol=1e-6)


@given(st.integers(0, 999))
def test_positions_that_do_not_count_are_as_if_they_were_not_there(seed):
    value, labels, group = data(seed)
    valid = np.random.default_rng(seed).random(value.shape[:2]) < 0.6
    valid[:, 0] = True
    dirty = torch.from_numpy(np.where(valid[..., None], value, np.nan))
    masked, plain = (ClassSums(value.shape[2], 3) for _ in range(2))
    masked.update(dirty, labels, group, torch.from_numpy(valid))
    for one in range(len(value)):
        plain.update(torch.from_numpy(value[one : one + 1, valid[one]]), labels[[one]], group[[one]])
    a, b = masked.finish(), plain.finish()
    assert np.array_equal(a.counts, b.counts)
    assert np.allclose(a.sums, b.sums, atol=1e-12)
