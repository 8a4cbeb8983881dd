"""The record of a linearization: arrays by point and by site."""

import numpy as np

import linearization_readings as made


def test_arrays_are_found_by_point_and_cut_by_site():
    record = made.swept()
    whole = record.array(1, "alphas")
    assert whole is not None
    parts = [record.of_site(1, "alphas", site) for site in range(len(record.sites))]
    assert [len(part) for part in parts if part is not None] == [site.units for site in record.sites]
    assert np.array_equal(np.concatenate([part for part in parts if part is not None]), whole)


def test_what_is_not_there_is_none():
    record = made.coreless()
    assert record.array(0, "alphas") is None
    assert record.of_site(0, "alphas", 0) is None
