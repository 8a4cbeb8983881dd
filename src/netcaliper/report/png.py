"""A picture as the text of an address, so that a page can hold it: PNG from the standard library alone."""

import struct
import zlib
from base64 import b64encode

import numpy as np
from jaxtyping import UInt8

LARGEST = 96
"""Pixels a side at most; larger pictures are thinned out, since they are looked at as thumbnails."""


def data_uri(image: UInt8[np.ndarray, "height width 3"]) -> str:
    """Write an RGB picture as ``data:image/png;base64,...``.

    Every k-th pixel of a picture beyond 96 pixels is taken, k the smallest that suffices. Format: PNG, third edition
    (W3C 2025): 8 bits a channel, color type 2, filter 0.
    """
    step = -(-max(image.shape[:2]) // LARGEST)
    small = np.ascontiguousarray(image[::step, ::step])
    height, width, _ = small.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), small.reshape(height, width * 3)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = (_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)), _chunk(b"IEND", b""))
    return "data:image/png;base64," + b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(body)).decode("ascii")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
