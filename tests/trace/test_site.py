"""The canonical layout, and which columns read a unit."""

import numpy as np
import torch

from netcaliper.trace.site import Consumer, Site


def _site(axis: int, batch_axis: int, units: int) -> Site:
    return Site(
        "s", "activation", "relu", units, axis, batch_axis, "n", ("m",), None, (), (), (), None, np.arange(units), None
    )  # fmt: skip


def test_rows_are_examples_positions_units() -> None:
    images = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    rows = _site(1, 0, 3).rows(images, 2)
    assert rows.shape == (2, 20, 3)
    assert torch.equal(rows[1, 7], images[1, :, 1, 2])
    assert _site(1, 0, 6).rows(torch.zeros(2, 6), 2).shape == (2, 1, 6)
    assert _site(2, 1, 6).rows(torch.zeros(7, 2, 6), 2).shape == (2, 7, 6)


def test_windows_stay_with_their_example() -> None:
    """Swin's windows: the batch axis is a multiple of the batch, example by example."""
    windows = torch.arange(2 * 4 * 9 * 5).reshape(8, 9, 5)
    rows = _site(2, 0, 5).rows(windows, 2)
    assert rows.shape == (2, 36, 5)
    assert torch.equal(rows[1], windows[4:].reshape(36, 5))


def test_columns_of_a_unit() -> None:
    consumer = Consumer("fc", "linear", "fc.weight", np.array([0, 0, 1, -1, 1]), (), "linear", 0)
    assert consumer.columns(1).tolist() == [2, 4]
    assert consumer.columns(7).tolist() == []
