"""One file a measure: each makes Altair charts from a reading, and from nothing else."""

from netcaliper.reading.reading import Reading
from netcaliper.report.figures import partition, prunable, redundant, unit_states
from netcaliper.report.figures.figure import Figure, Width

DRAWN = (partition.draw, prunable.draw, unit_states.draw, redundant.draw)
"""Every figure of a reading, in the order of the page. Listed by hand: nothing is registered on import."""


def draw_all(reading: Reading, width: Width = 680) -> tuple[Figure, ...]:
    """Draw every figure that the reading has numbers for."""
    return tuple(figure for draw in DRAWN for figure in draw(reading, width))
