"""``nc.measure`` end to end, on networks whose units are known."""

import math
from inspect import unwrap
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import netcaliper as nc
from linear_oracles import paper_redundancy, r2_one_by_one
from netcaliper.errors import DataError, InputError
from netcaliper.feed.protocol import Plan
from netcaliper.measure.needed import NeededStates
from netcaliper.stats.sampling import CALIBRATE, VERIFY

DEAD, CONSTANT, DUPLICATE, DEPENDENT, NEEDED = 0, 1, 2, 3, 5


def data(examples=600, shape=(6,), batch=64, seed=0, dtype=torch.float64):
    x = torch.randn(examples, *shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return list(x.split(batch))


def planted_mlp(seed=0) -> Any:
    """Twelve units after a ReLU: 2 dead, 1 constant, 2 duplicates, 1 dependent, 6 needed."""
    torch.manual_seed(seed)
    model: Any = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 4)).double()
    weight, bias = model[0].weight.data, model[0].bias.data
    weight[[2, 7]], bias[[2, 7]] = 0, -1.0
    weight[4], bias[4] = 0, 1.5
    weight[5], bias[5] = 3 * weight[0], 3 * bias[0]
    weight[9], bias[9] = 0.25 * weight[0], 0.25 * bias[0]
    # always on, all three: their sum is linear in the two
    bias[[1, 3]] = 50
    weight[10], bias[10] = weight[1] + weight[3], bias[1] + bias[3]
    return model.eval()


def identity(units) -> Any:
    """A layer that gives the positive inputs as its units."""
    model: Any = nn.Sequential(nn.Linear(units, units), nn.ReLU()).double().eval()
    model[0].weight.data, model[0].bias.data = torch.eye(units).double(), torch.zeros(units).double()
    return model


def same(a, b, tolerance=0.0):
    assert a.keys() == b.keys()
    for key in a:
        assert np.allclose(a[key], b[key], rtol=tolerance, atol=tolerance, equal_nan=True), key


def static(model, batches, **more) -> Any:
    """Read what one pass tells, without what takes units away and without a twin."""
    return nc.measure(model, batches, **({"only": ("unit_states", "redundant"), "twin": False} | more))


def test_planted_units_are_counted_exactly():
    reading = static(planted_mlp(), data())
    site = reading.sites[0]
    counts = (site.dead, site.constant, site.duplicate, site.dependent, site.absorbable, site.needed)
    assert counts == (2, 1, 2, 1, None, 6)
    assert (site.always_on, site.always_off, site.mixed) == (4, 2, 6)
    verdict = reading.array(0, "verdict")
    assert verdict is not None
    assert np.flatnonzero(verdict == DEAD).tolist() == [2, 7]
    assert np.flatnonzero(verdict == CONSTANT).tolist() == [4]
    assert np.flatnonzero(verdict == DUPLICATE).tolist() == [5, 9]
    dependent = np.flatnonzero(verdict == DEPENDENT).tolist()
    assert len(dependent) == 1
    assert set(dependent) <= {1, 3, 10}
    duplicate_of = reading.array(0, "duplicate_of")
    assert duplicate_of is not None
    assert duplicate_of[[5, 9]].tolist() == [0, 0]
    assert np.count_nonzero(duplicate_of >= 0) == 2
    assert (reading.network.units, reading.network.needed_units) == (12, 6)
    assert reading.network.parameters == 6 * 12 + 12 + 12 * 4 + 4
    assert reading.network.macs == 6 * 12 + 12 * 4
    assert site.firing_bound == pytest.approx(1 - 0.05 ** (1 / site.examples))
    assert site.removable["1e-06"] == 3
    assert site.unconfirmed == 0


