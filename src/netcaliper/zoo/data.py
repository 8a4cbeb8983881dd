"""Data sets: the digits that come with scikit-learn, and arrays in an ``npz`` file.

``options`` choose classes, a stratified part of the examples and, for training, wrong or random labels.
"""

import zipfile
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Int, Shaped
from pydantic import Field, model_validator
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from netcaliper.errors import DataError, SpecError
from netcaliper.zoo.batches import Batches
from netcaliper.zoo.config import Config, Count
from netcaliper.zoo.sampling import noisy_labels, numbered, random_labels, stratified

Split = Literal["all", "train", "test"]
Label = Annotated[int, Field(ge=0, lt=2**31)]

SPLIT_SEED = 0
TEST_SHARE = 0.25


class Options(Config):
    """Which examples of a data set are used, and with which labels.

    Attributes:
        classes: the labels that are kept, of training and of test examples; they become 0, 1, ... in the given order.
            ``None`` keeps all.
        examples: size of a stratified random subset of what is left of the split; ``None`` is all of it.
        random_labels: whether the training examples get labels drawn uniformly from all classes; the test examples
            keep theirs.
        label_noise: chance with which a training example gets one of the other labels, drawn uniformly; the test
            examples keep theirs.
        seed: of the subset, of the random labels and of the noise.
    """

    classes: Annotated[tuple[Label, ...], Field(min_length=1)] | None = None
    examples: Count | None = None
    random_labels: bool = False
    label_noise: float = Field(default=0.0, ge=0, le=1)
    seed: int = Field(default=0, ge=0, lt=2**31)

    @model_validator(mode="after")
    def _fit_together(self) -> "Options":
        if self.classes is not None and len(set(self.classes)) < len(self.classes):
            raise ValueError("`classes` must differ from each other; name each once")
        if self.random_labels and self.label_noise:
            raise ValueError("`random_labels` replace all labels already; leave `label_noise` out")
        return self


def digits(split: Split = "all", *, batch_size: int = 256, options: Options | None = None) -> Batches:
    """Handwritten digits (scikit-learn's copy of the UCI test set): float32 ``[N, 1, 8, 8]`` in [0, 1], labels 0 to 9.

    N is 1,797 for ``"all"``, 1,347 for ``"train"`` and 450 for ``"test"``: a stratified split that never changes.

    Raises:
        DataError: ``options`` ask for more examples than there are.
    """
    images, labels = load_digits(return_X_y=True)
    x = (np.asarray(images, dtype=np.float32) / 16.0).reshape(-1, 1, 8, 8)
    return _split(x, np.asarray(labels, dtype=np.int64), split, batch_size, options)


def npz(file: str | Path, split: Split = "all", *, batch_size: int = 256, options: Options | None = None) -> Batches:
    """Arrays of an ``npz`` file: ``x`` ``[N, ...]`` and, optionally, integer labels ``y`` ``[N]``.

    Floating inputs become float32; integer inputs (tokens) int64. Pickled arrays are not loaded.

    Args:
        file: written by ``numpy.savez(file, x=..., y=...)``.
        split: ``"train"`` and ``"test"`` are a fixed 3 : 1 split, stratified by label where that is possible.
        batch_size: examples a batch.
        options: which of the examples, with which labels.

    Raises:
        SpecError: the file is missing or not an ``npz`` file.
        DataError: an array is missing, of the wrong dtype or shape, or not finite.
    """
    file = Path(file)
    arrays = read_npz(file)
    if "x" not in arrays:
        held = ", ".join(sorted(arrays)) or "none"
        raise DataError(
            f"{file.name!r} has no array `x`, it has: {held}; write it with `numpy.savez(file, x=..., y=...)`."
        )
    return _split(inputs_array(arrays["x"], "x", repr(file.name)), _labels(arrays, file), split, batch_size, options)


