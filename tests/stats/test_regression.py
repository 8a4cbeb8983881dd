import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from linear_oracles import r2_one_by_one
from netcaliper.errors import DataError
from netcaliper.stats.covariance import Covariance
from netcaliper.stats.regression import r2_on_others


def moments(rows):
    state = Covariance(rows.shape[1])
    state.update(torch.from_numpy(rows))
    return state.finish()


def layer(rng, rows, units, inputs=30):
    """Rows of a random ReLU layer with very different scales and a large offset."""
    x = np.maximum(rng.normal(size=(rows, inputs)) @ rng.normal(size=(inputs, units)) + rng.normal(size=units), 0)
    return (x + 0.05 * rng.normal(size=x.shape)) * 10 ** rng.uniform(-3, 3, units) + 10


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9999), st.integers(2, 25), st.integers(0, 5))
def test_r2_equals_one_regression_a_unit_planted_dependents_included(seed, units, planted):
    rng = np.random.default_rng(seed)
    x = layer(rng, 4 * units + 40, units + planted)
    for unit in range(units, units + planted):
        picks = rng.choice(units, size=min(units, rng.integers(1, 4)), replace=False)
        x[:, unit] = 2 + (x[:, picks] / x[:, picks].std(0)) @ rng.uniform(0.5, 2, len(picks))
    x = x[:, rng.permutation(units + planted)]
    assert np.abs(r2_on_others(moments(x)) - r2_one_by_one(x)).max() < 1e-8


def test_both_sides_of_a_duplicate_are_determined():
    x = np.random.default_rng(0).normal(size=(400, 6))
    x[:, 4] = 3 - 2 * x[:, 1]
    r2 = r2_on_others(moments(x))
    assert np.allclose(r2[[1, 4]], 1, atol=1e-10)
    assert r2[[0, 2, 3, 5]].max() < 0.1


def test_constant_units_have_no_r2_and_disturb_nobody():
    x = np.random.default_rng(0).normal(size=(400, 6))
    x[:, 2], x[:, 3] = 0, 7
    r2 = r2_on_others(moments(x))
    assert np.isnan(r2).tolist() == [False, False, True, True, False, False]
    assert np.allclose(r2[[0, 1, 4, 5]], r2_one_by_one(x[:, [0, 1, 4, 5]]), atol=1e-12)


@given(st.integers(0, 999))
def test_r2_knows_no_scale_and_no_order(seed):
    rng = np.random.default_rng(seed)
    x = layer(rng, 90, 8)
    order = rng.permutation(8)
    moved = x * rng.choice([-1, 1], 8) * 10 ** rng.uniform(-4, 4, 8)
    assert np.allclose(r2_on_others(moments(moved[:, order])), r2_on_others(moments(x))[order], atol=1e-9)


@pytest.mark.parametrize("rows", [5, 6, 7])
def test_too_few_rows_are_refused(rows):
    x = np.random.default_rng(0).normal(size=(rows, 6))
    with pytest.raises(DataError, match=f"got {rows} rows for 6 units; give more examples"):
        r2_on_others(moments(x))


@pytest.mark.parametrize("planted", [0, 128])
def test_1024_units_agree_with_least_squares_to_1e_8(planted):
    """The oracle is one QR factorization of the rows; a triangular solve gives every residual, without C."""
    rng = np.random.default_rng(7)
    x = layer(rng, 4096, 1024 - planted, inputs=400)
    if planted:
        copies = x[:, :planted] * rng.uniform(-3, 3, planted) + rng.normal(size=planted)
        copies[:, planted // 2 :] += x[:, 500 : 500 + planted // 2] * (
            x[:, planted // 2 : planted].std(0) / x[:, 500 : 500 + planted // 2].std(0)
        )
        x = np.hstack([x, copies])
    r2 = r2_on_others(moments(x))
    free = np.setdiff1d(np.arange(1024 - planted), [*range(planted), *range(500, 500 + planted // 2)])
    tied = np.setdiff1d(np.arange(1024), free)
    assert np.abs(r2[tied] - 1).max(initial=0) < 1e-8
    own = x[:, : 1024 - planted]
    own = (own - own.mean(0)) / own.std(0)
    inverse = np.linalg.inv(np.linalg.qr(own, mode="r"))
    expected = 1 - 1 / np.sum(inverse**2, axis=1) / len(own)
    assert np.abs(r2[free] - expected[free]).max() < 1e-8
    for unit in free[:3]:
        others = np.delete(own, unit, 1)
        fit, *_ = np.linalg.lstsq(others, own[:, unit], rcond=None)
        assert abs(1 - np.mean((own[:, unit] - others @ fit) ** 2) - r2[unit]) < 1e-8