def test_numbers_equal_the_oracles_on_the_same_rows():
    model, batches = planted_mlp(1), data(seed=1)
    reading = static(model, batches, seed=5)
    split = Plan(600, 5).split
    with torch.no_grad():
        z = model[0](torch.cat(batches))
        value = torch.relu(z).numpy()
    calibrate, read = value[split == CALIBRATE], value[split != VERIFY]
    site, arrays = reading.sites[0], {key.split("/")[1]: array for key, array in reading.arrays.items()}
    assert (site.rows, site.select_rows, site.examples) == (len(calibrate), len(read) - len(calibrate), len(read))
    live = [u for u in range(12) if u not in (2, 4, 7)]
    assert np.allclose(arrays["r2"][live], r2_one_by_one(calibrate[:, live]), atol=1e-8)
    assert np.isnan(arrays["r2"][[2, 4, 7]]).all()
    assert np.allclose(arrays["spectrum"], np.linalg.eigvalsh(np.cov(calibrate, rowvar=False))[::-1], atol=1e-10)
    correlation = np.corrcoef(calibrate[:, live], rowvar=False)
    assert np.allclose(arrays["correlation_spectrum"], np.linalg.eigvalsh(correlation)[::-1], atol=1e-10)
    assert np.allclose(arrays["mean"], read.mean(0))
    assert np.allclose(arrays["std"], read.std(0, ddof=1))
    on = (z.numpy()[split != VERIFY] > 0).mean(0)
    assert np.allclose(arrays["linear_share"], on)
    assert site.linear_zone is not None
    assert site.linear_zone.value == pytest.approx(on.mean())
    assert site.linear_zone.low is not None
    assert site.linear_zone.high is not None
    assert site.linear_zone.low < on.mean() < site.linear_zone.high
    paper = static(model, batches, seed=5, mode="paper").sites[0]
    assert paper.redundant is not None
    assert paper.redundant.value == paper_redundancy(calibrate)


@settings(max_examples=6)
@given(st.integers(0, 99), st.integers(1, 200), st.integers(0, 3))
def test_the_batches_do_not_matter(seed, batch, run_seed):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(2, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 16, 7), nn.GELU()).double().eval()
    x = torch.randn(120, 2, 6, 6, dtype=torch.float64)
    graph = nc.trace(model, x[:3])
    whole = static(graph, [x], seed=run_seed)
    parts = static(graph, list(x.split(batch)), seed=run_seed)
    same(whole.arrays, parts.arrays, 1e-9)
    assert [site.removable for site in whole.sites] == [site.removable for site in parts.sites]
    assert [site.rows for site in whole.sites] == [site.rows for site in parts.sites]
    assert whole.provenance.data_fingerprint == parts.provenance.data_fingerprint


def test_two_runs_are_identical_and_another_seed_is_not():
    model, batches = planted_mlp(), data()
    first, second, other = static(model, batches), static(model, batches), static(model, batches, seed=1)
    assert first.model_dump_json() == second.model_dump_json()
    same(first.arrays, second.arrays)
    assert first.model_dump_json() != other.model_dump_json()


def test_a_graph_reads_like_its_model():
    model, batches = planted_mlp(), data()
    graph = nc.trace(model, batches[0])
    assert static(graph, batches).model_dump_json() == static(model, batches).model_dump_json()


def test_verify_examples_are_not_run():
    batches = data()
    x = torch.cat(batches)
    verify = torch.from_numpy(Plan(600, 0).split == VERIFY)
    changed = x.clone()
    changed[verify] = 1e6
    model = planted_mlp()
    first, second = static(model, batches), static(model, list(changed.split(64)))
    same(first.arrays, second.arrays)
    assert first.provenance.verification_reads == 0
    assert first.provenance.examples["verify"] == int(verify.sum())
    assert first.provenance.data_fingerprint != second.provenance.data_fingerprint


