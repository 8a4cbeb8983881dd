"""Pictures as PNG, against a decoder that is not ours."""

from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest

from netcaliper.report.png import LARGEST, data_uri

image = pytest.importorskip("PIL.Image")


def decoded(uri):
    head, body = uri.split(",")
    assert head == "data:image/png;base64"
    picture = image.open(BytesIO(b64decode(body, validate=True)))
    assert (picture.format, picture.mode) == ("PNG", "RGB")
    return np.asarray(picture)


@pytest.mark.parametrize("shape", [(1, 1), (32, 32), (7, 96), (96, 3)])
def test_every_pixel_comes_back(shape):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decoded(data_uri(pixels)), pixels)


def test_a_large_picture_is_thinned_out():
    pixels = np.random.default_rng(0).integers(0, 256, (224, 300, 3), dtype=np.uint8)
    found = decoded(data_uri(pixels))
    np.testing.assert_array_equal(found, pixels[::4, ::4])
    assert max(found.shape) <= LARGEST


def test_a_view_is_written_as_it_looks():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 9), dtype=np.uint8)
    turned = pixels.transpose(1, 2, 0)[::-1]
    np.testing.assert_array_equal(decoded(data_uri(turned)), turned)
