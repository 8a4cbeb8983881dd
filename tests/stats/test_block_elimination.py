from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from block_oracle import greedy, unexplained
from netcaliper.errors import DataError, InputError
from netcaliper.stats.block_elimination import Reader, _System, eliminate_blocks, refit


def reader(rows, weight, owner, *, intercept=True, name="reader"):
    centered = rows - rows.mean(0)
    moment = (centered.T @ centered if intercept else rows.T @ rows) / len(rows)
    variance = float((((rows - rows.mean(0)) @ weight.T) ** 2).sum() / len(rows))
    return Reader(moment, weight, np.asarray(owner), variance, len(rows), name)


def tangled(rng, rows, columns, rank, noise=0.3):
    """Columns of low rank with noise, of very different scales and means."""
    x = rng.normal(size=(rows, rank)) @ rng.normal(size=(rank, columns)) + noise * rng.normal(size=(rows, columns))
    return (x + rng.normal(size=columns)) * 10 ** rng.uniform(-1, 1, columns)


def problem(seed, units, blocks, rows=160):
    """Readers with blocks of the given sizes over shared units; some columns belong to no unit, some units to none."""
    rng = np.random.default_rng(seed)
    readers, raw = [], []
    for size in blocks:
        owner = np.repeat(np.arange(units), size)
        if size > 1 and len(blocks) > 1:
            owner = np.where(owner == units - 1, -1, owner)
        owner = rng.permutation(owner)
        x = tangled(rng, rows, len(owner), 4)
        weight = rng.normal(size=(3, len(owner))) / x.std(0)
        raw.append((x, weight, owner, bool(rng.integers(2))))
        readers.append(reader(*raw[-1][:3], intercept=raw[-1][3]))
    return readers, raw


@settings(max_examples=25)
@given(
    st.integers(0, 9999), st.sampled_from([(1,), (4,), (9,), (1, 1), (4, 1), (9, 1, 4)]), st.sampled_from([0.05, 0.4])
)
def test_the_steps_are_those_of_fitting_every_candidate_from_the_rows(seed, blocks, tau):
    units = 6
    readers, raw = problem(seed, units, blocks)
    found = eliminate_blocks(readers, units, tau)
    order, path = greedy(raw, units, tau)
    assert found.order.tolist() == order
    assert np.allclose(found.unexplained, path, atol=1e-9, rtol=0)
    assert sorted([*found.kept, *found.order]) == list(range(units))


@settings(max_examples=25)
@given(st.integers(0, 9999), st.sampled_from([(1,), (4, 1), (9,)]))
def test_what_is_predicted_is_what_the_fitted_weights_leave_unexplained(seed, blocks):
    readers, raw = problem(seed, 7, blocks)
    found = eliminate_blocks(readers, 7, 0.2)
    for number, (rows, weight, owner, intercept) in enumerate(raw):
        fitted = found.weights[number]
        assert (fitted[:, np.isin(owner, found.removed)] == 0).all()
        y, lacks = rows @ weight.T, rows @ (weight - fitted).T
        shift = lacks.mean(0) if intercept else 0
        measured = ((lacks - shift) ** 2).sum() / ((y - y.mean(0)) ** 2).sum()
        assert found.final[number] == pytest.approx(measured, abs=1e-9)
        if len(found.order):
            assert found.final[number] == pytest.approx(found.unexplained[-1, number], abs=1e-9)
        assert found.final[number] <= 0.2
        assert measured == pytest.approx(
            unexplained(rows, weight, owner, set(found.order), intercept=intercept), abs=1e-9
        )


@given(st.integers(0, 9999), st.permutations(range(8)))
@settings(max_examples=25)
def test_scale_and_order_of_the_units_do_not_matter(seed, order):
    rng = np.random.default_rng(seed)
    ((rows, weight, owner, intercept),) = problem(seed, 8, (4,))[1]
    before = eliminate_blocks([reader(rows, weight, owner, intercept=intercept)], 8, 0.2)
    scale = (10 ** rng.uniform(-4, 4, 8))[owner]
    new = np.asarray(order)  # unit j is now called new[j]
    columns = rng.permutation(len(owner))
    moved = reader((rows * scale)[:, columns], (weight / scale)[:, columns], new[owner][columns], intercept=intercept)
    after = eliminate_blocks([moved], 8, 0.2)
    assert after.order.tolist() == new[before.order].tolist()
    assert np.allclose(after.unexplained, before.unexplained, atol=1e-9)


@given(st.integers(0, 9999))
@settings(max_examples=15)
def test_tau_is_monotone_and_its_sets_are_nested(seed):
    readers, _ = problem(seed, 8, (4, 1))
    orders = [eliminate_blocks(readers, 8, tau).order.tolist() for tau in (0.0, 0.01, 0.1, 0.5)]
    for less, more in pairwise(orders):
        assert more[: len(less)] == less