@given(st.permutations(range(12)), st.integers(0, 99))
@settings(max_examples=6)
def test_the_verdicts_move_with_the_units_and_know_no_scale(order, seed):
    rng = np.random.default_rng(seed)
    model = planted_mlp()
    scale = torch.from_numpy(10 ** rng.uniform(-2, 2, 12))
    order = torch.tensor(order)
    moved = planted_mlp()
    moved[0].weight.data = (model[0].weight.data * scale[:, None])[order]
    moved[0].bias.data = (model[0].bias.data * scale)[order]
    before, after = static(model, data()), static(moved, data())
    a, b = before.sites[0], after.sites[0]
    assert (a.dead, a.constant, a.duplicate, a.dependent, a.needed) == (
        b.dead,
        b.constant,
        b.duplicate,
        b.dependent,
        b.needed,
    )
    assert np.allclose(before.arrays["0/r2"][order], after.arrays["0/r2"], atol=1e-8, equal_nan=True)
    assert a.redundant_correlation is not None
    assert b.redundant_correlation is not None
    assert a.redundant_correlation.value == b.redundant_correlation.value


def test_a_relation_that_fails_on_select_rows_is_unconfirmed():
    """Two inputs agree on every calibrate example and on no select example."""
    x = torch.cat(data(shape=(4,))).abs() + 1
    calibrate = torch.from_numpy(Plan(600, 0).split == CALIBRATE)
    x[calibrate, 1] = x[calibrate, 0]
    reading = static(identity(4), list(x.split(64)), example=x[:4])
    site = reading.sites[0]
    assert (site.unconfirmed, site.duplicate, site.needed, site.removable["1e-06"]) == (1, 0, 4, 0)
    assert (reading.arrays["0/duplicate_of"] == -1).all()


def test_smooth_sites_bend_and_have_no_zone():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 2)).double().eval()
    reading = static(model, data())
    site = reading.sites[0]
    assert (site.always_on, site.linear_zone) == (None, None)
    with torch.no_grad():
        z = model[0](torch.cat(data())).numpy()[Plan(600, 0).split != VERIFY]
    r = np.array([np.corrcoef(z[:, u], np.tanh(z[:, u]))[0, 1] for u in range(9)])
    assert np.allclose(reading.arrays["0/bending"], 1 - r**2, atol=1e-12)
    assert site.bending_share is not None
    assert site.bending_share.value == pytest.approx(np.mean(1 - r**2))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.inner, self.back, self.head = nn.Linear(6, 8), nn.Linear(8, 5), nn.Linear(5, 8), nn.Linear(8, 3)

    def forward(self, x):
        x = self.stem(x)
        return self.head(x + self.back(torch.relu(self.inner(x))))


def test_a_coupled_group_is_counted_once():
    torch.manual_seed(0)
    reading = static(Residual().double().eval(), data())
    assert {site.kind: site.units for site in reading.sites} == {"activation": 5, "stream": 8}
    assert reading.network.units == 13
    judged = [site.needed for site in reading.sites]
    assert reading.network.needed_units == sum(number or 0 for number in judged)


def test_too_few_rows_are_not_judged_and_few_rows_are_warned_about():
    torch.manual_seed(0)
    model: Any = nn.Sequential(nn.Linear(6, 200), nn.ReLU(), nn.Linear(200, 12), nn.ReLU()).double().eval()
    model[0].weight.data[3], model[0].bias.data[3] = 0, -1.0
    reading = static(model, data(200))
    wide, narrow = reading.sites
    assert wide.reason is not None
    assert wide.reason.startswith(f"too few rows ({wide.rows:,} for 200 units)")
    assert (wide.dead, wide.duplicate, wide.dependent, wide.needed, wide.redundant) == (1, None, None, None, None)
    assert sorted(set(reading.arrays["0/verdict"].tolist())) == [-1, 0]
    assert narrow.needed is not None
    assert any("fewer than 20 rows a unit" in warning for warning in narrow.warnings)
    assert reading.network.needed_units is None
    assert reading.network.redundant is None
    assert static(model, data(200), mode="paper").sites[0].redundant is not None


