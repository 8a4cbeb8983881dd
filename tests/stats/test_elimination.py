import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from linear_oracles import greedy_removal, r2_one_by_one, unexplained
from netcaliper.stats.covariance import Covariance
from netcaliper.stats.duplicates import duplicate_of
from netcaliper.stats.elimination import TOLERANCES, eliminate, reconstruct, unexplained_share


def moments(rows):
    state = Covariance(rows.shape[1])
    state.update(torch.from_numpy(rows))
    return state.finish()


def tangled(rng, rows, units, noisy):
    """Independent units, and noisy combinations of them with noise from 1e-4 to 1 of their variance."""
    x = rng.normal(size=(rows, units))
    mixed = x @ rng.normal(size=(units, noisy))
    return np.hstack([x, mixed / mixed.std(0) + 10 ** rng.uniform(-2, 0, noisy) * rng.normal(size=(rows, noisy))])


def test_twenty_units_and_ten_noisy_copies_of_the_notes():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 20))
    x = np.hstack([x, x[:, :10] + 0.15 * rng.normal(size=(4000, 10))])
    path = eliminate(moments(x).correlation, (0.05,))
    assert np.count_nonzero(r2_one_by_one(x) >= 0.95) == 20
    removed = path.removed(0.05)
    assert len(removed) == 10
    assert sorted(removed % 20) == list(range(10))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9999), st.integers(1, 7), st.integers(0, 7))
def test_the_sweep_takes_the_same_steps_as_refitting_from_the_rows(seed, units, noisy):
    x = tangled(np.random.default_rng(seed), 120, units, noisy)
    tolerances = (0.01, 0.05, 0.3)
    path = eliminate(moments(x).correlation, tolerances)
    expected = greedy_removal(x, tolerances)
    assert path.order.tolist() == expected[-1]
    assert [path.sizes[t] for t in tolerances] == [len(s) for s in expected]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 9999), st.integers(1, 10), st.integers(0, 4), st.integers(0, 4), st.integers(0, 6))
def test_every_removed_unit_stays_explained_and_exact_ones_all_go(seed, units, copies, combinations, noisy):
    rng = np.random.default_rng(seed)
    x = tangled(rng, 300, units, noisy)
    exact = [x[:, [rng.integers(units)]] * rng.uniform(1, 9) - 3 for _ in range(copies)]
    exact += [x[:, :units] @ rng.uniform(0.5, 1, (units, 1)) for _ in range(combinations)]
    x = np.hstack([x, *exact])
    x = x[:, rng.permutation(x.shape[1])]
    found = moments(x)
    path = eliminate(found.correlation, TOLERANCES, duplicate_of(found.correlation))
    rank = np.linalg.matrix_rank((x - x.mean(0)) / x.std(0), tol=1e-7)
    assert path.sizes[TOLERANCES[0]] == x.shape[1] - rank
    for tolerance in TOLERANCES:
        kept, removed = path.kept(tolerance), path.removed(tolerance)
        assert sorted([*kept, *removed]) == list(range(x.shape[1]))
        for unit in removed:
            assert unexplained(x, unit, kept) <= tolerance + 1e-9
        # nothing more could go: each further unit breaks the promise for itself or for one that has gone
        for unit in kept:
            rest = kept[kept != unit]
            assert max(unexplained(x, r, rest) for r in [unit, *removed]) > tolerance * (1 - 1e-6)


def test_panels_of_updates_change_nothing():
    """More removals than fit in one panel, against residuals fitted from the rows."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(2500, 60)) @ rng.normal(size=(60, 240)) + 0.8 * rng.normal(size=(2500, 240))
    path = eliminate(moments(x).correlation, (0.05, 0.1))
    assert path.sizes[0.1] > 130
    for step in (0, 70, len(path.order) - 1):
        unit, kept = path.order[step], np.setdiff1d(np.arange(240), path.order[: step + 1])
        assert path.unexplained[step] == pytest.approx(unexplained(x, unit, kept), rel=1e-9)


def test_reconstruction_is_exact_for_exact_dependents():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 6)) * 10 ** np.arange(-3.0, 3)
    x = np.hstack([x, x[:, :3] @ rng.normal(size=(3, 2)) + 5, 2 * x[:, [4]] - 1])
    found = moments(x)
    path = eliminate(found.correlation)
    fit = reconstruct(found, path.kept(1e-6), path.removed(1e-6))
    rebuilt = fit.intercepts + x[:, fit.kept] @ fit.coefficients
    assert len(fit.removed) == 3
    assert (np.abs(rebuilt - x[:, fit.removed]).max(0) / x[:, fit.removed].std(0)).max() < 1e-9


@given(st.integers(0, 999))
def test_the_share_on_other_rows_is_the_mean_squared_error_there(seed):
    rng = np.random.default_rng(seed)
    x, y = tangled(rng, 200, 4, 3), tangled(rng, 90, 4, 3) + rng.normal(size=7)
    fit = reconstruct(moments(x), np.arange(4), np.arange(4, 7))
    error = y[:, 4:] - fit.intercepts - y[:, :4] @ fit.coefficients
    expected = (error**2).mean(0) / y[:, 4:].var(0, ddof=1)
    assert np.allclose(unexplained_share(fit, moments(x), moments(y)), expected, rtol=1e-9)


def test_a_shifted_mean_is_not_confirmed():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2))
    x = np.hstack([x, x[:, :1]])
    y = x + np.array([0, 0, 0.5])
    fit = reconstruct(moments(x), np.array([0, 1]), np.array([2]))
    assert unexplained_share(fit, moments(x), moments(x))[0] < 1e-12
    assert unexplained_share(fit, moments(x), moments(y))[0] > 0.2


def test_a_unit_silent_on_the_other_rows_is_judged_by_its_variance_on_the_fitted_ones():
    x = np.random.default_rng(0).normal(size=(200, 2))
    x = np.hstack([x, x[:, :1]])
    y = x.copy()
    y[:, 2] = 0
    fit = reconstruct(moments(x), np.array([0, 1]), np.array([2]))
    assert unexplained_share(fit, moments(x), moments(y))[0] == pytest.approx(1, abs=0.01)


def test_no_units_and_one_unit():
    assert eliminate(np.zeros((0, 0))).sizes == dict.fromkeys(TOLERANCES, 0)
    assert eliminate(np.ones((1, 1))).kept(0.05).tolist() == [0]
