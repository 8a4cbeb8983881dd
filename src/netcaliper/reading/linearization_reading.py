"""The record of a linearization with what users do with it: make a table, save it, show it in a notebook."""

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from netcaliper.reading.linearization import LinearizationRecord
from netcaliper.reading.linearization_frame import to_frame
from netcaliper.reading.linearization_notebook import to_html
from netcaliper.reading.writing import save

if TYPE_CHECKING:
    import pandas as pd


class LinearizationReading(LinearizationRecord):
    """What ``nc.linearize`` returns in ``.reading`` and ``nc.load`` opens."""

    def to_frame(self) -> "pd.DataFrame":
        """Return one row a point as a pandas table; see ``netcaliper.reading.linearization_frame.to_frame``."""
        return to_frame(self)

    def save(self, folder: str | PathLike[str], *, replace: bool = False) -> Path:
        """Write the reading to a folder, all or nothing; see ``netcaliper.reading.writing.save``."""
        return save(self, folder, replace=replace)

    def _repr_html_(self) -> str:
        """Show the reading in a notebook."""
        return to_html(self)
