"""The record of layers: arrays are found by network and name."""

import numpy as np

from layers_readings import bare, one


def test_arrays_by_network_and_name():
    reading = one()
    assert np.array_equal(reading.array(0, "cka"), reading.arrays["0/cka"], equal_nan=True)
    assert np.array_equal(reading.array("twin", "cka"), reading.arrays["twin/cka"], equal_nan=True)
    assert bare().array("twin", "cka") is None
