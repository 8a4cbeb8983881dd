"""Maps of a study: the CKA matrices of its networks, one beside the other, in one scale of colors."""

import numpy as np

from netcaliper.reading.study import Map, StudyFigure
from netcaliper.report.figures.figure import Figure, Width
from netcaliper.report.figures.matrix import Side, heat_map
from netcaliper.report.figures.study_lines import words


def draw(figure: StudyFigure, width: Width = 680) -> tuple[Figure, ...]:
    """Draw the matrices of a figure.

    Args:
        figure: of kind ``maps``.
        width: of a chart in pixels, or ``"container"``.

    Returns:
        One heat map a network, in the order of rows and columns.
    """
    found = []
    for number, one in enumerate(figure.maps):
        values = np.array([[np.nan if value is None else value for value in line] for line in one.matrix])
        bins = len(one.names)
        side = Side("layer", one.names, ("",) * bins)
        caption = "Outlined: block structure." if one.blocks else "No block structure found."
        if bins != one.layers:
            caption += f" {one.layers} layers in {bins} bins."
        found.append(
            heat_map(
                values,
                side,
                side,
                width,
                name=f"{figure.name}-{number}",
                title=_title(figure, one),
                caption=caption,
                outlines=one.blocks,
            )
        )
    return tuple(found)


def _title(figure: StudyFigure, one: Map) -> str:
    parts = [
        f"{column} {words(value)}" for column, value in ((figure.panel, one.row), (figure.x, one.column)) if column
    ]
    return ", ".join(parts)
