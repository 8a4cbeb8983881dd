import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netcaliper.stats.covariance import Covariance


def stream(rows, cuts=1):
    state = Covariance(rows.shape[1])
    for part in np.array_split(rows, cuts):
        state.update(torch.from_numpy(part))
    return state


@given(st.integers(0, 999), st.integers(2, 60), st.integers(1, 6), st.integers(1, 9), st.sampled_from([0.0, 1e3, -1e6]))
def test_streamed_is_whole_is_merged(seed, rows, units, cuts, offset):
    x = np.random.default_rng(seed).normal(size=(rows, units)) + offset
    halves = stream(x[: rows // 2], cuts)
    halves.merge(stream(x[rows // 2 :], cuts))
    expected = np.atleast_2d(np.cov(x, rowvar=False))
    for state in (stream(x), stream(x, cuts), halves):
        moments = state.finish()
        assert moments.count == rows
        assert np.allclose(moments.mean, x.mean(0), rtol=1e-13, atol=1e-13)
        assert np.allclose(moments.covariance, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


def test_a_large_mean_does_not_cancel():
    x = np.random.default_rng(0).normal(size=(5000, 4))
    moved = stream(x + 1e7, 50).finish()
    assert np.allclose(moved.covariance, np.cov(x, rowvar=False), atol=1e-8)


def test_constant_units_are_degenerate_and_left_out_of_the_correlation():
    x = np.random.default_rng(0).normal(size=(300, 5))
    x[:, 1], x[:, 3] = 0, 0.1
    moments = stream(x, 7).finish()
    assert moments.degenerate.tolist() == [False, True, False, True, False]
    assert np.allclose(moments.correlation, np.corrcoef(x[:, [0, 2, 4]], rowvar=False), atol=1e-13)


def test_rounding_of_the_data_decides_what_is_constant():
    wobble = 1 + 1e-8 * np.random.default_rng(0).normal(size=(500, 1))
    assert not stream(wobble).finish().degenerate[0]
    assert stream(wobble.astype(np.float32)).finish().degenerate[0]


def test_an_empty_batch_and_an_empty_state_change_nothing():
    state = stream(np.random.default_rng(0).normal(size=(10, 3)))
    before = state.finish()
    state.update(torch.zeros(0, 3))
    state.merge(Covariance(3))
    assert np.array_equal(state.finish().covariance, before.covariance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_rows_of_any_type_are_summed_in_double(dtype):
    x = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    state = Covariance(3)
    for part in x.split(100):
        state.update(part)
    assert np.allclose(state.finish().covariance, np.cov(x.double().numpy(), rowvar=False), atol=1e-14)
