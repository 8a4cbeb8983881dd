import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netcaliper.stats.unit_states import UnitStates, pieces_of

RELU = pieces_of((0.0, math.inf), ((-math.inf, 0.0),), (0.0,))
RELU6 = pieces_of((0.0, 6.0), ((-math.inf, 0.0), (6.0, math.inf)), (0.0, 6.0))


def stream(z, function, fold, zone=None, cuts=1):
    state = UnitStates(z.shape[2], zone=zone)
    for part, folds in zip(z.tensor_split(cuts), fold.tensor_split(cuts), strict=True):
        state.update(function(part), folds, part)
    return state


def pre_activations(seed, examples=24, positions=5, units=4, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(examples, positions, units, generator=generator, dtype=dtype)
    return z, torch.randint(0, 10, (examples,), generator=generator)


@given(st.integers(0, 999), st.integers(1, 8), st.integers(1, 6), st.sampled_from([0.0, 1e4]))
def test_streamed_is_whole_is_merged_and_equals_numpy(seed, cuts, positions, offset):
    z, fold = pre_activations(seed, positions=positions)
    z = z + offset
    zone = (offset, math.inf)
    merged = stream(z[:10], torch.tanh, fold[:10], zone, cuts)
    merged.merge(stream(z[10:], torch.tanh, fold[10:], zone, cuts))
    rows, values = z.reshape(-1, 4).numpy(), torch.tanh(z).reshape(-1, 4).numpy()
    where = np.repeat(fold.numpy(), positions)
    for state in (stream(z, torch.tanh, fold, zone), stream(z, torch.tanh, fold, zone, cuts), merged):
        facts = state.finish(pieces_of(zone))
        assert facts.rows == len(rows)
        assert facts.examples == 24
        for without in (None, *facts.folds):
            keep = where != without if without is not None else np.ones(len(rows), dtype=bool)
            mean, std = facts.moments(without)
            assert np.allclose(mean, values[keep].mean(0), rtol=1e-12)
            assert np.allclose(std, values[keep].std(0, ddof=1), rtol=1e-9, atol=1e-15)
            assert np.allclose(facts.linear_share(without), (rows[keep] > offset).mean(0), atol=1e-14)
            if offset == 0:
                r = [np.corrcoef(rows[keep, u], values[keep, u])[0, 1] for u in range(4)]
                assert np.allclose(facts.bending(without), 1 - np.square(r), atol=1e-12)
        assert np.array_equal(facts.low, values.min(0))
        assert np.array_equal(facts.high, values.max(0))


def test_every_state_of_a_relu_is_counted():
    z = torch.zeros(50, 3, 6)
    z[:, :, 0] = -1 - torch.rand(50, 3)  # dead
    z[:, :, 1] = 1 + torch.rand(50, 3)  # always on
    z[:, :, 2] = torch.linspace(-1, 1, 150).reshape(50, 3)  # mixed
    z[:, :, 3] = 2.5  # on and constant
    z[:, :, 4] = 0.0  # at the kink on every row: dead
    z[:, :, 5] = -1.0
    z[7, 2, 5] = 0.25  # one row of 150: neither dead nor always off
    facts = stream(z, torch.relu, torch.arange(50) % 10, (0.0, math.inf), cuts=7).finish(RELU)
    assert facts.always_on is not None
    assert facts.always_off is not None
    assert facts.dead.tolist() == [True, False, False, False, True, False]
    assert facts.constant.tolist() == [False, False, False, True, False, False]
    assert facts.always_on.tolist() == [False, True, False, True, False, False]
    assert facts.always_off.tolist() == [True, False, False, False, True, False]
    assert facts.linear_share() == pytest.approx([0, 1, 0.5, 1, 0, 1 / 150])


def test_a_saturated_relu6_is_off_but_not_if_it_visits_both_ends():
    z = torch.full((10, 1, 4), 9.0)
    z[:5, 0, 1] = -9
    z[:, 0, 2] = torch.linspace(1, 5, 10)
    z[:, 0, 3] = torch.linspace(5, 7, 10)
    facts = stream(z, torch.nn.functional.relu6, torch.arange(10), (0.0, 6.0)).finish(RELU6)
    assert facts.always_on is not None
    assert facts.always_off is not None
    assert facts.always_on.tolist() == [False, False, True, False]
    assert facts.always_off.tolist() == [True, False, False, False]
    assert facts.constant.tolist() == [True, False, False, False]
    assert facts.linear_share() == pytest.approx([0, 0, 1, 0.5])


def test_a_leaky_relu_is_off_on_its_other_slope():
    z = torch.stack([-1 - torch.rand(20), 1 + torch.rand(20)], 1)[:, None]
    pieces = pieces_of((0.0, math.inf), (), (0.0,))
    facts = stream(z, lambda t: torch.nn.functional.leaky_relu(t, 0.1), torch.arange(20) % 10, (0.0, math.inf))
    finished = facts.finish(pieces)
    assert finished.always_off is not None
    assert finished.always_off.tolist() == [True, False]
    assert not finished.dead.any()


def test_a_smooth_function_has_no_states():
    z, fold = pre_activations(0)
    facts = stream(z, torch.tanh, fold).finish(pieces_of(None))
    assert facts.always_on is None
    assert facts.always_off is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_constant_is_measured_in_the_rounding_of_the_data(dtype):
    eps = torch.finfo(dtype).eps
    value = torch.full((40, 1, 3), 3.0, dtype=dtype)
    value[::2, 0, 1] += 4 * eps  # within 8 eps * 3
    value[::2, 0, 2] += 60 * eps
    state = UnitStates(3)
    state.update(value, torch.arange(40) % 10)
    assert state.finish().constant.tolist() == [True, True, False]


def test_bending_is_zero_for_a_line_and_undefined_for_a_constant():
    z, fold = pre_activations(1, units=3)
    z[:, :, 2] = 1.5
    facts = stream(z, lambda t: 3 - 2 * t, fold).finish(pieces_of(None))
    bending = facts.bending()
    assert np.abs(bending[:2]).max() < 1e-14
    assert np.isnan(bending[2])


def test_float32_rows_with_a_large_mean_keep_their_moments():
    z, fold = pre_activations(2, examples=60, positions=400, dtype=torch.float32)
    z = z + 300
    facts = stream(z, lambda t: t * t, fold, cuts=5).finish(pieces_of(None))
    rows, values = z.double().reshape(-1, 4).numpy(), (z * z).double().reshape(-1, 4).numpy()
    r = [np.corrcoef(rows[:, u], values[:, u])[0, 1] for u in range(4)]
    assert facts.bending() == pytest.approx(1 - np.square(r), abs=1e-6)
    assert facts.moments()[1] == pytest.approx(values.std(0, ddof=1), rel=1e-5)


def test_strided_views_and_low_precision_are_read_alike():
    z, fold = pre_activations(3, units=5)
    view = z.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    assert np.allclose(stream(view, torch.relu, fold).finish().mean, stream(z, torch.relu, fold).finish().mean)
    half = z.to(torch.float16)
    facts = stream(half, torch.relu, fold, (0.0, math.inf)).finish(RELU)
    assert facts.linear_share() == pytest.approx((half > 0).double().mean((0, 1)).numpy())


def test_nothing_seen_and_nothing_given():
    state = UnitStates(2)
    state.update(torch.zeros(0, 4, 2), torch.zeros(0, dtype=torch.int64))
    assert state.finish().rows == 0
    state.update(torch.ones(3, 4, 2), torch.arange(3))
    facts = state.finish()
    assert facts.constant.all()
    assert np.isnan(facts.bending()).all()


@pytest.mark.parametrize("units", [1, 3, 16, 5000])
@pytest.mark.parametrize("rows", [(1, 1), (4, 6), (8, 64), (7, 9)])
def test_the_layout_in_memory_does_not_matter(units, rows):
    x = torch.randn(*rows, units, generator=torch.Generator().manual_seed(units))
    fold = torch.arange(rows[0]) % 3
    facts = []
    for layout in (x, x.transpose(1, 2).contiguous().transpose(1, 2)):
        state = UnitStates(units, folds=3)
        state.update(layout, fold)
        facts.append(state.finish())
    assert np.array_equal(facts[0].low, x.amin((0, 1)).double().numpy())
    assert np.array_equal(facts[0].high, x.amax((0, 1)).double().numpy())
    for name in ("low", "high", "mean", "scatter"):
        np.testing.assert_allclose(getattr(facts[0], name), getattr(facts[1], name), rtol=1e-5, atol=1e-6)


@given(st.integers(0, 999), st.sampled_from([torch.float64, torch.float32]))
def test_positions_that_do_not_count_are_as_if_they_were_not_there(seed, dtype):
    z, fold = pre_activations(seed, examples=12, dtype=dtype)
    generator = torch.Generator().manual_seed(seed)
    valid = torch.rand(12, 5, generator=generator) < 0.6
    valid[torch.arange(12), torch.randint(0, 5, (12,), generator=generator)] = True
    dirty = torch.where(valid[..., None], z, torch.nan)
    masked, plain = (UnitStates(4, zone=(0.0, math.inf)) for _ in range(2))
    masked.update(torch.tanh(dirty), fold, dirty, valid)
    for one in range(12):
        row = z[one : one + 1, valid[one]]
        plain.update(torch.tanh(row), fold[one : one + 1], row)
    a, b = masked.finish(RELU), plain.finish(RELU)
    assert a.examples == b.examples == 12
    assert np.array_equal(a.counts, b.counts)
    for name in ("low", "high", "z_low", "z_high", "in_zone"):
        assert np.array_equal(getattr(a, name), getattr(b, name))
    rtol, atol = (1e-5, 1e-6) if dtype == torch.float32 else (1e-10, 1e-12)
    for name in ("mean", "scatter", "z_mean", "z_scatter", "cross"):
        assert np.allclose(getattr(a, name), getattr(b, name), rtol=rtol, atol=atol), name
