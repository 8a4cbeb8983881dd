"""The Gram matrix of a held sample: centering and gaps."""

import pytest
import torch

from netcaliper.errors import DataError
from netcaliper.stats.held_gram import CONSTANT, NOT_FINITE, centered, gap, spanned


def features(n: int = 40, p: int = 7, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, p, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_centering_the_gram_matrix_is_centering_the_features(dtype: torch.dtype) -> None:
    x = features()
    xc = x - x.mean(0)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    for gram in (x @ x.T, xc @ xc.T):
        found = centered(gram.to(dtype))
        assert found.dtype == torch.float64
        torch.testing.assert_close(found, xc @ xc.T, rtol=tolerance, atol=tolerance)
        assert gap(gram.to(dtype)) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e4])
def test_a_constant_layer_is_a_gap(dtype: torch.dtype, value: float) -> None:
    x = torch.full((50, 9), value, dtype=dtype)
    assert gap(x @ x.T) == CONSTANT


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_span_leaves_rounding_out(dtype: torch.dtype) -> None:
    x = features().to(dtype)
    K = centered(x @ x.T)
    values, vectors = spanned(K, dtype)
    assert vectors.shape == (40, 7)
    assert (values.diff() >= 0).all()
    tolerance = 1e-4 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close((vectors * values) @ vectors.mT, K, rtol=tolerance, atol=tolerance)


def test_activations_that_hardly_vary_are_none() -> None:
    x = 1e-6 * features()
    assert gap(x @ x.T) is None


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_activations_that_are_not_finite_are_a_gap(bad: float) -> None:
    x = features()
    x[3, 2] = bad
    assert gap(x @ x.T) == NOT_FINITE


def test_too_few_examples_and_what_is_no_gram_matrix_are_refused() -> None:
    with pytest.raises(DataError, match="at least 4 examples, got 3"):
        gap(torch.eye(3))
    with pytest.raises(DataError, match="diagonal of squared norms"):
        gap(torch.eye(4) - torch.ones(4, 4) - torch.eye(4))
