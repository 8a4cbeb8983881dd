"""One file a measure: each makes Altair charts from a reading, and from nothing else."""

from netcaliper.reading.layers_reading import LayersReading
from netcaliper.reading.linearization import LinearizationRecord
from netcaliper.reading.reading import Reading
from netcaliper.reading.shrinking import ShrinkReading
from netcaliper.reading.study import StudyFigure, StudyReading
from netcaliper.report.figures import (
    active_over_epochs,
    alphas,
    bending_units,
    class_losses,
    core_path_lengths,
    deletion,
    example_scatter,
    layer_curves,
    layer_matrices,
    linearization_curve,
    over_training,
    partition,
    path_length,
    prunable,
    redundant,
    shrinking_curve,
    study_lines,
    study_maps,
    unit_states,
)
from netcaliper.report.figures.figure import Figure, Width

DRAWN = (partition.draw, prunable.draw, unit_states.draw, path_length.draw, redundant.draw)
"""Every figure of a reading, in the order of the page. Listed by hand: nothing is registered on import."""

DRAWN_OF_LAYERS = (layer_matrices.draw, layer_curves.draw, deletion.draw, example_scatter.draw, over_training.draw)
"""Every figure of a reading of layers."""

DRAWN_OF_LINEARIZATION = (
    linearization_curve.draw,
    bending_units.draw,
    alphas.draw,
    core_path_lengths.draw,
    class_losses.draw,
    active_over_epochs.draw,
)
"""Every figure of a linearization."""


Drawable = Reading | LayersReading | LinearizationRecord | ShrinkReading | StudyReading


def draw_all(reading: Drawable, width: Width = 680) -> tuple[Figure, ...]:
    """Draw every figure that the reading has numbers for."""
    if isinstance(reading, StudyReading):
        return tuple(chart for figure in reading.figures for chart in draw_figure(figure, width))
    if isinstance(reading, ShrinkReading):
        return shrinking_curve.draw(reading, width)
    if isinstance(reading, LinearizationRecord):
        return tuple(figure for draw in DRAWN_OF_LINEARIZATION for figure in draw(reading, width))
    if isinstance(reading, LayersReading):
        return tuple(figure for draw in DRAWN_OF_LAYERS for figure in draw(reading, width))
    return tuple(figure for draw in DRAWN for figure in draw(reading, width))


def draw_figure(figure: StudyFigure, width: Width = 680) -> tuple[Figure, ...]:
    """Draw a figure of a study: one chart, or one a panel or network."""
    return (study_maps if figure.kind == "maps" else study_lines).draw(figure, width)
