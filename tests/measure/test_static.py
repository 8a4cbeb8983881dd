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
from netcaliper.measure.protocol import Plan
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


def test_planted_units_are_counted_exactly():
    reading = nc.measure(planted_mlp(), data())
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
    reading = nc.measure(model, batches, seed=5)
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
    paper = nc.measure(model, batches, seed=5, mode="paper").sites[0]
    assert paper.redundant is not None
    assert paper.redundant.value == paper_redundancy(calibrate)


@settings(max_examples=12)
@given(st.integers(0, 99), st.integers(1, 200), st.integers(0, 3))
def test_the_batches_do_not_matter(seed, batch, run_seed):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(2, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 16, 7), nn.GELU()).double().eval()
    x = torch.randn(120, 2, 6, 6, dtype=torch.float64)
    graph = nc.trace(model, x[:3])
    whole = nc.measure(graph, [x], seed=run_seed)
    parts = nc.measure(graph, list(x.split(batch)), seed=run_seed)
    same(whole.arrays, parts.arrays, 1e-9)
    assert [site.removable for site in whole.sites] == [site.removable for site in parts.sites]
    assert [site.rows for site in whole.sites] == [site.rows for site in parts.sites]
    assert whole.provenance.data_fingerprint == parts.provenance.data_fingerprint


def test_two_runs_are_identical_and_another_seed_is_not():
    model, batches = planted_mlp(), data()
    first, second, other = nc.measure(model, batches), nc.measure(model, batches), nc.measure(model, batches, seed=1)
    assert first.model_dump_json() == second.model_dump_json()
    same(first.arrays, second.arrays)
    assert first.model_dump_json() != other.model_dump_json()


def test_a_graph_reads_like_its_model():
    model, batches = planted_mlp(), data()
    graph = nc.trace(model, batches[0])
    assert nc.measure(graph, batches).model_dump_json() == nc.measure(model, batches).model_dump_json()


def test_verify_examples_are_not_run():
    batches = data()
    x = torch.cat(batches)
    verify = torch.from_numpy(Plan(600, 0).split == VERIFY)
    changed = x.clone()
    changed[verify] = 1e6
    model = planted_mlp()
    first, second = nc.measure(model, batches), nc.measure(model, list(changed.split(64)))
    same(first.arrays, second.arrays)
    assert first.provenance.verification_reads == 0
    assert first.provenance.examples["verify"] == int(verify.sum())
    assert first.provenance.data_fingerprint != second.provenance.data_fingerprint


@given(st.permutations(range(12)), st.integers(0, 99))
@settings(max_examples=10)
def test_the_verdicts_move_with_the_units_and_know_no_scale(order, seed):
    rng = np.random.default_rng(seed)
    model = planted_mlp()
    scale = torch.from_numpy(10 ** rng.uniform(-2, 2, 12))
    order = torch.tensor(order)
    moved = planted_mlp()
    moved[0].weight.data = (model[0].weight.data * scale[:, None])[order]
    moved[0].bias.data = (model[0].bias.data * scale)[order]
    before, after = nc.measure(model, data()), nc.measure(moved, data())
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
    reading = nc.measure(identity(4), list(x.split(64)), example=x[:4])
    site = reading.sites[0]
    assert (site.unconfirmed, site.duplicate, site.needed, site.removable["1e-06"]) == (1, 0, 4, 0)
    assert (reading.arrays["0/duplicate_of"] == -1).all()


def test_smooth_sites_bend_and_have_no_zone():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 2)).double().eval()
    reading = nc.measure(model, data())
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
    reading = nc.measure(Residual().double().eval(), data())
    assert {site.kind: site.units for site in reading.sites} == {"activation": 5, "stream": 8}
    assert reading.network.units == 13
    judged = [site.needed for site in reading.sites]
    assert reading.network.needed_units == sum(number or 0 for number in judged)


