"""Minibatch CKA: values, both errors, gaps, merging, all against naive float64 formulas."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import cka_oracle as oracle
from netcaliper.stats.cka import Alignment, AlignmentState, ratio
from netcaliper.stats.gram import GramMaker, double_center_, u_center_

N = 120


def layers(n: int = N, seed: int = 0, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Return layers with something in common."""
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(n, 6, generator=g, dtype=torch.float64)
    own = [torch.randn(n, p, generator=g, dtype=torch.float64) for p in (3, 12, 40)]
    maps = [torch.randn(6, p, generator=g, dtype=torch.float64) for p in (3, 12, 40)]
    return [(z @ a + b).to(dtype) for a, b in zip(maps, own, strict=True)]


def cut(n: int, size: int, seed: int | None = None) -> list[np.ndarray]:
    order = np.arange(n) if seed is None else np.random.default_rng(seed).permutation(n)
    return [order[start : start + size] for start in range(0, n, size)]


def centered(features: Sequence[Tensor], batch: np.ndarray, *, debiased: bool = True) -> Tensor:
    dtype = torch.float64 if features[0].dtype is torch.float64 else torch.float32
    maker = GramMaker(len(batch), torch.device("cpu"), dtype)
    grams = torch.empty(len(features), len(batch), len(batch), dtype=dtype)
    for gram, layer in zip(grams, features, strict=True):
        maker(layer[torch.from_numpy(batch)], gram)
        (u_center_ if debiased else double_center_)(gram)
    return grams.flatten(1)


def aligned(features: Sequence[Tensor], passes: Sequence[Sequence[np.ndarray]], *, debiased: bool = True) -> Alignment:
    kept = [[batch for batch in batches if len(batch) >= 4] for batches in passes]
    state = AlignmentState(len(features), len(kept[0]))
    for of_pass, batches in enumerate(kept):
        for number, batch in enumerate(batches):
            state.update(centered(features, batch, debiased=debiased), of_pass, number)
    return state.finish()


@pytest.mark.parametrize("debiased", [True, False])
@pytest.mark.parametrize("size", [8, 50, 39, 120])  # 50: a last batch of 20; 39: one of 3, which is left out
def test_it_is_the_ratio_of_averages_of_naive_hsic_over_pairs(size: int, debiased: bool) -> None:
    x = layers()
    passes = [cut(N, size, seed) for seed in (1, 2)]
    found = aligned(x, passes, debiased=debiased)
    expected = oracle.cka([v.numpy() for v in x], [b for batches in passes for b in batches], debiased=debiased)
    assert np.allclose(found.matrix, expected, rtol=1e-11, atol=1e-13)
    assert bool((np.diag(found.matrix) == 1).all())
    assert np.allclose(found.matrix, found.matrix.T, atol=1e-14)
    assert (found.batches, found.passes) == (sum(len(b) >= 4 for b in passes[0]), 2)


def test_float32_is_close_to_float64_and_so_is_half_precision_to_itself_in_float64() -> None:
    passes = [cut(N, 40, 1)]
    exact = aligned(layers(), passes).matrix
    for dtype, bound in ((torch.float32, 1e-6), (torch.float16, 2e-4), (torch.bfloat16, 2e-3)):
        x = layers(dtype=dtype)
        found = aligned(x, passes).matrix
        assert np.abs(found - exact).max() < bound
        assert np.abs(found - aligned([v.double() for v in x], passes).matrix).max() < 2e-6


def test_an_offset_of_300_in_float32_changes_nothing() -> None:
    passes = [cut(N, 40, 1)]
    shifted = [v + 300 for v in layers(dtype=torch.float32)]
    exact = aligned([v.double() for v in shifted], passes).matrix
    assert np.abs(aligned(shifted, passes).matrix - exact).max() < 1e-5


