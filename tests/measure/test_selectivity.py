import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import netcaliper as nc
from netcaliper.feed.protocol import Plan, Sight
from netcaliper.measure import selectivity as module
from netcaliper.measure.selectivity import SelectivityMeasure
from netcaliper.stats.intervals import jackknife
from netcaliper.stats.sampling import CALIBRATE, SELECT


def site_of(units):
    model = torch.nn.Sequential(torch.nn.Linear(3, units), torch.nn.ReLU()).eval()
    return nc.trace(model, torch.randn(2, 3)).sites[0]


SITE = site_of(5)


def findings(value, labels, plan, parts=1, site=SITE):
    """Feed ``[example, position, unit]`` in parts, every second part to a second state that is merged."""
    measure = SelectivityMeasure()
    states = [measure.state(site, plan, torch.device("cpu")) for _ in range(2)]
    for turn, index in enumerate(np.array_split(np.arange(len(value)), parts)):
        fold = torch.from_numpy(plan.fold[index])
        of_batch = None if labels is None else torch.from_numpy(labels[index])
        states[turn % 2].update(Sight(value[index], (), index, fold, of_batch))
    states[0].merge(states[1])
    return measure.finish(site, states[0], plan)


def data(seed, examples=120):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, examples)
    value = np.maximum(rng.normal(size=(examples, 4, 5)), 0)
    value[:, :, 1] *= 1 + 4 * (labels == 2)[:, None]
    value[:, :, 3] = 0
    return torch.from_numpy(value), labels


def oracle(value, labels, chosen_on, read_on):
    """Return class and selectivity of every unit by loops over rows; examples labelled -100 are in no split."""
    found, classes = [], []
    for unit in range(value.shape[2]):
        means = {c: value[chosen_on & (labels == c)][:, :, unit].mean() for c in sorted(set(labels[chosen_on]))}
        best = max(means, key=lambda c: means[c])
        mine = value[read_on & (labels == best)][:, :, unit].mean()
        rest = value[read_on & (labels != best)][:, :, unit].mean()
        found.append((mine - rest) / (mine + rest) if mine + rest else 0.0)
        classes.append(best if means[best] else -1)
    return np.array(found), np.array(classes)


@settings(max_examples=20)
@given(st.integers(0, 999), st.integers(1, 9), st.booleans())
def test_it_equals_the_oracle_however_it_is_cut(seed, parts, some_ignored):
    value, labels = data(seed)
    plan = Plan(len(labels), seed)
    if some_ignored:
        labels[::4] = -100
    calibrate, select = (np.array((plan.split == part) & (labels != -100)) for part in (CALIBRATE, SELECT))
    found = findings(value, labels, plan, parts)
    expected, classes = oracle(value.numpy(), labels, calibrate, select)
    assert np.allclose(found.arrays["selectivity"], expected, atol=1e-12)
    assert found.arrays["selective_class"].tolist() == classes.tolist()
    assert np.allclose(found.arrays["selectivity_calibrate"], oracle(value.numpy(), labels, calibrate, calibrate)[0])
    share = found.fields["selectivity"]
    assert np.isclose(share.value, expected.mean())
    assert share.sample == 4 * np.count_nonzero(select)
    assert found.fields["selective"] == np.count_nonzero(expected >= 0.05)


def test_the_planted_unit_is_selective_on_rows_that_did_not_choose_its_class():
    value, labels = data(0, 2000)
    found = findings(value, labels, Plan(2000, 0))
    assert found.arrays["selective_class"][1] == 2
    assert np.isclose(found.arrays["selectivity"][1], 4 / 6, atol=0.05)
    assert found.fields["selective"] == 1
    share = found.fields["selectivity"]
    assert share.low < share.value < share.high


def test_the_interval_leaves_out_one_fold_at_a_time():
    value, labels = data(3)
    plan = Plan(len(labels), 3)
    share = findings(value, labels, plan).fields["selectivity"]
    calibrate, select = plan.split == CALIBRATE, plan.split == SELECT
    folds = sorted(set(plan.fold[select].tolist()))
    left_out = np.array(
        [oracle(value.numpy(), labels, calibrate, select & (plan.fold != fold))[0].mean() for fold in folds]
    )
    expected = jackknife(share.value, left_out, bounds=(-1.0, 1.0))
    assert expected is not None
    assert np.allclose((share.low, share.high), expected)


def test_without_labels_nothing_is_judged():
    value, labels = data(0)
    for none in (None, np.full_like(labels, -100)):
        found = findings(value, none, Plan(120, 0))
        assert not found.fields
        assert found.reason == "no labels: selectivity needs one integer class an example"


@pytest.mark.parametrize("parts", [1, 6])
@pytest.mark.parametrize("bad", [-1e-3, float("nan")])
def test_values_below_zero_are_not_judged(parts, bad):
    value, labels = data(0)
    plan = Plan(120, 0)
    value[np.flatnonzero(plan.split == SELECT)[-1], 2, 0] = bad
    found = findings(value, labels, plan, parts)
    assert not found.fields
    assert found.reason == "selectivity: some values are below 0, where the index has no bounds"


def test_one_class_is_not_enough():
    value, labels = data(0)
    plan = Plan(120, 0)
    found = findings(value, np.where(plan.split == SELECT, 1, labels), plan)
    assert found.reason == "selectivity: the select examples have 1 classes, two are needed"


def test_a_class_without_select_examples_is_told():
    value, labels = data(0)
    plan = Plan(120, 0)
    labels = np.where((plan.split == SELECT) & (labels == 2), 0, labels)
    found = findings(value, labels, plan)
    assert found.arrays["selectivity"][1] == 0
    assert "answer most to a class without select examples" in found.warnings[0]


def test_many_classes_keep_no_folds_and_very_many_are_not_judged(monkeypatch):
    value, labels = data(0)
    plan = Plan(120, 0)
    whole = findings(value, labels, plan)
    monkeypatch.setattr(module, "FOLDED_SUMS", 14)
    pooled = findings(value, labels, plan, 5)
    assert pooled.fields["selectivity"].low is None
    assert pooled.fields["selectivity"].over == "no interval: 3 classes times 5 units (folds are kept up to 14)"
    assert np.allclose(pooled.arrays["selectivity"], whole.arrays["selectivity"], atol=1e-12)
    monkeypatch.setattr(module, "CLASSES", 2)
    assert findings(value, labels, plan, 5).reason == "selectivity: more than 2 classes"
    value[-1] = -1
    labels[-1] = 0
    plan = Plan(120, next(seed for seed in range(99) if Plan(120, seed).split[-1] == SELECT))
    for parts in (1, 5):
        assert "below 0" in (findings(value, labels, plan, parts).reason or "")
