"""Tables and images made for a test."""

import io

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def write(file, groups=None, **columns):
    """Write columns to a parquet file and return its spec."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), file, row_group_size=groups)
    return f"parquet:{file}"


def png(seed, size=(4, 4)):
    """Return an image of noise, encoded."""
    image = pytest.importorskip("PIL.Image").fromarray(
        np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    )
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return stream.getvalue()