def test_too_few_rows_are_not_judged_and_few_rows_are_warned_about():
    torch.manual_seed(0)
    model: Any = nn.Sequential(nn.Linear(6, 200), nn.ReLU(), nn.Linear(200, 12), nn.ReLU()).double().eval()
    model[0].weight.data[3], model[0].bias.data[3] = 0, -1.0
    reading = nc.measure(model, data(200))
    wide, narrow = reading.sites
    assert wide.reason is not None
    assert wide.reason.startswith(f"too few rows ({wide.rows:,} for 200 units)")
    assert (wide.dead, wide.duplicate, wide.dependent, wide.needed, wide.redundant) == (1, None, None, None, None)
    assert sorted(set(reading.arrays["0/verdict"].tolist())) == [-1, 0]
    assert narrow.needed is not None
    assert any("fewer than 20 rows a unit" in warning for warning in narrow.warnings)
    assert reading.network.needed_units is None
    assert reading.network.redundant is None
    assert nc.measure(model, data(200), mode="paper").sites[0].redundant is not None


def test_rows_of_few_examples_are_warned_about():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 40, 3, padding=1), nn.ReLU()).double().eval()
    site = nc.measure(model, data(40, (1, 12, 12))).sites[0]
    assert site.rows > 800
    assert any("positions of one example are correlated" in warning for warning in site.warnings)


def test_units_that_vary_too_rarely_are_needed_and_said():
    x = torch.ones(400, 3, dtype=torch.float64) + torch.cat(data(400, (3,))).abs()
    x[:, 2] = 0
    select = np.flatnonzero(Plan(400, 0).split == 1)
    x[select[0], 2] = 5.0
    site = nc.measure(identity(3), [x], example=x[:4]).sites[0]
    assert (site.dead, site.constant, site.needed) == (0, 0, 3)
    assert any("vary too rarely" in warning for warning in site.warnings)


def test_measures_can_be_chosen():
    model, batches = planted_mlp(), data()
    states = nc.measure(model, batches, only="unit_states").sites[0]
    assert (states.dead, states.needed, states.redundant) == (2, None, None)
    assert states.reason == "not measured: redundant"
    redundant = nc.measure(model, batches, skip=["unit_states"]).sites[0]
    assert redundant.redundant is not None
    assert (redundant.dead, redundant.needed) == (None, None)


def test_sites_can_be_chosen():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.Tanh()).double().eval()
    reading = nc.measure(model, data(), sites="3")
    assert [site.name for site in reading.sites] == ["3"]
    assert reading.network.units == 4
    with pytest.raises(InputError, match=r"`sites` must match .* the sites are 1, 3"):
        nc.measure(model, data(), sites=["1", "layer*"])


# what the annotations forbid is passed around the run-time check of the tests: users have no such check
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "fast"}, "`mode` must be one of default, paper, got 'fast'"),
        ({"seed": "a"}, "`seed` must be an integer"),
        ({"only": "cka"}, "`only` must name measures among unit_states, redundant, got 'cka'"),
        ({"skip": ["unit_states", "redundant"]}, "must leave a measure"),
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
        nc.measure(nn.Linear(6, 2).double().eval(), data())


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
        nc.measure(planted_mlp(), bad)


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
        nc.measure(Overflow().double().eval(), batches)


def test_loaders_dicts_and_labels_are_taken_and_shuffling_is_said():
    x = torch.cat(data())
    labels = torch.zeros(600, dtype=torch.int64)
    model, plain = planted_mlp(), nc.measure(planted_mlp(), data())
    loader = nc.measure(model, DataLoader(TensorDataset(x, labels), batch_size=50))
    assert loader.provenance.data == "DataLoader of TensorDataset"
    assert loader.provenance.data_fingerprint == plain.provenance.data_fingerprint
    same(plain.arrays, loader.arrays, 1e-9)
    assert not loader.warnings
    shuffled = nc.measure(model, DataLoader(TensorDataset(x, labels), batch_size=50, shuffle=True))
    assert "shuffled" in shuffled.warnings[0]


def test_progress_and_the_estimate_come_first():
    said = []
    reading = nc.measure(planted_mlp(), data(), progress=lambda *step: said.append(step))
    assert "forward passes" in said[0][0]
    assert [done for _, done, _ in said] == sorted(done for _, done, _ in said)
    assert said[-1][1:] == (600, 600)
    assert reading.cost.passes == pytest.approx(reading.sites[0].examples / 600)
    assert set(reading.cost.seconds) == {"trace", "count", "run", "finish"}


def test_every_number_is_finite_and_every_share_has_its_sample():
    reading = nc.measure(planted_mlp(), data())
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
