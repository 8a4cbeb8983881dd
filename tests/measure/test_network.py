from typing import Any

import numpy as np
import pytest

from netcaliper.measure.network import network_reading
from netcaliper.measure.site_record import SiteAnswer
from netcaliper.reading.schema import Share, SiteReading
from netcaliper.trace.site import Site

NEEDED, DEAD, OPEN = 5, 0, -1


def site(ids):
    return Site(
        name="s", kind="activation", op="relu", units=len(ids), axis=1, batch_axis=0, node="n", inputs=("z",),
        activation=None, consumers=(), readers=(), barriers=(), refused=None, rows_of_units=np.array(ids), group=None,
    )  # fmt: skip


def record(codes, share):
    return SiteReading(
        name="s", kind="activation", op="relu", units=len(codes), positions=1, examples=10, rows=10, select_rows=5,
        needed=None if OPEN in codes else codes.count(NEEDED), redundant=None if share is None else Share(value=share),
    )  # fmt: skip


def read(rows, verdicts, shares, left_out=None) -> Any:
    answers = [
        SiteAnswer(record(codes, share), {"verdict": np.array(codes)}, {} if folds is None else {"redundant": folds})
        for codes, share, folds in zip(verdicts, shares, left_out or [None] * len(rows), strict=True)
    ]
    return network_reading([site(ids) for ids in rows], answers, parameters=7, macs=9)


def test_a_row_that_shows_at_two_sites_counts_once_and_is_needed_if_needed_anywhere():
    network = read([[0, 1, 2], [1, 2, 3]], [[DEAD, DEAD, NEEDED], [NEEDED, DEAD, DEAD]], [0.5, 0.25])
    assert (network.sites, network.units, network.needed_units) == (2, 4, 2)
    assert (network.parameters, network.macs) == (7, 9)
    assert network.redundant.value == 0.375


def test_units_without_an_id_are_rows_of_their_own():
    assert read([[-1, -1], [-1, 4]], [[NEEDED, NEEDED], [DEAD, NEEDED]], [0.5, 0.5]).units == 4


def test_one_site_that_was_not_judged_leaves_the_network_open():
    network = read([[0], [1]], [[OPEN], [NEEDED]], [None, 0.5])
    assert network.needed_units is None
    assert network.redundant is None


def test_the_interval_of_the_mean_is_over_the_same_folds():
    left_out = [np.linspace(0.4, 0.6, 10), np.linspace(0.3, 0.1, 10)]
    network = read([[0], [1]], [[NEEDED], [NEEDED]], [0.5, 0.2], left_out)
    assert (network.redundant.low, network.redundant.high) == pytest.approx((0.35, 0.35))  # the folds cancel
    assert read([[0], [1]], [[NEEDED], [NEEDED]], [0.5, 0.2], [left_out[0], None]).redundant.low is None


def test_a_site_that_is_too_wide_to_keep_folds_leaves_the_mean_without_an_interval():
    network = read([[0], [1]], [[NEEDED], [NEEDED]], [0.5, 0.2], [np.linspace(0.4, 0.6, 10), np.array([np.nan])])
    assert network.redundant.value == 0.35
    assert network.redundant.low is None
