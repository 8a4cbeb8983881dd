"""The record of layers: arrays are found by network and name."""

from layers_readings import bare, one


def test_arrays_by_network_and_name():
    reading = one()
    assert reading.array(0, "cka") is reading.arrays["0/cka"]
    assert reading.array("twin", "cka") is reading.arrays["twin/cka"]
    assert bare().array("twin", "cka") is None
