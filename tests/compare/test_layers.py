"""``nc.layers``: the record, its arrays, the twin, what is skipped."""

import numpy as np
import pytest
import torch

from bestiary import Comparing, stock
from netcaliper.compare.cka import cka
from netcaliper.compare.layers import layers
from netcaliper.errors import InputError
from netcaliper.reading.layers_reading import LayersReading

N = 130


def data(n: int = N, size: int = 16):
    g = torch.Generator().manual_seed(0)
    return [(x, torch.randint(0, 10, (len(x),), generator=g)) for x in torch.randn(n, 3, 8, 8, generator=g).split(size)]


@pytest.fixture(scope="module")
def reading() -> LayersReading:
    return layers(stock()[0], data(), "layer*", batch=16, passes=2, together=110, skip="deletion", twin=False)


def test_the_matrix_is_that_of_cka(reading: LayersReading) -> None:
    found = cka(stock()[0], data(size=40), "layer*", batch=16, passes=2)
    network = reading.networks[0]
    assert tuple(layer.name for layer in network.layers) == found.layers
    for name in ("matrix", "standard_error", "partition_error"):
        array = reading.arrays[f"0/{'cka' if name == 'matrix' else name}"]
        assert np.array_equal(array, getattr(found, name), equal_nan=True), name
    assert reading.estimator.name == found.method
    assert (reading.estimator.batch, reading.estimator.passes, reading.estimator.examples) == (16, 2, N)
    assert reading.estimator.held == 110


def test_every_array_has_a_row_a_layer(reading: LayersReading) -> None:
    count, arrays = len(reading.networks[0].layers), reading.arrays
    for name in ("cka", "cka_normalized", "cka_without_pc", "cka_without_dominant", "procrustes", "neighbors"):
        assert arrays[f"0/{name}"].shape == (count, count), name
        assert np.allclose(arrays[f"0/{name}"], arrays[f"0/{name}"].T, atol=1e-5, equal_nan=True), name
    assert arrays["0/pc_scores"].shape == arrays["0/norms"].shape == (count, 110)
    assert np.allclose(np.diag(arrays["0/pc_cosine"]), 1)
    assert arrays["0/probe"].shape == (count,)
    assert reading.networks[0].dominant is not None
    assert set(reading.networks[0].dominant.examples) <= set(arrays["0/held"].tolist())
    assert reading.networks[0].accuracy is not None
    assert reading.twin is None


def test_two_runs_are_the_same(reading: LayersReading) -> None:
    again = layers(stock()[0], data(size=50), "layer*", batch=16, passes=2, together=110, skip="deletion", twin=False)
    assert again.arrays.keys() == reading.arrays.keys()
    for name, array in reading.arrays.items():
        assert np.array_equal(array, again.arrays[name], equal_nan=True), name


def test_parts_can_be_left_out_and_the_twin_stands_beside() -> None:
    skip = ["components", "neighbors", "procrustes", "variants", "probes", "deletion"]
    found = layers(Comparing().eval(), [torch.randn(60, 4)], batch=8, passes=1, skip=skip)
    assert set(found.arrays) == {
        f"{of}/{n}" for of in ("0", "twin") for n in ("cka", "standard_error", "partition_error")
    }
    assert found.twin is not None
    assert found.twin_kind == "shuffled"


@pytest.mark.parametrize(
    ("options", "words"),
    [({"skip": "probe"}, "`skip`"), ({"batch": 2}, "`batch`"), ({"layers": "q"}, "`layers`")],
)
def test_what_cannot_be_used_is_refused(options, words: str) -> None:
    with pytest.raises(InputError, match=words):
        layers(Comparing().eval(), [torch.randn(60, 4)], **options)
