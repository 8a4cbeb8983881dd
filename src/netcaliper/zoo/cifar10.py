"""CIFAR-10 (Krizhevsky 2009) from parquet files in the layout of the Hugging Face data set of that name."""

import io
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from netcaliper.errors import DataError, SpecError
from netcaliper.zoo.batches import Batches
from netcaliper.zoo.data import Options, Split, chosen

Standardization = Literal["channel", "image", "none"]

STANDARDIZATIONS: tuple[Standardization, ...] = get_args(Standardization)

SIZE = 32
MEAN = (0.4914, 0.4822, 0.4465)
SD = (0.2470, 0.2435, 0.2616)
"""Mean and standard deviation of each channel over the 50,000 training images, in [0, 1]."""


class Cifar10Options(Options):
    """What ``cifar10`` can be asked for.

    Attributes:
        standardize: ``"channel"``, ``"image"`` or ``"none"``.
        crop: pixels a side of the middle of each image that is used alone, resized to 32; ``None`` uses all of it.
        pixels: a side of the images as the network sees them: means of 2 x 2 or 4 x 4 pixels, for cheap studies.
    """

    standardize: Standardization = "channel"
    pixels: Literal[8, 16, 32] = SIZE
    crop: int | None = Field(default=None, ge=1, le=SIZE)


def cifar10(
    folder: str | Path, split: Split = "all", *, batch_size: int = 256, options: Options | None = None
) -> Batches:
    """CIFAR-10: float32 ``[N, 3, 32, 32]``, labels 0 to 9; held in memory as bytes and ``prepared`` batch by batch.

    The folder holds ``train.parquet`` and ``test.parquet`` (or ``train-*.parquet``, ``test-*.parquet``) with the
    columns ``img`` (encoded image bytes in the field ``bytes``) and ``label``. Only the images of the subset that
    ``options`` ask for are decoded. ``"all"`` is the training part followed by the test part.

    Raises:
        SpecError: the folder has no such files, or they cannot be read.
        DataError: pyarrow or Pillow is not installed, the files hold something else, or more examples are asked for
            than there are.
    """
    folder, options = Path(folder), options or Cifar10Options()
    tables = {part: _tables(folder, part) for part in ("train", "test") if split in (part, "all")}
    labels = {part: _labels(table, folder) for part, table in tables.items()}
    y = np.concatenate(list(labels.values()))
    train = np.concatenate([np.full(len(own), part == "train") for part, own in labels.items()])
    rows, y = chosen(y, train, split, options)
    images = [_encoded(table) for table in tables.values()]
    starts = np.cumsum([0, *(len(own) for own in labels.values())])
    part_of_row = np.searchsorted(starts, rows, side="right") - 1
    x = np.empty((len(rows), 3, SIZE, SIZE), dtype=np.uint8)
    for n, (row, part) in enumerate(zip(rows, part_of_row, strict=True)):
        x[n] = _decoded(images[part][int(row - starts[part])].as_py(), int(row), folder)
    own = options if isinstance(options, Cifar10Options) else Cifar10Options()
    return Batches(
        torch.from_numpy(x),
        None if y is None else torch.from_numpy(y),
        batch_size=batch_size,
        prepare=partial(prepared, mode=own.standardize, crop=own.crop, pixels=own.pixels),
    )