def test_rows_of_few_examples_are_warned_about():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 40, 3, padding=1), nn.ReLU()).double().eval()
    site = static(model, data(40, (1, 12, 12))).sites[0]
    assert site.rows > 800
    assert any("positions of one example are correlated" in warning for warning in site.warnings)


def test_units_that_vary_too_rarely_are_needed_and_said():
    x = torch.ones(400, 3, dtype=torch.float64) + torch.cat(data(400, (3,))).abs()
    x[:, 2] = 0
    select = np.flatnonzero(Plan(400, 0).split == 1)
    x[select[0], 2] = 5.0
    site = static(identity(3), [x], example=x[:4]).sites[0]
    assert (site.dead, site.constant, site.needed) == (0, 0, 3)
    assert any("vary too rarely" in warning for warning in site.warnings)


def test_measures_can_be_chosen():
    model, batches = planted_mlp(), data()
    states = static(model, batches, only="unit_states").sites[0]
    assert (states.dead, states.needed, states.redundant) == (2, None, None)
    assert states.reason == "not measured: redundant, needed"
    redundant = static(model, batches, only="redundant").sites[0]
    assert redundant.redundant is not None
    assert (redundant.dead, redundant.needed) == (None, None)


def test_sites_can_be_chosen():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.Tanh()).double().eval()
    reading = static(model, data(), sites="3")
    assert [site.name for site in reading.sites] == ["3"]
    assert reading.network.units == 4
    with pytest.raises(InputError, match=r"`sites` must match .* the sites are 1, 3"):
        static(model, data(), sites=["1", "layer*"])


# what the annotations forbid is passed around the run-time check of the tests: users have no such check
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "fast"}, "`mode` must be one of default, paper, got 'fast'"),
        ({"seed": "a"}, "`seed` must be an integer"),
        ({"only": "cka"}, "`only` must name measures among unit_states, redundant, .*, got 'cka'"),
        ({"only": "redundant", "skip": ["redundant"]}, "must leave a measure"),
        ({"twin": "shuffled"}, "`twin` must be True, False or a function"),
        ({"ablation": "noise"}, "`ablation` must be one of zero, mean, got 'noise'"),
        ({"device": "abacus"}, "`device` must be one that torch can use here, got 'abacus'"),
    ],
)
def test_bad_arguments_name_the_remedy(arguments, message):
    with pytest.raises(InputError, match=message):
        unwrap(nc.measure)(planted_mlp(), data(), **arguments)


def test_a_model_must_be_a_module_with_sites():
    with pytest.raises(InputError, match="`model` must be a torch module"):
        unwrap(nc.measure)(print, data())
    with pytest.raises(InputError, match="at least one site"):
        static(nn.Linear(6, 2).double().eval(), data())


class Shrinking:
    """A loader that gives less on every pass."""

    def __init__(self):
        self.batches = data() + data()

    def __iter__(self):
        yield from self.batches
        self.batches = self.batches[:-1]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([], "no batches"),
        (data(1), "give more examples"),
        (iter(data()), "list"),
        (Shrinking(), "must give the same .* on every pass, got only"),
    ],
)
def test_bad_data_name_the_remedy(bad, message):
    with pytest.raises(DataError, match=message):
        static(planted_mlp(), bad)


