import numpy as np

from netcaliper.measure.needed_answer import Needed


def test_units_that_go_at_another_tau_are_a_start_of_the_path():
    answer = Needed(
        "relu",
        6,
        0.01,
        4,
        np.array([0, 1, 3, 5]),
        np.array([4, 2]),
        {"a": np.array([0.0, 0.004]), "b": np.array([0.001, 0.002])},
        {"a": 0.004, "b": 0.002},
        np.array([0, 5]),
        np.array([0.1, 0.3]),
    )
    expected = {0.0005: [], 0.001: [4], 0.0039: [4], 0.004: [2, 4], 0.01: [2, 4], 0.1: [0, 2, 4], 0.5: [0, 2, 4, 5]}
    for tau, gone in expected.items():
        assert np.flatnonzero(answer.removed(tau)).tolist() == gone, tau
    assert np.flatnonzero(answer.removed()).tolist() == [2, 4]


def test_of_a_site_that_was_not_judged_no_unit_goes():
    answer = Needed("relu", 3, 0.01, reason="depthwise")
    assert not answer.removed().any()
    assert not answer.removed(0.5).any()