def chosen(
    y: Int[np.ndarray, " N"] | None,
    train: Bool[np.ndarray, " N"],
    split: Split,
    options: Options | None = None,
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"] | None]:
    """Return the rows of a data set that a split and its options ask for, and the labels of these rows.

    The subset is stratified by the true labels, and the random or wrong label of a row is the same in every subset.

    Args:
        y: labels of all rows, if there are any.
        train: which rows are training examples.
        split: the part.
        options: which of its examples, with which labels.

    Raises:
        DataError: more examples are asked for than the split has, a class that it does not have, other labels where
            there are none, or wrong ones where there is one class.
    """
    options = options or Options()
    if y is None and (changed := _about_labels(options)):
        raise DataError(f"`{changed}` needs labels, the data have none; leave `{changed}` out.")
    rows = np.arange(len(train)) if split == "all" else np.flatnonzero(train if split == "train" else ~train)
    if options.classes is not None and y is not None:
        _check_classes(options.classes, y[rows], split)
        y = numbered(y, options.classes)
        rows = rows[y[rows] >= 0]
    if options.examples is not None:
        if options.examples > len(rows):
            raise DataError(
                f"`examples` = {options.examples} are asked for, the split {split!r} has {len(rows)}; ask for fewer."
            )
        strata = np.zeros(len(rows), dtype=np.int64) if y is None else y[rows]
        rows = rows[stratified(strata, options.examples, options.seed)]
    if y is None:
        return rows, None
    classes = int(y.max()) + 1
    if options.random_labels:
        y = np.where(train, random_labels(len(y), classes, options.seed), y)
    elif options.label_noise:
        if classes < 2:
            raise DataError("`label_noise` needs two classes to confuse, the data have one; leave it out.")
        y = np.where(train, noisy_labels(y, classes, options.label_noise, options.seed), y)
    return rows, y[rows]


def _about_labels(options: Options) -> str | None:
    """Return the name of an option that cannot be followed without labels, if one is used."""
    for name in ("classes", "random_labels", "label_noise"):
        if getattr(options, name):
            return name
    return None


def _check_classes(classes: tuple[int, ...], y: Int[np.ndarray, " n"], split: Split) -> None:
    known = np.unique(y)
    for label in classes:
        if label not in known:
            raise DataError(
                f"`classes` names {label}, but the split {split!r} has labels {known.min()} to {known.max()} and none "
                "of this; leave it out."
            )


def train_part(
    examples: int, y: Int[np.ndarray, " N"] | None, split: Split, options: Options | None = None
) -> Bool[np.ndarray, " N"]:
    """Mark the training examples of data that come without parts: 3 of 4, stratified by label where that is possible.

    All are marked where nobody asks which they are.

    Raises:
        DataError: there is one example only.
    """
    train = np.ones(examples, dtype=bool)
    if split != "all" or (options is not None and (options.random_labels or options.label_noise)):
        train[_train_test(np.arange(examples), y)[1]] = False
    return train


def _split(
    x: Shaped[np.ndarray, "N ..."],
    y: Int[np.ndarray, " N"] | None,
    split: Split,
    batch_size: int,
    options: Options | None = None,
) -> Batches:
    rows, labels = chosen(y, train_part(len(x), y, split, options), split, options)
    return Batches(
        torch.from_numpy(x[rows]), None if labels is None else torch.from_numpy(labels), batch_size=batch_size
    )


def _train_test(rows: Int[np.ndarray, " N"], y: Int[np.ndarray, " N"] | None) -> list[Any]:
    if len(rows) < 2:
        raise DataError(f"`split` needs at least 2 examples, there is {len(rows)}; use the split 'all'.")
    try:
        return train_test_split(rows, test_size=TEST_SHARE, random_state=SPLIT_SEED, stratify=y)
    except ValueError:
        # A class with one example, or fewer test examples than classes, cannot be stratified.
        return train_test_split(rows, test_size=TEST_SHARE, random_state=SPLIT_SEED)


def read_npz(file: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an ``npz`` file by name; pickled ones are not loaded.

    Raises:
        SpecError: the file is missing or not an ``npz`` file.
    """
    if not file.is_file():
        raise SpecError(f"`npz`: there is no file {str(file)!r}.")
    try:
        with file.open("rb") as stream:
            loaded = np.load(stream, allow_pickle=False)
            arrays = dict(loaded) if isinstance(loaded, np.lib.npyio.NpzFile) else None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise SpecError(f"{file.name!r} cannot be read as an npz file without pickles: {error}") from error
    if arrays is None:
        raise SpecError(
            f"{file.name!r} is a single array, not an npz file; write it with `numpy.savez(file, x=..., y=...)`."
        )
    return arrays


def inputs_array(x: Shaped[np.ndarray, "..."], key: str, name: str) -> Shaped[np.ndarray, "..."]:
    """Return inputs as networks take them: floats as float32, whole numbers (tokens) as int64, masks as they are.

    Args:
        x: the array ``[examples, ...]``.
        key: its name, in messages.
        name: of the file, in messages.

    Raises:
        DataError: it holds no example, is not finite or of another dtype.
    """
    if x.ndim < 2:
        raise DataError(f"{name}: `{key}` must have shape [examples, ...], got {list(x.shape)}; add an axis.")
    if len(x) == 0:
        raise DataError(f"{name}: `{key}` holds no example: its shape is {list(x.shape)}.")
    if x.dtype.kind == "f":
        if not np.isfinite(x).all():
            bad = int(np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(1))[0])
            raise DataError(f"{name}: `{key}` is not finite, first in example {bad}; remove or repair such examples.")
        return np.ascontiguousarray(x, dtype=np.float32)
    if x.dtype.kind in "iu" and x.dtype != np.uint8:
        return np.ascontiguousarray(x, dtype=np.int64)
    if x.dtype.kind == "b":
        return np.ascontiguousarray(x)
    raise DataError(
        f"{name}: `{key}` is {x.dtype}; store images as float32, scaled as the model expects them, and tokens as int64."
    )


def _labels(arrays: dict[str, np.ndarray], file: Path) -> Int[np.ndarray, "..."] | None:
    if "y" not in arrays:
        return None
    x, y = arrays["x"], arrays["y"]
    if y.shape != (len(x),):
        raise DataError(
            f"{file.name!r}: `y` must have shape [{len(x)}], one label for each example of `x`, got {list(y.shape)}."
        )
    if y.dtype.kind not in "iu":
        raise DataError(f"{file.name!r}: `y` is {y.dtype}; labels must be integers 0, 1, ...")
    if y.min() < 0:
        raise DataError(f"{file.name!r}: `y` holds the label {int(y.min())}; labels must be integers 0, 1, ...")
    return np.ascontiguousarray(y, dtype=np.int64)