class Overflow(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        return torch.relu(self.second(torch.relu(self.first(x)) * 1e300))


def test_values_that_are_not_finite_are_named_by_site():
    batches = data()
    batches[5] = batches[5] * 1e10
    with pytest.raises(DataError, match="site `relu#2` must have finite values"):
        static(Overflow().double().eval(), batches)


def test_loaders_dicts_and_labels_are_taken_and_shuffling_is_said():
    x = torch.cat(data())
    labels = torch.zeros(600, dtype=torch.int64)
    model, plain = planted_mlp(), static(planted_mlp(), data())
    loader = static(model, DataLoader(TensorDataset(x, labels), batch_size=50))
    assert loader.provenance.data == "DataLoader of TensorDataset"
    assert loader.provenance.data_fingerprint == plain.provenance.data_fingerprint
    same(plain.arrays, loader.arrays, 1e-9)
    assert not loader.warnings
    shuffled = static(model, DataLoader(TensorDataset(x, labels), batch_size=50, shuffle=True))
    assert "shuffled" in shuffled.warnings[0]


def test_progress_and_the_estimate_come_first():
    said = []
    reading = static(planted_mlp(), data(), progress=lambda *step: said.append(step))
    assert "forward passes" in said[0][0]
    assert [done for _, done, _ in said] == sorted(done for _, done, _ in said)
    assert said[-1][1:] == (600, 600)
    assert reading.cost.passes == pytest.approx(reading.sites[0].examples / 600)
    assert set(reading.cost.seconds) == {"trace", "count", "estimate", "read"}


def test_every_number_is_finite_and_every_share_has_its_sample():
    reading = static(planted_mlp(), data())
    for site in reading.sites:
        for share in (site.linear_zone, site.redundant, site.redundant_correlation):
            assert share is not None
            assert share.low is not None
            assert share.high is not None
            assert 0 <= share.low <= share.value <= share.high <= 1
            assert share.sample > 0
            assert "jackknife" in share.over
    assert reading.network.redundant is not None
    assert math.isfinite(reading.network.redundant.value)


# ---- how many units the network needs, and its twin


def classifier(seed=0) -> Any:
    """Sixteen and twelve units, of which a few would do; four classes that all occur."""
    torch.manual_seed(seed)
    model: Any = (
        nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 4)).double().eval()
    )
    with torch.no_grad():
        model[0].weight[10:] = 1e-3 * model[0].weight[10:]  # heard by nobody
        model[4].weight[:, 8:] *= 1e-3
        model[4].bias -= model(torch.cat(data(600))).mean(0)
    return model


def test_a_whole_reading_says_what_is_needed_and_verifies_it():
    reading = nc.measure(classifier(), data(), twin=lambda: classifier(7))
    for index, site in enumerate(reading.sites):
        parts = (site.dead, site.constant, site.duplicate, site.dependent, site.absorbable, site.needed)
        assert None not in parts
        assert sum(part or 0 for part in parts) == site.units
        assert site.absorbable
        assert site.unexplained
        assert max(site.unexplained.values()) <= 0.01 + 1e-12
        order, verdict = reading.array(index, "absorb_order"), reading.array(index, "verdict")
        assert order is not None
        assert verdict is not None
        assert set(np.flatnonzero(verdict == 4)) <= set(order.tolist())
        assert site.prunable is not None
        assert site.ablation is not None
        assert site.ablation.count == math.floor(site.prunable.value * site.units)
    network = reading.network
    needed = sum(site.needed or 0 for site in reading.sites)
    assert network.needed_units == needed < network.units
    assert network.agreement is not None
    assert network.agreement_low is not None
    assert network.agreement_low < network.agreement <= 1
    assert network.prunable is not None
    assert network.needed_at_97 is not None
    assert network.needed_at_97.units is not None
    assert len(network.needed_at_97.random) == 3
    assert reading.provenance.verification_reads == 1
    levels = reading.array("network", "ablation_levels")
    assert levels is not None
    assert levels.shape == (13,)


def test_verify_examples_change_nothing_but_what_they_verify():
    batches, model = data(), classifier()
    verify = Plan(600, 0).split == VERIFY
    changed = torch.cat(batches)
    changed[torch.from_numpy(verify)] *= 3
    first = nc.measure(model, batches, twin=False)
    second = nc.measure(model, list(changed.split(64)), twin=False)
    assert first.sites == second.sites
    same(first.arrays, second.arrays)
    assert first.network.agreement != second.network.agreement
    assert first.network.needed_at_97 is not None
    assert second.network.needed_at_97 is not None
    chosen = {"tau", "units", "by_site"}
    assert first.network.needed_at_97.model_dump(include=chosen) == second.network.needed_at_97.model_dump(
        include=chosen
    )