@given(st.integers(0, 9999))
@settings(max_examples=10)
def test_a_path_that_goes_on_is_that_of_the_larger_tau(seed):
    readers, raw = problem(seed, 8, (4, 1))
    stage = np.random.default_rng(seed).integers(0, 2, 8)
    for stages in (None, stage):
        short, on = eliminate_blocks(readers, 8, 0.05, stages), eliminate_blocks(readers, 8, 0.05, stages, 0.5)
        assert on.order.tolist() == short.order.tolist()
        assert np.array_equal(on.final, short.final)
        assert len(short.later) == 0
        expected, path = greedy(raw, 8, 0.05, stages)
        while True:  # beyond tau all stages are one
            rest = [j for j in range(8) if j not in expected]
            tried = [(max(unexplained(x, w, o, {*expected, j}, intercept=f) for x, w, o, f in raw), -j) for j in rest]
            if not tried or min(tried)[0] > 0.5:
                break
            expected.append(-min(tried)[1])
            path = np.vstack([path, [[unexplained(x, w, o, set(expected), intercept=f) for x, w, o, f in raw]]])
        assert [*on.order, *on.later] == expected
        assert np.allclose(on.later_unexplained, path[len(on.order) :], atol=1e-9)


@given(st.integers(0, 9999), st.sampled_from([1, 4]))
@settings(max_examples=20)
def test_copies_combinations_and_silent_units_go_first_at_no_cost(seed, size):
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(300, 5, size))
    copies = base[:, [0, 3]] * 7
    sums = base[:, [1]] + 2 * base[:, [2]]
    silent = np.zeros((300, 1, size))
    rows = np.concatenate([base, copies, sums, silent], 1)
    place = rng.permutation(9)
    rows = rows[:, place].reshape(300, -1)
    owner = np.repeat(np.arange(9), size)
    for intercept in (True, False):
        one = reader(rows, rng.normal(size=(4, 9 * size)), owner, intercept=intercept)
        found = eliminate_blocks([one], 9, 1e-6)
        assert len(found.order) == 4
        assert found.unexplained == pytest.approx(np.zeros((4, 1)), abs=1e-9)
        assert np.linalg.matrix_rank(rows[:, np.isin(owner, found.kept)]) == 5 * size
        assert found.final[0] < 1e-12
    # of a unit and its copy the last goes
    for first, copy in ((0, 5), (3, 6)):
        assert max(place.tolist().index(first), place.tolist().index(copy)) in found.order


def test_stages_go_one_after_the_other_and_decide_which_copy_stays():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 4))
    rows = np.hstack([rows, rows[:, :1]])
    one = reader(rows, rng.normal(size=(3, 5)), np.arange(5))
    assert eliminate_blocks([one], 5, 1e-9).order.tolist() == [4]
    assert eliminate_blocks([one], 5, 1e-9, np.array([0, 1, 1, 1, 1])).order.tolist() == [0]


@given(st.integers(0, 9999))
@settings(max_examples=10)
def test_stages_take_the_steps_of_the_oracle(seed):
    stage = np.random.default_rng(seed).integers(0, 3, 6)
    readers, raw = problem(seed, 6, (4, 1))
    found = eliminate_blocks(readers, 6, 0.3, stage)
    assert found.order.tolist() == greedy(raw, 6, 0.3, stage)[0]


def test_readers_of_one_input_share_the_work_and_answer_as_if_alone():
    rng = np.random.default_rng(3)
    rows, owner = tangled(rng, 400, 24, 5), np.repeat(np.arange(8), 3)
    a, b = (reader(rows, rng.normal(size=(m, 24)) / rows.std(0), owner) for m in (2, 5))
    shared = Reader(a.moment, b.weight, a.unit_of_column, b.variance, 400)
    one, two = eliminate_blocks([a, shared], 8, 0.1), eliminate_blocks([a, b], 8, 0.1)
    assert one.order.tolist() == two.order.tolist()
    assert len(one.order) > 2
    assert np.allclose(one.unexplained, two.unexplained, atol=1e-12)


def test_panels_change_nothing():
    """More columns than one panel holds, inverted and removed, against fits from the rows."""
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(2600, 90)) @ rng.normal(size=(90, 1200)) + 0.5 * rng.normal(size=(2600, 1200))
    owner, weight = rng.permutation(np.repeat(np.arange(300), 4)), rng.normal(size=(3, 1200))
    found = eliminate_blocks([reader(rows, weight, owner)], 300, 0.05)
    assert len(found.order) > 140
    for step in (0, 131, len(found.order) - 1):
        expected = unexplained(rows, weight, owner, set(found.order[: step + 1]))
        assert found.unexplained[step, 0] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("noise", [1e-2, 1e-3, 3e-4])
def test_units_that_nearly_span_one_another_cost_no_digits(noise):
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(900, 40))
    rows = np.hstack([rows, rows @ rng.normal(size=(40, 40)) + noise * rng.normal(size=(900, 40))])
    owner, weight = np.repeat(np.arange(40), 2), rng.normal(size=(4, 80))
    found = eliminate_blocks([reader(rows, weight, owner)], 40, 0.05)
    assert len(found.order) >= 20
    assert found.unexplained[-1, 0] == pytest.approx(unexplained(rows, weight, owner, set(found.order)), abs=1e-9)
    assert found.final[0] == pytest.approx(unexplained(rows, weight, owner, set(found.order)), abs=1e-10)