def test_its_value_does_not_depend_on_the_batch_size_but_an_average_of_ratios_does() -> None:
    x = layers(2048, seed=3)
    full = ratio(products(x, [np.arange(2048)])[0])
    for size in (8, 32, 256):
        found = aligned(x, [cut(2048, size, seed) for seed in range(4)])
        assert np.abs(found.matrix - full).max() < 0.012, size
    small = cut(2048, 8, 0)
    own = np.mean([ratio(product) for product in products(x, small)], axis=0)
    assert np.abs(own - full).max() > 0.02, "the mistake that this guards against shows at this size"
    assert np.abs(aligned(x, [small], debiased=False).matrix - full).max() > 0.1


@settings(max_examples=25)
@given(st.integers(0, 2**31), st.floats(1e-9, 1e9), st.floats(-100, 100))
def test_rotation_scale_and_shift_of_the_features_change_nothing(seed: int, scale: float, shift: float) -> None:
    x = layers(40, seed)
    g = torch.Generator().manual_seed(seed)
    turned = []
    for v in x:
        q, _ = torch.linalg.qr(torch.randn(v.shape[1], v.shape[1], generator=g, dtype=torch.float64))
        turned.append(scale * (v @ q + shift * torch.randn(1, v.shape[1], generator=g, dtype=torch.float64)))
    passes = [cut(40, 13, 0)]
    assert np.allclose(aligned(x, passes).matrix, aligned(turned, passes).matrix, rtol=1e-7, atol=1e-9)
    single = [v.float() for v in turned]
    assert np.allclose(aligned(x, passes).matrix, aligned(single, passes).matrix, rtol=0, atol=2e-4)


@pytest.mark.parametrize("scale", [1e-15, 1e-12, 1e-9, 1e9, 1e12, 1e15])
def test_tiny_and_huge_activations_neither_vanish_nor_overflow_in_float32(scale: float) -> None:
    x, passes = layers(dtype=torch.float32), [cut(N, 40, 1)]
    other = [scale * x[0], x[1], x[2] / scale]
    assert np.abs(aligned(other, passes).matrix - aligned(x, passes).matrix).max() < 1e-5


def test_a_stretched_feature_does_change_it() -> None:
    x, passes = layers(), [cut(N, 40)]
    y = [x[0] * torch.tensor([10.0, 1, 1]), *x[1:]]
    assert np.abs(aligned(x, passes).matrix - aligned(y, passes).matrix).max() > 0.05


def test_pairs_that_do_not_belong_together_give_about_0_on_both_sides_of_it() -> None:
    g = torch.Generator().manual_seed(0)
    values, biased = [], []
    for seed in range(40):
        x = layers(256, seed)
        y = [x[2], x[2][torch.randperm(256, generator=g)]]
        values.append(aligned(y, [cut(256, 64)]).matrix[0, 1])
        biased.append(aligned(y, [cut(256, 64)], debiased=False).matrix[0, 1])
    values = np.array(values)
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(40)
    assert np.abs(values).max() < 0.1
    assert (values < 0).sum() >= 8, "negative values are reported as they are"
    assert np.mean(biased) > 0.05


def test_a_layer_against_itself_twice_is_1() -> None:
    x = layers()
    found = aligned([x[0], x[0].clone(), -2 * x[0]], [cut(N, 50)]).matrix
    assert np.allclose(found, 1, atol=1e-12)


def test_constant_layers_are_nan_in_their_rows_and_columns_and_disturb_no_others() -> None:
    x = layers(dtype=torch.float32)
    dead, same = torch.zeros(N, 5), torch.full((N, 3), 7.3)
    found = aligned([x[0], dead, x[1], same, x[2]], [cut(N, 12, s) for s in range(2)])
    for matrix in (found.matrix, found.standard_error, found.partition_error):
        assert bool(np.isnan(matrix[[1, 3]]).all())
        assert bool(np.isnan(matrix[:, [1, 3]]).all())
    rest, alone = np.ix_([0, 2, 4], [0, 2, 4]), aligned(x, [cut(N, 12, s) for s in range(2)])
    assert np.allclose(found.matrix[rest], alone.matrix, atol=1e-6)
    assert np.allclose(found.standard_error[rest], alone.standard_error, atol=1e-6, equal_nan=True)


