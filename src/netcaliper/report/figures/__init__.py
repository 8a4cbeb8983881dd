"""One file a measure: each makes Altair charts from a reading, and from nothing else."""

from netcaliper.reading.layers_reading import LayersReading
from netcaliper.reading.reading import Reading
from netcaliper.report.figures import (
    deletion,
    example_scatter,
    layer_curves,
    layer_matrices,
    over_training,
    partition,
    prunable,
    redundant,
    unit_states,
)
from netcaliper.report.figures.figure import Figure, Width

DRAWN = (partition.draw, prunable.draw, unit_states.draw, redundant.draw)
"""Every figure of a reading, in the order of the page. Listed by hand: nothing is registered on import."""

DRAWN_OF_LAYERS = (layer_matrices.draw, layer_curves.draw, deletion.draw, example_scatter.draw, over_training.draw)
"""Every figure of a reading of layers."""


def draw_all(reading: Reading | LayersReading, width: Width = 680) -> tuple[Figure, ...]:
    """Draw every figure that the reading has numbers for."""
    if isinstance(reading, LayersReading):
        return tuple(figure for draw in DRAWN_OF_LAYERS for figure in draw(reading, width))
    return tuple(figure for draw in DRAWN for figure in draw(reading, width))
