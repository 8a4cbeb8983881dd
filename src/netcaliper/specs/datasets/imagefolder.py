"""``imagefolder:FOLDER``: one subfolder for each class, as torchvision lays images out."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from netcaliper.errors import DataError
from netcaliper.specs.datasets.images import Images
from netcaliper.specs.datasets.preprocessing import Preprocessing
from netcaliper.specs.datasets.stream import Indexed
from netcaliper.specs.nearest import existing
from netcaliper.zoo.data import Options, Split, chosen, train_part

EXTENSIONS = (
    *(".avif", ".bmp", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"),
    *(".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
)
TRAIN = "train"
HELD_OUT = ("test", "val", "valid", "validation")
"""Names of a folder, or starts of a file's name, that hold what a network was not trained on; the first one counts."""

_LAYOUT = (
    "lay the images out as FOLDER/CLASS/IMAGE, or as FOLDER/train/CLASS/IMAGE and FOLDER/val/CLASS/IMAGE, CLASS in the "
    "alphabetical order of the network's outputs"
)
_LISTED = 6


class ImageOptions(Options):
    """What image data can be asked for.

    Attributes:
        size: pixels, or ``[height, width]``, in place of what the model's preprocessing says.
        mean: of each channel, in place of what the model's preprocessing says.
        std: standard deviation of each channel, likewise.
    """

    size: int | tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


@dataclass(frozen=True)
class _Part:
    files: tuple[Path, ...]
    labels: tuple[int, ...]


def imagefolder(
    folder: str | Path, split: Split, preprocessing: Preprocessing, *, batch_size: int = 256, options: Options
) -> Indexed:
    """Read images and the classes of their folders; nothing but the names of the files is held in memory.

    Classes are the subfolders in alphabetical order; hidden files and files of other kinds are left out; images may lie
    at any depth below their class. A folder whose subfolders are called ``train`` and ``test`` (or ``val``, ``valid``,
    ``validation``) is taken as these two parts, the classes as those of ``train``; of a folder without them, a fixed
    3 : 1 split is made where one is asked for.

    Raises:
        SpecError: there is no such folder.
        DataError: it has no classes, a class has no image, or more examples are asked for than there are.
    """
    folder = existing(Path(folder), "imagefolder", folder=True)
    images = Images(preprocessing, "`imagefolder:`")
    parts = _parts(folder)
    files = [file for part in parts for file in part.files]
    y = np.array([label for part in parts for label in part.labels], dtype=np.int64)
    if len(parts) == 2:
        train = np.arange(len(files)) < len(parts[0].files)
    else:
        train = train_part(len(files), y, split, options)
    rows, labels = chosen(y, train, split, options)
    assert labels is not None

    def batch(examples: Int[np.ndarray, " n"]) -> tuple[Tensor, Tensor]:
        sources = [(files[row], repr(str(files[row].relative_to(folder)))) for row in rows[examples]]
        return images.batch(sources), torch.from_numpy(labels[examples])

    return Indexed(len(rows), batch_size, batch, preprocessing.words)


def _parts(folder: Path) -> list[_Part]:
    """Return the training part and the held-out part, or all in one."""
    below = {name: folder / name for name in _subfolders(folder)}
    held_out = [name for name in HELD_OUT if name in below]
    if TRAIN not in below or not held_out or set(below) - {TRAIN, *HELD_OUT}:
        return [_part(folder, _classes(folder))]
    classes = _classes(below[TRAIN])
    # The test images of a challenge have no classes: then the validation images are the held-out part.
    with_classes = [name for name in held_out if _subfolders(below[name])] or held_out
    other = below[with_classes[0]]
    unknown = sorted(set(_classes(other)) - set(classes))
    if unknown:
        raise DataError(
            f"`imagefolder`: the class {unknown[0]!r} of {str(other)!r} is none of the {len(classes)} classes in "
            f"{str(below[TRAIN])!r}; name the same classes in both."
        )
    return [_part(below[TRAIN], classes), _part(other, classes, only_there=True)]


def _part(folder: Path, classes: list[str], *, only_there: bool = False) -> _Part:
    files: list[Path] = []
    labels: list[int] = []
    for number, name in enumerate(classes):
        if only_there and not (folder / name).is_dir():
            continue
        found = _images(folder / name)
        if not found:
            raise DataError(
                f"`imagefolder`: the class folder {str(folder / name)!r} holds no image, but "
                f"{_listed(os.listdir(folder / name))}; remove it, or put images into it ({', '.join(EXTENSIONS)})."
            )
        files += found
        labels += [number] * len(found)
    return _Part(tuple(files), tuple(labels))


def _classes(folder: Path) -> list[str]:
    names = _subfolders(folder)
    if not names:
        held = os.listdir(folder)
        raise DataError(f"`imagefolder`: {str(folder)!r} has no class folders, it holds {_listed(held)}; {_LAYOUT}.")
    return names


def _subfolders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def _images(folder: Path) -> list[Path]:
    """Return the images at any depth, in torchvision's order: folder by folder, then by name."""
    found: list[Path] = []
    been: set[str] = set()
    for where, below, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(where)
        if real in been:  # a link that leads back up
            below.clear()
            continue
        been.add(real)
        below[:] = [name for name in below if not name.startswith(".")]
        found += [Path(where, name) for name in names if not name.startswith(".") and name.lower().endswith(EXTENSIONS)]
    return sorted(found, key=lambda file: (str(file.parent), file.name))


def _listed(names: list[str]) -> str:
    shown = sorted(name for name in names if not name.startswith("."))
    more = f" and {len(shown) - _LISTED} more" if len(shown) > _LISTED else ""
    return (", ".join(map(repr, shown[:_LISTED])) + more) if shown else "nothing"
