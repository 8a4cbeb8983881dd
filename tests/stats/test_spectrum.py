import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linear_oracles import paper_redundancy
from netcaliper.stats.spectrum import (
    components_for,
    paper_growth,
    paper_network_share,
    paper_redundant_share,
    redundant_share,
    smooth_redundant_share,
    spectrum,
)


def both(rows):
    covariance = np.atleast_2d(np.cov(rows, rowvar=False))
    return paper_redundant_share(covariance), redundant_share(spectrum(covariance))


@given(st.integers(0, 10_000), st.integers(1, 24), st.integers(3, 80), st.booleans(), st.booleans())
def test_paper_mode_follows_the_published_recipe(seed, units, rows, scaled, copied):
    rng = np.random.default_rng(seed)
    x = np.maximum(rng.normal(size=(rows, units)) @ rng.normal(size=(units, units)), 0)
    if scaled:
        x *= 10 ** rng.uniform(-3, 3, units)
    if copied:
        x[:, rng.integers(units)] = x[:, 0]
    assert both(x)[0] == paper_redundancy(x)


def test_independent_units_show_the_off_by_one_of_the_paper():
    rows = np.random.default_rng(0).normal(size=(9856, 32))
    assert paper_redundancy(rows) == 0.0625
    assert both(rows) == (0.0625, 0.03125)


def test_one_large_unit_makes_everything_redundant_in_a_covariance():
    rows = np.random.default_rng(0).normal(size=(20_000, 20))
    rows[:, 7] *= 20
    paper, default = both(rows)
    assert (paper, paper_redundancy(rows)) == (1.0, 1.0)
    assert default == 0.95
    assert redundant_share(spectrum(np.array(np.corrcoef(rows, rowvar=False)))) <= 0.05


@pytest.mark.parametrize("level", [0.0, 3.0])
def test_a_constant_layer(level):
    rows = np.full((50, 8), level)
    assert both(rows) == (1 / 8, 1.0)
    assert paper_redundancy(rows) == 1 / 8


@pytest.mark.parametrize(("units", "rows", "expected"), [(96, 9856, 0.0625), (1536, 9856, 0.111)])
def test_finite_samples_bias_the_paper_share_as_the_notes_say(units, rows, expected):
    x = np.random.default_rng(0).normal(size=(rows, units))
    assert both(x)[0] == pytest.approx(expected, abs=0.0015 + 1 / units)


def test_k95_counts_an_exactly_reached_share():
    assert components_for(np.ones(20)) == 19
    assert components_for(np.array([0.95, 0.05])) == 1
    assert components_for(np.array([0.9, 0.1])) == 2
    assert components_for(np.zeros(3)) == 0
    assert redundant_share(np.ones(19), units=20) == pytest.approx(1 / 20)


@given(st.integers(0, 999), st.floats(1e-6, 1e6))
def test_the_share_does_not_depend_on_the_common_scale_or_the_order(seed, scale):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, 7)) @ rng.normal(size=(7, 7))
    assert both(x) == both(scale * x[:, rng.permutation(7)])


def test_degenerate_spectra():
    assert spectrum(np.zeros((0, 0))).shape == (0,)
    assert redundant_share(np.zeros(0), units=4) == 1.0


def test_growth_is_the_mean_ratio_over_doublings():
    assert paper_growth([0.1, 0.2, 0.4, 0.8]) == pytest.approx(2)
    assert paper_growth([1.0, 3.0, 6.0, 24.0, 24.0]) == pytest.approx((3 + 2 + 4 + 1) / 4)
    assert paper_growth([1.0, 3.0, 6.0, 24.0, 24.0], doublings=3) == pytest.approx((2 + 4 + 1) / 3)
    assert paper_growth([0.0, 1.0, 3.0]) == pytest.approx(3)
    assert math.isnan(paper_growth([0.0, 0.0]))


def test_the_network_value_is_normalized_by_width():
    assert paper_network_share([0.5, 0.3], factor=1.0, largest_factor=4.0) == pytest.approx(0.1)


@given(st.integers(0, 999))
def test_the_smooth_share_is_within_one_component_of_the_count(seed):
    rng = np.random.default_rng(seed)
    values = np.sort(rng.exponential(size=12))[::-1]
    counted, smooth = redundant_share(values), smooth_redundant_share(values)
    assert counted <= smooth + 1e-12
    assert smooth - counted < 1 / 12
    assert smooth_redundant_share(values * (1 + 1e-6)) == pytest.approx(smooth)
    assert smooth_redundant_share(np.zeros(3)) == 1.0
    assert smooth_redundant_share(np.array([0.95, 0.05]), units=4) == pytest.approx(3 / 4)
