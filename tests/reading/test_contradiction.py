"""What does not fit together is named; what does is let through."""

import numpy as np
import pytest

import readings
from netcaliper.reading.contradiction import contradiction
from netcaliper.reading.schema import NeededAt
from readings import there


@pytest.mark.parametrize(
    "reading",
    [readings.small(), readings.whole(), readings.whole(lopsided=True), readings.wide(9), readings.assemble(())],
    ids=["small", "whole", "lopsided", "wide", "none"],
)
def test_readings_that_fit_together(reading):
    assert contradiction(reading) is None


def with_twin(reading, change):
    sites = change(list(there(reading.twin).sites))
    return reading.model_copy(update={"twin": there(reading.twin).model_copy(update={"sites": tuple(sites)})})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda sites: sites[:-1], "the twin has 3 sites, and the network has 4"),
        (lambda sites: sites[::-1], "the twin has site 'head.relu' of 256 units where the network has 'features.0"),
        (lambda s: [s[0].model_copy(update={"units": 31}), *s[1:]], "of 31 units where"),
        (lambda s: [s[0].model_copy(update={"needed": 1}), *s[1:]], "site 'features.0.relu' of the twin adds up to"),
    ],
)
def test_a_twin_has_the_same_sites(change, words):
    assert words in there(contradiction(with_twin(readings.whole(), change)))


def test_absorbable_units_are_part_of_the_partition():
    site = readings.site("a", absorbable=8)
    reading = readings.assemble((site,))
    assert contradiction(reading) is None
    wrong = reading.model_copy(update={"sites": (site.model_copy(update={"absorbable": 9}),)})
    assert "adds up to 65, not to its 64 units" in there(contradiction(wrong))


def test_needed_at_counts_units_of_sites():
    reading = readings.whole()
    for twin in (False, True):
        holder = there(reading.twin).network if twin else reading.network
        row = holder.model_copy(update={"needed_at_97": NeededAt(target=0.97, by_site={"nowhere": 3})})
        update = {"twin": there(reading.twin).model_copy(update={"network": row})} if twin else {"network": row}
        assert "'nowhere', which is no site" in there(contradiction(reading.model_copy(update=update)))


def added(reading, key, array):
    return reading.model_copy(update={"arrays": {**reading.arrays, key: array}})


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("0/r2", 33), ("0/neighbors", 31), ("0/selectivity", 33), ("0/selectivity_calibrate", 31),
        ("0/selective_class", 33), ("0/absorb_order", 33), ("0/absorb_order", (4, 2)), ("0/correlation_pairs", 19),
        ("twin/0/r2", 33), ("twin/0/verdict", 64), ("twin/0/neighbors", 31), ("twin/4/r2", 32), ("4/r2", 32),
        ("0/ablation_agreement", (8, 12)), ("0/ablation_agreement", (7, 13)), ("0/ablation_kappa", 13),
        ("0/ablation_levels", (1, 13)), ("network/ablation_agreement", (3, 13)),
        ("network/ablation_divergence", (8, 14)), ("twin/network/ablation_agreement", (8, 7)),
        ("twin/1/ablation_levels", 0),
    ],
)  # fmt: skip
def test_arrays_fit_what_they_belong_to(key, shape):
    assert f"array '{key}'" in there(contradiction(added(readings.whole(), key, np.zeros(shape))))


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("0/neighbors", 32), ("0/absorb_order", 0), ("0/absorb_order", 13), ("0/correlation_pairs", 20),
        ("twin/3/selective_class", 256), ("network/ablation_kappa", (8, 13)), ("network/anything", (2, 2)),
    ],
)  # fmt: skip
def test_new_arrays_are_let_through(key, shape):
    assert contradiction(added(readings.whole(), key, np.zeros(shape))) is None


@pytest.mark.parametrize(
    "key", ["twin/0", "twin/twin/0/r2", "twins/0/r2", "network", "network/0/r2", "Network/x", "twin//r2", "0/twin/r2"]
)
def test_keys_of_another_form_are_refused(key):
    assert "is not of the form" in there(contradiction(added(readings.whole(), key, np.zeros(32))))


def test_arrays_of_a_twin_need_a_twin():
    reading = readings.whole().model_copy(update={"twin": None})
    assert "belongs to a twin, and there is none" in there(contradiction(reading))


def test_curves_need_their_levels_and_their_ablation():
    reading = readings.whole()
    left = {key: array for key, array in reading.arrays.items() if key != "network/ablation_levels"}
    assert "has no `ablation_levels` beside it" in there(contradiction(reading.model_copy(update={"arrays": left})))
    without = reading.model_copy(update={"network": reading.network.model_copy(update={"ablation": None})})
    assert "the record has no ablation there" in there(contradiction(without))