def prepared(
    images: Float[Tensor, "N 3 h w"], mode: Standardization = "channel", crop: int | None = None, pixels: int = SIZE
) -> Float[Tensor, "N 3 H W"]:
    """Return images in [0, 1] as a network sees them: the middle ``crop x crop`` pixels, standardized, at 32 x 32.

    With fewer ``pixels`` a side they are averaged down at last.

    Casper et al. (2021) take ``crop=28`` and ``"image"``; a training that augments with ``"crop28_flip_light"`` hands
    in windows of this size at random places. Bilinear resizing goes by the centers of pixels (TensorFlow 1, used by
    the paper, went by their corners). Without ``crop`` the size stays what it is.
    """
    whole = _whole(images, mode, crop)
    return whole if pixels == SIZE else avg_pool2d(whole, SIZE // pixels)


def _whole(images: Tensor, mode: Standardization, crop: int | None) -> Tensor:
    if crop is None:
        return standardized(images, mode)
    top, left = (max(0, (side - crop) // 2) for side in images.shape[2:])
    middle = images[:, :, top : top + crop, left : left + crop]
    return interpolate(standardized(middle, mode), size=(SIZE, SIZE), mode="bilinear", align_corners=False)


def standardized(images: Float[Tensor, "N 3 h w"], mode: Standardization = "channel") -> Float[Tensor, "N 3 h w"]:
    """Return images in [0, 1] standardized.

    - ``"none"``: as they are (as Nguyen, Raghu and Kornblith 2021).
    - ``"channel"``: ``(x - MEAN) / SD``.
    - ``"image"``: ``(x - mean) / max(sd, 1 / (255 sqrt(values)))`` over the values of each image, as TensorFlow's
      ``per_image_standardization`` of values up to 255 (as Casper et al. 2021); an image of one color becomes 0.
    """
    if mode == "none":
        return images
    if mode == "image":
        x = images * 255  # back to whole numbers, exactly, where nothing was changed
        sd, mean = torch.std_mean(x, (1, 2, 3), correction=0, keepdim=True)
        return (x - mean) / sd.clamp(min=x[0].numel() ** -0.5)
    return (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(SD).view(3, 1, 1)


def _tables(folder: Path, part: str) -> Any:
    pyarrow, parquet = _library("pyarrow"), _library("pyarrow.parquet")
    single = folder / f"{part}.parquet"
    files = [single] if single.is_file() else sorted(folder.glob(f"{part}-*.parquet"))
    if not files:
        raise SpecError(
            f"`cifar10`: the folder {str(folder)!r} has no {part}.parquet (or {part}-*.parquet); name the folder with "
            "the parquet files of CIFAR-10."
        )
    try:
        table = pyarrow.concat_tables([parquet.read_table(file, columns=["img", "label"]) for file in files])
    except (OSError, ValueError, KeyError) as error:  # pyarrow's own errors are ValueError and its kin
        raise SpecError(
            f"`cifar10`: {files[0].name!r} cannot be read as a parquet file with the columns `img` and `label`: "
            f"{(str(error).splitlines() or ['?'])[0]}"
        ) from error
    missing = {"img", "label"} - set(table.column_names)
    if missing or len(table) == 0:
        fault = f"has no column `{min(missing)}`" if missing else "holds no example"
        raise DataError(f"`cifar10`: {files[0].name!r} {fault}; it needs images in `img` and labels in `label`.")
    return table


def _labels(table: Any, folder: Path) -> np.ndarray:
    column = table.column("label")
    y = column.to_numpy()
    if y.dtype.kind not in "iu" or y.min() < 0:
        raise DataError(
            f"`cifar10`: the labels in {str(folder)!r} must be integers from 0 on, got {y.dtype} from {y.min()}; "
            "renumber them."
        )
    return y.astype(np.int64)


def _encoded(table: Any) -> Any:
    compute, pyarrow = _library("pyarrow.compute"), _library("pyarrow")
    column = table.column("img")
    return compute.struct_field(column, "bytes") if pyarrow.types.is_struct(column.type) else column


def _decoded(encoded: Any, row: int, folder: Path) -> np.ndarray:
    Image = _library("PIL.Image")
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, TypeError, ValueError, SyntaxError) as error:
        raise DataError(
            f"`cifar10`: image {row} of {str(folder)!r} cannot be decoded ({type(error).__name__}): it is damaged."
        ) from error
    if pixels.shape != (SIZE, SIZE, 3):
        raise DataError(
            f"`cifar10`: image {row} of {str(folder)!r} has {pixels.shape[0]} x {pixels.shape[1]} pixels, not 32 x 32; "
            "give other images as `npz:FILE`."
        )
    return pixels.transpose(2, 0, 1)


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        package = "Pillow" if name.startswith("PIL") else "pyarrow"
        raise DataError(f"`cifar10` needs {package}: pip install 'netcaliper[parquet]'.") from error