def test_the_twin_is_read_like_any_network():
    batches = data()
    reading = nc.measure(classifier(), batches, twin=lambda: classifier(7))
    assert reading.twin is not None
    assert (reading.twin.kind, [site.name for site in reading.twin.sites]) == ("factory", ["1", "3"])
    alone = nc.measure(classifier(7), batches, twin=False, skip="needed_at_97")
    assert reading.twin.sites == alone.sites
    same({key.removeprefix("twin/"): a for key, a in reading.arrays.items() if key.startswith("twin/")}, alone.arrays)
    unverified = {"agreement": None, "agreement_low": None}
    assert reading.twin.network == alone.network.model_copy(update=unverified)
    shuffled = nc.measure(classifier(), batches, only="unit_states")
    assert shuffled.twin is not None
    assert shuffled.twin.kind == "shuffled"
    with pytest.raises(InputError, match="`twin` must return the architecture of `model`"):
        nc.measure(classifier(), batches, twin=lambda: nn.Linear(6, 4).double())


def test_two_whole_runs_are_identical_however_the_data_are_cut():
    x, model = torch.cat(data()), classifier()
    first = nc.measure(model, list(x.split(64)))
    again = nc.measure(model, list(x.split(64)))
    cut = nc.measure(model, list(x.split(37)))
    assert first.model_dump_json() == again.model_dump_json()
    same(first.arrays, again.arrays)
    same(first.arrays, cut.arrays, 1e-9)
    assert [site.needed for site in first.sites] == [site.needed for site in cut.sites]


def test_an_interrupted_elimination_goes_on_where_it_was(tmp_path, monkeypatch):
    model, batches = classifier(), data()
    whole = nc.measure(model, batches, twin=False)
    judge, judged = NeededStates._eliminate, []

    def interrupted(self, site, *rest):
        if len(judged) == 1:
            raise KeyboardInterrupt
        judged.append(site.name)
        return judge(self, site, *rest)

    monkeypatch.setattr(NeededStates, "_eliminate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        nc.measure(model, batches, twin=False, state=tmp_path / "state")
    monkeypatch.setattr(
        NeededStates, "_eliminate", lambda self, site, *rest: judged.append(site.name) or judge(self, site, *rest)
    )
    resumed = nc.measure(model, batches, twin=False, state=tmp_path / "state")
    assert judged == ["1", "3"]
    assert resumed.model_dump_json() == whole.model_dump_json()
    same(resumed.arrays, whole.arrays)
    with pytest.raises(InputError, match="belongs to other work"):
        nc.measure(model, batches, twin=False, state=tmp_path / "state", seed=3)


def test_labels_are_asked_for_by_selectivity_alone():
    batches = data()
    labels = torch.arange(600) % 4
    labeled = list(zip(batches, labels.split(64), strict=True))
    with_labels = nc.measure(classifier(), labeled, only="selectivity", twin=False).sites[0]
    without = nc.measure(classifier(), batches, only="selectivity", twin=False).sites[0]
    assert with_labels.selectivity is not None
    assert without.selectivity is None
    assert without.reason is not None
    assert "no labels" in without.reason


def test_what_is_not_needed_is_not_asked():
    reading = nc.measure(classifier(), data(), skip=["needed", "prunable"], twin=False)
    assert reading.network.agreement is None
    assert reading.network.needed_at_97 is None
    assert all(site.absorbable is None and site.prunable is None for site in reading.sites)
    assert reading.provenance.verification_reads == 0
    asked = nc.measure(classifier(), data(), only="needed_at_97", twin=False)
    assert asked.network.needed_at_97 is not None


def test_the_estimate_is_what_a_run_costs_at_most():
    said = []
    reading = nc.measure(classifier(), data(), progress=lambda *step: said.append(step))
    estimated = float(said[0][0].split()[0])
    assert 0 < reading.cost.passes <= estimated + 0.05
