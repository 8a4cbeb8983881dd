"""``datasets:FOLDER``: what ``datasets.Dataset.save_to_disk`` of Hugging Face wrote."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from netcaliper.errors import SpecError
from netcaliper.specs.datasets.imagefolder import HELD_OUT, TRAIN
from netcaliper.specs.extra import first_line, import_extra
from netcaliper.specs.nearest import existing

_ROWS = 256


@dataclass(frozen=True)
class DatasetTable:
    """Rows of a ``datasets.Dataset``, mapped from disk.

    Attributes:
        dataset: in the format ``arrow``.
    """

    dataset: Any

    @property
    def schema(self) -> Any:
        """Names and types of the columns, as pyarrow has them."""
        return self.dataset.features.arrow_schema

    def __len__(self) -> int:
        return len(self.dataset)

    def column(self, name: str) -> Any:
        """Return one whole column."""
        return self.dataset.select_columns([name])[:].column(name)

    def scan(self, rows: Int[np.ndarray, " n"], columns: tuple[str, ...]) -> Iterator[Any]:
        """Go through rows, given in ascending order."""
        yield from self.dataset.select_columns(list(columns)).select(rows).iter(_ROWS)


def dataset_parts(folder: str) -> dict[str, DatasetTable]:
    """Return the tables of a folder: ``train`` and ``test``, or ``all`` where there are no parts.

    Raises:
        SpecError: there is no such folder, it was not written by ``save_to_disk``, or its parts are called otherwise.
    """
    library = import_extra("datasets", "datasets", "`datasets:`")
    path = existing(Path(folder), "datasets", folder=True)
    try:
        found = library.load_from_disk(str(path))
    except Exception as error:  # whatever a damaged or foreign folder raises
        raise SpecError(
            f"`datasets`: {folder!r} cannot be read as a folder that `Dataset.save_to_disk` wrote "
            f"({type(error).__name__}: {first_line(error)}); parquet files are read as `parquet:FOLDER`."
        ) from error
    if not isinstance(found, dict):
        return {"all": DatasetTable(found.with_format("arrow"))}
    parts = {name: DatasetTable(part.with_format("arrow")) for name, part in found.items()}
    held_out = [name for name in HELD_OUT if name in parts]
    if TRAIN in parts and held_out:
        return {"train": parts[TRAIN], "test": parts[held_out[0]]}
    if len(parts) == 1:
        return {"all": next(iter(parts.values()))}
    raise SpecError(
        f"`datasets`: {folder!r} has the parts {', '.join(map(repr, parts))}; netcaliper knows `train` beside one of "
        f"{', '.join(HELD_OUT)}. Name the folder of one part."
    )
