"""Images in a batch: the same whatever the threads do, of one size, and named where they are damaged."""

import numpy as np
import pytest
import torch

from made_tables import png, write
from netcaliper.errors import DataError
from netcaliper.specs.data import load_data
from netcaliper.specs.datasets.images import Images
from netcaliper.specs.datasets.preprocessing import preprocessing


def test_images_that_cannot_be_read_are_named_by_row(tmp_path):
    mixed = write(tmp_path / "m.parquet", image=[png(0), png(1), png(2, (4, 5))])
    with pytest.raises(DataError, match=r"'image' in row 0 of `parquet:` m.parquet comes out with 4 x 4.*in row 2"):
        list(load_data(mixed, batch_size=2))
    bad = write(tmp_path / "b.parquet", image=[png(0), b"damaged"])
    with pytest.raises(DataError, match=r"'image' in row 1 of `parquet:` b.parquet cannot be decoded"):
        list(load_data(bad))
    paths = write(tmp_path / "p.parquet", image=[{"bytes": None, "path": "a.png"}, {"bytes": png(0), "path": "b.png"}])
    with pytest.raises(DataError, match=r"row 0 .* holds no bytes, only the path 'a.png'.*`imagefolder:FOLDER`"):
        list(load_data(paths))
    null = write(tmp_path / "n.parquet", image=[png(0), None])
    with pytest.raises(DataError, match=r"'image' in row 1 of `parquet:` n.parquet is empty"):
        list(load_data(null))


def test_threads_keep_the_order():
    encoded = [(png(n), f"image {n}") for n in range(64)]
    images = Images(preprocessing(), "t")
    alone = torch.cat([images.batch([one]) for one in encoded])
    assert torch.equal(images.batch(encoded), alone)
    assert len({tuple(image.flatten().tolist()) for image in alone}) == 64


def test_bytes_and_files_are_the_same(tmp_path):
    (tmp_path / "a").write_bytes(png(3))
    images = Images(preprocessing(size=3), "t")
    from_bytes, from_file = images.batch([(png(3), "bytes"), (tmp_path / "a", "file")])
    assert torch.equal(from_bytes, from_file)
    assert np.isfinite(from_bytes.numpy()).all()
