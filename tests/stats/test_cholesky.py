import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from netcaliper.stats.cholesky import pivoted_basis


@given(st.integers(0, 999), st.integers(1, 12), st.integers(0, 6))
def test_the_basis_has_the_rank_of_the_rows_and_spans_the_rest(seed, rank, extra):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(100, rank))
    x = np.hstack([x, x @ rng.normal(size=(rank, extra))])[:, rng.permutation(rank + extra)]
    x -= x.mean(0)
    basis, spanned = pivoted_basis(np.atleast_2d(np.corrcoef(x, rowvar=False)), 1e-10)
    assert sorted([*basis, *spanned]) == list(range(rank + extra))
    assert len(basis) == np.linalg.matrix_rank(x, tol=1e-8) == rank
    fit, *_ = np.linalg.lstsq(x[:, basis], x[:, spanned], rcond=None)
    assert np.allclose(x[:, basis] @ fit, x[:, spanned], atol=1e-8)


def test_nothing_has_no_basis():
    basis, spanned = pivoted_basis(np.zeros((0, 0)), 1e-10)
    assert len(basis) == len(spanned) == 0
