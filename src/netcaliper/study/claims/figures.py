"""The figures of a study as numbers: means over repetitions as lines, sites as profiles, CKA matrices as maps."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from netcaliper.errors import ReadingError
from netcaliper.reading.numerals import plural
from netcaliper.reading.study import Map, Point, StudyCell, StudyFigure
from netcaliper.stats.repetitions import mean_interval
from netcaliper.study.claims.claim_schema import FigureSpec, LinesFigure, MapsFigure, ProfileFigure
from netcaliper.study.claims.rows import TWIN, Row, Rows, by_value, order_of
from netcaliper.study.claims.selection import Selected, no_column, select

MOST_BINS = 60
"""Cells of a map a side: enough for its blocks to be seen, and small in the page."""
MOST_MAPS = 24


def figure_of(spec: FigureSpec, table: Rows, cells: Sequence[StudyCell], root: Path) -> StudyFigure:
    """Read the numbers of a figure.

    Args:
        spec: from the study file.
        table: rows of the study.
        cells: of the study, computed or not.
        root: folder of the study; maps are read from the readings of its cells.

    Returns:
        The figure; with a reason where there is nothing to draw.
    """
    every_epoch = isinstance(spec, LinesFigure) and spec.x == "epoch"
    part = select(spec.where, table, cells, every_epoch=every_epoch)
    whole = {cell.name: cell for cell in part.cells}.values()
    figure = StudyFigure(
        name=spec.name,
        title=spec.title,
        answers=spec.answers,
        caption=spec.caption,
        kind=spec.kind,
        reason=part.problem,
        cells=len(whole),
        cells_missing=sum(cell.status == "missing" for cell in whole),
        cells_failed=sum(cell.status == "failed" for cell in whole),
    )
    if isinstance(spec, MapsFigure):
        return _maps(spec, part, figure, root)
    return _lines(spec, part, figure) if isinstance(spec, LinesFigure) else _profile(spec, part, figure, table)


@dataclass(frozen=True)
class _Group:
    """Rows of one point of a line, by repetition.

    Attributes:
        x: where; ``None`` where it is read from the rows.
        color, panel: of the line.
        rows: by repetition; all in one where the rows have none.
    """

    x: Any
    color: Any
    panel: Any
    rows: dict[str, list[Row]]


def _lines(spec: LinesFigure, part: Selected, figure: StudyFigure) -> StudyFigure:
    """Group rows by x where x is an axis; where x was measured, by all axes, and x is a mean as well."""
    axes = list(dict.fromkeys(column for cell in part.cells for column in cell.columns))
    given = spec.x in axes or spec.x == "epoch"
    key = [spec.x] if given else [axis for axis in ["family", *axes] if axis != spec.per]
    groups = _groups(part.rows, key, spec.color, spec.panels, spec.per, spec.x if given else None)
    points, gaps = [], 0
    for twin in (False, True) if spec.twin else (False,):
        column = (TWIN if twin else "") + spec.y
        for group in groups:
            kept = {name: rows for name, rows in group.rows.items() if _all_in(rows, column)}
            kept = kept if given else {name: rows for name, rows in kept.items() if _all_in(rows, spec.x)}
            if not twin and (kept or spec.x != "epoch"):  # not every reader reads at every epoch
                gaps += len(group.rows) - len(kept)
            point = _point(group, kept, column, spec.x, spec.bounds, twin=twin)
            points += [] if point is None else [point]
    reason = figure.reason
    if not reason and not points:
        columns = {name for row in part.rows for name in row}
        lacking = next((name for name in (spec.x, spec.y) if name not in columns), spec.y)
        reason = no_column(lacking, columns)
    elif gaps:
        reason = f"{plural(gaps, 'point')} of single repetitions left out: no `{spec.y}`"
    update = {"x": spec.x, "y": spec.y, "color": spec.color or "", "panel": spec.panels or "", "log": tuple(spec.log)}
    return figure.model_copy(update=update | {"points": tuple(_sorted(points)), "reason": reason})


def _profile(spec: ProfileFigure, part: Selected, figure: StudyFigure, table: Rows) -> StudyFigure:
    """Read every column with the prefix; sites stand in the order in which the table has them."""
    points: list[Point] = []
    sites = [name.removeprefix(spec.column) for name in table.columns if name.startswith(spec.column)]
    groups = _groups(part.rows, [], spec.color, spec.panels, spec.per, None)
    for twin in (False, True) if spec.twin else (False,):
        for group in groups:
            for site in sites:
                column = (TWIN if twin else "") + spec.column + site
                kept = {name: rows for name, rows in group.rows.items() if _all_in(rows, column)}
                point = _point(group, kept, column, site, spec.bounds, twin=twin, x=site)
                points += [] if point is None else [point]
    reason = figure.reason or (None if points else f"no row has a column that begins with `{spec.column}`")
    update = {"x": "site", "y": spec.column.rstrip(":"), "color": spec.color or "", "panel": spec.panels or ""}
    return figure.model_copy(update=update | {"points": tuple(points), "reason": reason})


def _maps(spec: MapsFigure, part: Selected, figure: StudyFigure, root: Path) -> StudyFigure:
    """Read the matrix of one cell for every place."""
    found: dict[tuple[Any, Any], Map] = {}
    left: list[str] = []
    for cell in part.cells:
        place = (cell.columns.get(spec.rows or ""), cell.columns.get(spec.columns))
        if cell.status != "done" or cell.columns.get("seed") != spec.seed or place in found:
            continue
        try:
            own = _map_of(cell, root, *place)
        except ReadingError as error:
            left.append(str(error))
            continue
        found |= {place: own} if own else {}
    ordered = sorted(found.items(), key=lambda item: (order_of(item[0][0]), order_of(item[0][1])))
    reason = figure.reason or (left[0] if left else None)
    if not reason and len(ordered) > MOST_MAPS:
        reason = f"{plural(len(ordered) - MOST_MAPS, 'more network')} left out; narrow `where`"
    if not reason and not ordered:
        reason = f"no cell of seed {spec.seed} that is done keeps a reading of layers"
    maps = tuple(one for _, one in ordered[:MOST_MAPS])
    return figure.model_copy(update={"x": spec.columns, "panel": spec.rows or "", "maps": maps, "reason": reason})


def _map_of(cell: StudyCell, root: Path, row: Any, column: Any) -> Map | None:
    """Open the reading of layers that a cell keeps; ``None`` if it keeps none."""
    from netcaliper.reading.layers_reading import LayersReading
    from netcaliper.reading.store import load_as
    from netcaliper.report.figures.matrix import binned, edges

    folder = root / "cells" / cell.name / "readings" / "layers"
    if not folder.is_dir():
        return None
    reading = load_as(LayersReading, folder)
    matrix = reading.array(0, "cka")
    if matrix is None:
        return None
    network = reading.networks[0]
    cuts = edges(len(matrix), MOST_BINS)

    def bin_of(layer: int) -> int:
        return int(np.searchsorted(cuts, layer, side="right")) - 1

    small = binned(matrix, "mean", MOST_BINS)
    return Map(
        cell=cell.name,
        row=row,
        column=column,
        matrix=tuple(tuple(None if np.isnan(value) else round(float(value), 3) for value in line) for line in small),
        names=tuple(
            network.layers[a].name if b - a == 1 else f"{network.layers[a].name} to {network.layers[b - 1].name}"
            for a, b in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)
        ),
        layers=len(matrix),
        blocks=tuple(
            block.model_copy(update={"first": bin_of(block.first), "last": bin_of(block.last)})
            for block in network.blocks
        ),
    )


def _groups(
    rows: Iterable[Row], key: Sequence[str], color: str | None, panel: str | None, per: str, x: str | None
) -> list[_Group]:
    """Part rows into the points of lines, and each point into repetitions."""
    parts: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        lines = (row.get(color or ""), row.get(panel or ""))
        parts.setdefault((*lines, *(row.get(name) for name in key)), []).append(row)
    return [
        _Group(
            None if x is None else own[0].get(x),
            own[0].get(color or ""),
            own[0].get(panel or ""),
            by_value(own, per) or {"": own},
        )
        for own in parts.values()
        if x is None or own[0].get(x) is not None
    ]


def _point(
    group: _Group,
    kept: dict[str, list[Row]],
    column: str,
    along: str,
    bounds: Sequence[float] | None,
    *,
    twin: bool,
    x: Any = None,
) -> Point | None:
    """Return the mean over repetitions, each the mean of its rows."""
    if not kept:
        return None

    def means(name: str) -> np.ndarray:
        return np.array([np.mean([float(row[name]) for row in rows]) for rows in kept.values()])

    values = means(column)
    place = x if x is not None else group.x if group.x is not None else float(np.mean(means(along)))
    low, high = mean_interval(values) or (None, None)
    if bounds is not None and low is not None and high is not None:  # of few repetitions it reaches beyond
        low, high = (float(np.clip(end, bounds[0], bounds[1])) for end in (low, high))
    return Point(
        x=place, y=float(np.mean(values)), low=low, high=high, repetitions=len(values), color=group.color,
        panel=group.panel, twin=twin,
    )  # fmt: skip


def _all_in(rows: Sequence[Row], column: str) -> bool:
    """Tell whether every row has a finite number."""
    return all(isinstance(row.get(column), int | float) and np.isfinite(row[column]) for row in rows)


def _sorted(points: Iterable[Point]) -> list[Point]:
    """Return points line by line, from left to right."""
    return sorted(points, key=lambda one: (one.twin, order_of(one.panel), order_of(one.color), order_of(one.x)))