def test_a_layer_that_is_dead_in_some_batches_has_a_value() -> None:
    x = layers()
    x[0][:80] = 0
    found = aligned(x, [cut(N, 10)]).matrix
    assert np.allclose(found, oracle.cka([v.numpy() for v in x], cut(N, 10)))


def products(x: Sequence[Tensor], batches: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [np.array([[oracle.unbiased_of_features(a[b], c[b]) for c in x] for a in x]) for b in batches]


def test_the_standard_error_is_the_jackknife_over_batches_averaged_over_passes() -> None:
    x, passes = layers(), [cut(N, 14, seed) for seed in (1, 2, 3)]  # 8 of 14, one of 8
    found = aligned(x, passes)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        own = [oracle.jackknife(products(x, batches), i, j) for batches in passes]
        assert found.standard_error[i, j] == pytest.approx(np.sqrt(np.mean(np.square(own))), rel=1e-9)
    assert bool(np.isnan(np.diag(found.standard_error)).all())


def test_the_partition_error_is_the_spread_over_passes() -> None:
    x, passes = layers(), [cut(N, 20, seed) for seed in (1, 2, 3, 4)]
    found = aligned(x, passes)
    values = [aligned(x, [batches]).matrix[0, 2] for batches in passes]
    assert found.partition_error[0, 2] == pytest.approx(np.std(values, ddof=1) / 2, rel=1e-9)
    assert bool(np.isnan(aligned(x, passes[:1]).partition_error).all())
    assert found.partition_error[0, 2] > 0


def test_below_8_batches_there_is_no_standard_error() -> None:
    x = layers()
    assert bool(np.isnan(aligned(x, [cut(N, 20)]).standard_error).all())  # 6 batches
    assert np.isfinite(aligned(x, [cut(N, 15)]).standard_error[0, 1])  # 8


@settings(max_examples=30)
@given(st.permutations(range(20)), st.lists(st.integers(0, 2), min_size=20, max_size=20), st.permutations(range(3)))
def test_states_of_several_processes_merge_to_that_of_one_exactly(
    order: list[int], worker: list[int], merged: list[int]
) -> None:
    x = layers(dtype=torch.float32)
    jobs = [(of_pass, number, b) for of_pass in (0, 1) for number, b in enumerate(cut(N, 12, of_pass))]
    single = AlignmentState(3, 10)
    for of_pass, number, batch in jobs:
        single.update(centered(x, batch), of_pass, number)
    states = [AlignmentState(3, 10) for _ in range(3)]
    for place in order:
        of_pass, number, batch = jobs[place]
        states[worker[place]].update(centered(x, batch), of_pass, number)
    whole = states[merged[0]]
    for other in merged[1:]:
        whole.merge(states[other])
    one, many = single.finish(), whole.finish()
    for name in ("matrix", "standard_error", "partition_error"):
        assert np.array_equal(getattr(one, name), getattr(many, name), equal_nan=True), name


def test_parts_of_an_alignment() -> None:
    found = aligned(layers(), [cut(N, 12, s) for s in range(2)])
    part = found.of(slice(0, 2), slice(2, 3))
    assert np.array_equal(part.matrix, found.matrix[:2, 2:])
    assert np.array_equal(part.standard_error, found.standard_error[:2, 2:])
    assert np.array_equal(part.partition_error, found.partition_error[:2, 2:])
    assert found.of(slice(0, 2)).matrix.shape == (2, 2)


def test_the_ratio_of_products_without_variance_is_a_gap() -> None:
    found = ratio(np.array([[4.0, 2.0, 0.0], [2.0, 9.0, 0.0], [0.0, 0.0, 0.0]]))
    assert np.array_equal(found, [[1, 1 / 3, np.nan], [1 / 3, 1, np.nan], [np.nan] * 3], equal_nan=True)
