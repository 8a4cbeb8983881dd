"""What a reader of one network is given."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from netcaliper.specs.loaded import LoadedModel
from netcaliper.study.cells.cell_data import CellData
from netcaliper.trace.graph import Graph


@dataclass(frozen=True)
class Subject:
    """A network, and on what it is read.

    Attributes:
        network: with what builds its untrained twin.
        data: of its training; test examples are read.
        seed: of the training, and of the reading.
        folder: where the reading is kept.
        tell: called with ``(phase, done, total)`` as it goes on.
        graph: of the network, where it is traced already: that takes as long as training a small one for an epoch.
    """

    network: LoadedModel
    data: CellData
    seed: int
    folder: Path
    tell: Callable[[str, int, int], None]
    graph: Graph | None = None

    @property
    def model(self) -> nn.Module | Graph:
        """What is measured."""
        return self.graph or self.network.model
