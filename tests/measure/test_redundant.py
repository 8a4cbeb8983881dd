from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import netcaliper as nc
from netcaliper.feed.protocol import Plan, Sight
from netcaliper.measure.redundant import FOLDED_UNITS, RedundantMeasure, RedundantState
from netcaliper.stats.sampling import CALIBRATE


def state_of(x, plan, measure, site, parts) -> Any:
    """Feed ``[example, position, unit]`` in parts, every second part to a second state that is merged."""
    states = [measure.state(site, plan, torch.device("cpu")) for _ in range(2)]
    for turn, index in enumerate(np.array_split(np.arange(len(x)), parts)):
        fold = torch.from_numpy(plan.fold[index])
        states[turn % 2].update(Sight(x[index], (), index, fold))
    states[0].merge(states[1])
    return states[0]


def site_of(units):
    model = torch.nn.Sequential(torch.nn.Linear(3, units), torch.nn.ReLU()).eval()
    return nc.trace(model, torch.randn(2, 3)).sites[0]


@settings(max_examples=15)
@given(st.integers(0, 999), st.integers(1, 9))
def test_shards_merged_answer_like_one_process(seed, parts):
    x = torch.randn(80, 4, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x[:, :, 5] = 2 * x[:, :, 1] - 1
    x[:, :, 4] = x[:, :, 0] + x[:, :, 2]
    plan, measure, site = Plan(80, seed), RedundantMeasure(), site_of(6)
    whole = measure.finish(site, state_of(x, plan, measure, site, 1), plan)
    split = measure.finish(site, state_of(x, plan, measure, site, parts), plan)
    assert whole.fields["removable"] == split.fields["removable"]
    assert whole.fields["removable"]["1e-06"] == 2
    for name, array in whole.arrays.items():
        assert np.allclose(array, split.arrays[name], atol=1e-10), name


def test_a_wide_site_keeps_no_folds_and_says_so():
    plan, measure, site = Plan(1400, 0), RedundantMeasure(), site_of(520)
    x = torch.randn(1400, 1, 520, generator=torch.Generator().manual_seed(0))
    found = measure.finish(site, state_of(x, plan, measure, site, 3), plan)
    assert found.fields["redundant"].low is None
    assert found.fields["redundant"].over == "no interval: 520 units (folds are kept up to 512)"


def test_neighbors_and_pairs_are_those_of_numpys_correlation():
    x = torch.randn(160, 3, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[:, :, 2] = 2 * x[:, :, 1] - 1  # a copy
    x[:, :, 3] = x[:, :, 1] + 0.8 * x[:, :, 3]
    x[:, :, 5] = -4.0  # constant
    site, measure = site_of(7), RedundantMeasure()
    calibrate = x[torch.from_numpy(Plan(160, 0).split == CALIBRATE)].reshape(-1, 7).numpy()
    r = np.abs(np.corrcoef(np.delete(calibrate, 5, axis=1), rowvar=False))
    counts = np.count_nonzero(r >= 0.5, axis=1) - 1
    upper = r[np.triu_indices(6, 1)]
    assert counts.tolist() == [0, 2, 2, 2, 0, 0]
    for plan, constant in ((Plan(160, 0), 0), (Plan(160, 0, "paper"), -1)):
        found = measure.finish(site, state_of(x, plan, measure, site, 4), plan)
        assert found.arrays["neighbors"].tolist() == np.insert(counts, 5, constant).tolist()
        assert found.fields["correlated_neighbors"] == pytest.approx((counts.sum() + constant) / 7)
        assert found.fields["mean_correlation"] == pytest.approx(upper[upper < 0.99999].mean(), rel=1e-10)
        assert found.arrays["correlation_pairs"].sum() == 14, "15 pairs of live units, one of them copies"
        assert found.arrays["correlation_pairs"].shape == (20,)


def test_too_few_rows_tell_nothing_about_correlation():
    x = torch.randn(24, 1, 40, generator=torch.Generator().manual_seed(0))
    plan, measure, site = Plan(24, 0), RedundantMeasure(), site_of(40)
    found = measure.finish(site, state_of(x, plan, measure, site, 1), plan)
    assert "too few rows" in (found.reason or "")
    assert "correlated_neighbors" not in found.fields
    assert "neighbors" not in found.arrays


def test_a_wide_site_without_enough_rows_is_declared_and_nothing_is_accumulated():
    units = FOLDED_UNITS + 8
    plan = Plan(40, 0)
    state = RedundantState(units, plan, torch.device("cpu"))
    for start in (0, 20):
        index = np.arange(start, start + 20)
        state.update(Sight(torch.randn(20, 3, units), (), index, torch.from_numpy(plan.fold[index])))
    expected = 3 * plan.sizes["calibrate"]
    assert state.skipped == expected < units
    assert sum(fold.count for fold in state.folds) == state.select.count == 0
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    site = replace(nc.trace(model, torch.randn(2, 2)).sites[0], units=units)
    findings = RedundantMeasure().finish(site, state, plan)
    assert findings.reason is not None
    assert findings.reason.startswith(f"too few rows ({expected} for {units} units)")
    assert findings.fields == {"rows": expected}
    paper = RedundantState(units, Plan(40, 0, "paper"), torch.device("cpu"))
    paper.update(Sight(torch.randn(20, 3, units), (), np.arange(20), torch.from_numpy(plan.fold[:20])))
    assert paper.skipped is None
    assert paper.calibrate.count > 0
