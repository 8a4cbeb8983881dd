"""Gram matrices, their centering and their kernels, against naive float64 formulas."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import cka_oracle as oracle
from netcaliper.stats.gram import (
    COLUMNS,
    GramMaker,
    double_center_,
    equal_norms,
    median_distance,
    rbf_,
    squared_distances,
    squared_norms,
    u_center_,
)

CPU = torch.device("cpu")


def normal(n: int, p: int, seed: int = 0) -> Tensor:
    return torch.randn(n, p, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made(features: Tensor, dtype: torch.dtype = torch.float64, *, fast: bool = False) -> Tensor:
    out = torch.full((len(features), len(features)), torch.nan, dtype=dtype)
    GramMaker(len(features), CPU, dtype, fast=fast)(features, out)
    return out


def centered(x: Tensor) -> Tensor:
    return x - x.mean(0)


@pytest.mark.parametrize(("n", "p"), [(4, 1), (5, 7), (33, COLUMNS), (64, COLUMNS + 1), (50, 3 * COLUMNS + 5)])
def test_centered_in_either_way_it_is_the_gram_matrix_of_centered_features(n: int, p: int) -> None:
    x = normal(n, p) + 5 * normal(1, p, 1)
    expected = centered(x) @ centered(x).T
    assert torch.allclose(double_center_(made(x)), expected, rtol=1e-10, atol=1e-9)
    kernel = torch.from_numpy(oracle.linear(x.numpy()))
    assert torch.allclose(u_center_(made(x)), u_center_(kernel), rtol=1e-9, atol=1e-8)
    assert torch.allclose(made(x), made(x).T, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("n", [4, 5, 12, 40])
def test_u_centered_products_are_the_unbiased_hsic_of_song(n: int) -> None:
    x, y = normal(n, 3, 1), normal(n, 5, 2)
    y[:, :3] += x
    found = float((u_center_(made(x)) * u_center_(made(y))).sum())
    k, other = oracle.linear(x.numpy()), oracle.linear(y.numpy())
    assert found / (n * (n - 3)) == pytest.approx(oracle.hsic1(k, other), rel=1e-11)
    assert found == pytest.approx(float(oracle.unbiased_of_features(x.numpy(), y.numpy())), rel=1e-11)
    if n <= 12:
        assert found / (n * (n - 3)) == pytest.approx(oracle.hsic1_by_tuples(k, other), rel=1e-11)


def test_double_centered_products_are_the_biased_hsic() -> None:
    x, y = normal(20, 3, 1), normal(20, 5, 2)
    found = float((double_center_(made(x)) * double_center_(made(y))).sum()) / 19**2
    assert found == pytest.approx(oracle.hsic0(oracle.linear(x.numpy()), oracle.linear(y.numpy())), rel=1e-11)


def test_rows_of_centered_matrices_sum_to_0_and_the_diagonal_of_u_is_0() -> None:
    u = u_center_(made(normal(17, 4)))
    assert u.sum(1).abs().max() < 1e-12
    assert bool((u.diagonal() == 0).all())
    assert double_center_(made(normal(17, 4))).sum(1).abs().max() < 1e-12


@given(st.integers(4, 20), st.integers(0, 2**31), st.floats(-1e3, 1e3))
def test_u_centering_forgets_what_is_added_to_rows_and_columns_and_the_diagonal(n: int, seed: int, by: float) -> None:
    k = made(normal(n, 3, seed))
    r = by * normal(n, 1, seed + 1)
    other = k + r + r.T + torch.diag(by * normal(n, 1, seed + 2)[:, 0])
    assert torch.allclose(u_center_(k), u_center_(other), rtol=0, atol=1e-9 * (1 + abs(by)))


def test_a_subtracted_diagonal_vector_is_not_a_zeroed_diagonal() -> None:
    """A mistake of several ports: ``K - diag(K)`` takes a vector off every row, and self-HSIC may fall below 0."""
    k = made(normal(9, 2, 3) + 4)
    u = u_center_(k.clone())
    assert float((u * u).sum()) > 0
    wrong = k - k.diagonal()
    assert not torch.allclose(u, u_center_(wrong), atol=1e-3)


@pytest.mark.parametrize("offset", [0.0, 3.0, 30.0, 300.0])
def test_an_offset_of_300_standard_deviations_costs_no_digits_in_float32(offset: float) -> None:
    x = normal(256, 2048).float() + offset
    y = x.double()
    found = u_center_(made(x, torch.float32)).double()
    exact = u_center_(centered(y) @ centered(y).T)
    assert (found - exact).norm() / exact.norm() < 1e-5
    if offset == 300.0:  # without the shift it would be lost: the test can fail
        naive = u_center_(x @ x.T).double()
        assert (naive - exact).norm() / exact.norm() > 1e-3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_brought_to_float32_first_so_that_nothing_overflows(dtype: torch.dtype) -> None:
    x = (3 * normal(64, 8192) + 5).to(dtype)  # a float16 Gram matrix would overflow: 8192 * 34 > 65504
    found = u_center_(made(x, torch.float32)).double()
    exact = u_center_(made(x.double()))
    assert bool(torch.isfinite(found).all())
    assert (found - exact).norm() / exact.norm() < 1e-5


def test_bfloat16_products_are_off_by_thousandths_of_the_norms() -> None:
    x = normal(128, 4096).float() + 20
    exact = made(x.double())
    error = (made(x, torch.float32, fast=True).double() - exact).abs()
    norm = exact.diagonal().sqrt()
    assert float((error / torch.outer(norm, norm)).max()) < 4e-3
    assert float(error.max()) > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [4, 25, 31, 32, 100])
def test_what_is_the_same_for_all_examples_is_exactly_0(dtype: torch.dtype, n: int) -> None:
    maker = GramMaker(n, CPU, dtype)
    for p in (1, 3, 1000):
        same = (1e4 * normal(1, p)).to(dtype).expand(n, p)
        out = torch.empty(n, n, dtype=dtype)
        assert bool(maker(same, out))
        assert not out.any()
        last_digit = 1 + torch.finfo(dtype).eps * (torch.arange(n)[:, None] % 2)
        assert bool(maker(same * last_digit.to(dtype), out))
        assert not out.any()
        varied = same.clone()
        varied[0] *= 1 + 1e-4
        assert not bool(maker(varied, out))


def test_a_smaller_batch_uses_the_same_buffer() -> None:
    maker, x = GramMaker(20, CPU, torch.float64), normal(20, 700)
    out = torch.empty(20, 20, dtype=torch.float64)
    maker(x, out)
    small = torch.empty(7, 7, dtype=torch.float64)
    maker(x[:7], small)
    assert torch.allclose(double_center_(small), centered(x[:7]) @ centered(x[:7]).T)


def test_the_gaussian_kernel_is_that_of_pairs_one_by_one() -> None:
    x = normal(15, 4)
    gram = made(x + 10)
    distance = np.array([[float(((a - b) ** 2).sum()) for b in x] for a in x])
    assert np.allclose(squared_distances(gram).numpy(), distance)
    assert float(median_distance(gram)) == pytest.approx(np.sort(distance[np.triu_indices(15, 1)])[52])
    assert np.allclose(rbf_(gram.clone(), median_distance(gram)).numpy(), oracle.rbf(x.numpy()))


def test_a_bandwidth_of_0_tells_equal_examples_from_others() -> None:
    x = torch.zeros(6, 2, dtype=torch.float64)
    x[5] = 1
    kernel = rbf_(made(x), median_distance(made(x)))
    expected = torch.ones(6, 6, dtype=torch.float64)
    expected[5, :5] = expected[:5, 5] = 0
    assert torch.equal(kernel, expected)


def test_equal_norms_keep_directions_and_zeros() -> None:
    x = normal(5, 3) * torch.tensor([[1.0], [100.0], [1e-6], [0.0], [7.0]])
    found = equal_norms(x)
    assert torch.allclose(found.norm(dim=1), torch.tensor([1.0, 1, 1, 0, 1], dtype=torch.float64))
    assert torch.allclose(found[1], x[1] / x[1].norm())
    assert equal_norms(x.to(torch.bfloat16)).dtype is torch.float32


def test_squared_norms_are_those_of_centered_examples() -> None:
    x = normal(30, 5) + 7
    assert torch.allclose(squared_norms(made(x)), centered(x).square().sum(1))
    assert float(squared_norms(made(x.float(), torch.float32)).min()) >= 0