def test_a_small_difference_that_matters_is_not_rounding():
    """Two units that agree to 1e-5, read as their difference: neither can go."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 1))
    rows = np.hstack([x, x + 1e-5 * rng.normal(size=(300, 1))])
    found = eliminate_blocks([reader(rows, np.array([[1e6, -1e6]]), np.arange(2))], 2)
    assert len(found.order) == 0


def test_refit_leaves_what_the_rows_say():
    rng = np.random.default_rng(0)
    ((rows, weight, owner, intercept),) = problem(11, 8, (4,))[1]
    one = reader(rows, weight, owner, intercept=intercept)
    removed = np.isin(np.arange(8), [1, 4, 6])
    ((fitted, share),) = refit([one], removed)
    assert share == pytest.approx(unexplained(rows, weight, owner, {1, 4, 6}, intercept=intercept), abs=1e-9)
    assert (fitted[:, np.isin(owner, [1, 4, 6])] == 0).all()
    other = Reader(one.moment, rng.normal(size=(2, 32)), one.unit_of_column, 1.0, one.rows)
    both = refit([one, other], removed)  # readers of one input share the work
    assert np.allclose(both[0][0], fitted, atol=1e-12)
    assert np.allclose(both[1][0], refit([other], removed)[0][0], atol=1e-12)
    ((same, nothing),) = refit([one], np.zeros(8, dtype=bool))
    assert nothing == 0
    assert np.array_equal(same, weight)


def test_a_reader_that_does_not_vary_forbids_nothing():
    rows = np.random.default_rng(0).normal(size=(50, 3))
    found = eliminate_blocks([reader(rows, np.zeros((2, 3)), np.arange(3))], 3)
    assert len(found.order) == 3


def test_units_that_no_column_reads_go_first():
    rows = np.random.default_rng(0).normal(size=(50, 3))
    found = eliminate_blocks([reader(rows, np.ones((1, 3)), np.array([0, 2, 4]))], 5)
    assert found.order.tolist() == [1, 3]


def test_bad_input_is_named():
    rng = np.random.default_rng(0)
    few = reader(rng.normal(size=(9, 9)), np.ones((1, 9)), np.arange(9), name="conv2")
    with pytest.raises(DataError, match=r"`conv2` must have more rows than columns, got 9 rows for 9 columns"):
        eliminate_blocks([few], 9)
    good = reader(rng.normal(size=(90, 9)), np.ones((1, 9)), np.arange(9))
    with pytest.raises(InputError, match=r"`tau` must lie in \[0, 1\), got 1.5"):
        eliminate_blocks([good], 9, 1.5)
    with pytest.raises(InputError, match=r"`reach` must lie in \[`tau`, 1\), got 0.005 and a tau of 0.01"):
        eliminate_blocks([good], 9, reach=0.005)
    with pytest.raises(InputError, match="`readers` must hold at least one"):
        eliminate_blocks([], 9)
    with pytest.raises(InputError, match="`units` must exceed every unit of `reader`, got 5 and 8"):
        eliminate_blocks([good], 5)


def test_scores_led_forward_in_float32_take_the_same_steps(monkeypatch):
    """What is done for large problems, on one small enough to compare."""
    readers, _ = problem(4, 60, (4, 1), rows=900)
    before = eliminate_blocks(readers, 60, 0.3)
    monkeypatch.setattr("netcaliper.stats.block_elimination._LARGE", 0)
    after = eliminate_blocks(readers, 60, 0.3)
    assert len(before.order) > 10
    assert after.order.tolist() == before.order.tolist()
    assert np.allclose(after.unexplained, before.unexplained, atol=1e-10, rtol=0)


def test_a_path_that_promises_too_much_is_taken_back(monkeypatch):
    readers, raw = problem(2, 12, (4,))
    downdate, scores = _System._downdate, _System.scores
    monkeypatch.setattr(_System, "_downdate", lambda self, slot: downdate(self, slot) / 3)
    monkeypatch.setattr(_System, "scores", lambda self: scores(self) / 3)
    found = eliminate_blocks(readers, 12, 0.1, reach=0.5)
    rows, weight, owner, intercept = raw[0]

    def measured(gone):
        return unexplained(rows, weight, owner, set(gone), intercept=intercept)

    assert 0 < len(found.order) == 12 - len(found.kept)
    assert found.final[0] <= 0.1
    assert found.final[0] == pytest.approx(measured(found.order))
    # what was taken back goes next, at what it does cost
    assert found.later_unexplained[0, 0] > 0.1
    assert found.later_unexplained[0, 0] == pytest.approx(measured([*found.order, found.later[0]]))


def test_at_no_tolerance_only_what_is_exact_goes():
    rows = np.random.default_rng(0).normal(size=(80, 3))
    rows = np.hstack([rows, 2 * rows[:, :1], 1e-3 * rows[:, :1] + rows[:, 1:2]])
    found = eliminate_blocks([reader(rows, np.ones((2, 5)), np.arange(5))], 5, 0.0)
    assert len(found.order) == 2
