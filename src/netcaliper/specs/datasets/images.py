"""Images, decoded by Pillow and brought into batches."""

import io
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from netcaliper.errors import DataError
from netcaliper.specs.datasets.preprocessing import Preprocessing, Size
from netcaliper.specs.extra import first_line, import_extra

Source = tuple[Path | bytes, str]
"""A file or its bytes, and what a message calls it."""

_DEEP = ("I", "F")  # and I;16, I;16B, ...: more than 8 bits a channel


class Images:
    """Decodes images and prepares them; all of them must come out with one height and width.

    Attributes:
        preprocessing: what is done to each image.
        need: what needs Pillow, as the message says where it is not installed.
    """

    def __init__(self, preprocessing: Preprocessing, need: str) -> None:
        self.preprocessing = preprocessing
        self._library = import_extra("PIL.Image", "images", need)
        self._first: tuple[str, Size] | None = None

    def batch(self, sources: Sequence[Source]) -> Float[Tensor, "n c h w"]:
        """Return a batch of prepared images.

        Raises:
            DataError: an image cannot be decoded, or two sizes meet; the message names the files.
        """
        with ThreadPoolExecutor() as pool:  # Pillow decodes and resizes beside other threads
            images = list(pool.map(self._decoded, sources))
        for image, (_, name) in zip(images, sources, strict=True):
            size = image.shape[1], image.shape[2]
            first_name, first_size = self._first = self._first or (name, size)
            if size != first_size:
                raise DataError(
                    f"images must have one size: {first_name} comes out with {first_size[0]} x {first_size[1]} pixels "
                    f"(height x width), {name} with {size[0]} x {size[1]}; give the option `size`, e.g. (size=224), or "
                    "a model that names its preprocessing."
                )
        return self.preprocessing.values(torch.from_numpy(np.stack(images)))

    def _decoded(self, source: Source) -> UInt8[np.ndarray, "c h w"]:
        content, name = source
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about metadata and transparency, which are not read
                with self._library.open(io.BytesIO(content) if isinstance(content, bytes) else content) as image:
                    image.load()
                    return self._pixels(image, name)
        except DataError:
            raise
        except Exception as error:  # Pillow's decoders raise what they like
            raise DataError(
                f"the image {name} cannot be decoded ({type(error).__name__}: {first_line(error)}); repair it or take "
                "it out."
            ) from error

    def _pixels(self, image: Any, name: str) -> UInt8[np.ndarray, "c h w"]:
        if image.mode.startswith(_DEEP):
            raise DataError(
                f"the image {name} has more than 8 bits a channel (Pillow's mode {image.mode}), which would be cut "
                "off; convert it to 8 bits, or give the data as `npz:FILE`."
            )
        return self.preprocessing.pixels(image)
