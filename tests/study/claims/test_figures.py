from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

import layers_readings
from made_studies import made_cells, made_table
from netcaliper.stats.repetitions import mean_interval
from netcaliper.study.claims.claim_schema import FigureSpec
from netcaliper.study.claims.figures import MOST_BINS, figure_of
from netcaliper.study.claims.rows import Rows

CELLS = made_cells(width=[1, 2], labels=["true", "random"], seed=[0, 1, 2])
TABLE = made_table(
    CELLS,
    lambda width, labels, seed: {"y": width + 0.1 * seed, "twin_y": 0.5, "p:b": 0.1 * width, "p:a": 0.2, "s": "word"},
)


def figure(table=TABLE, cells=CELLS, root=Path("nowhere"), **spec):
    spec = {"name": "f", "title": "F", "kind": "lines"} | spec
    return figure_of(TypeAdapter(FigureSpec).validate_python(spec), table, cells, root)


def test_points_are_means_over_repetitions_with_their_interval(tmp_path):
    found = figure(x="width", y="y", color="labels", twin=True, log=["x"], answers="Figure 1")
    assert len(found.points) == 8
    point = next(one for one in found.points if one.x == 2 and one.color == "true" and not one.twin)
    low, high = mean_interval(np.array([2.0, 2.1, 2.2])) or (0, 0)
    assert (point.y, point.low, point.high, point.repetitions) == (pytest.approx(2.1), low, high, 3)
    assert {one.y for one in found.points if one.twin} == {0.5}
    assert (found.x, found.y, found.color, found.cells, found.reason) == ("width", "y", "labels", 12, None)


def test_a_measured_x_is_a_mean_as_well():
    cells = made_cells("late", "bend", omega=[0.1, 0.2], seed=[0, 1])
    table = made_table(cells, lambda omega, seed: {"length": 10 * omega + seed, "y": omega})
    found = figure(table, cells, x="length", y="y")
    assert [(point.x, point.y, point.repetitions) for point in found.points] == [(1.5, 0.1, 2), (2.5, 0.2, 2)]


def test_panels_and_epochs():
    cells = made_cells(width=[1], seed=[0, 1])
    table = made_table(cells, lambda width, seed, epoch: {"y": epoch + seed}, epochs=[0, 1, 2])
    found = figure(table, cells, x="epoch", y="y", panels="width")
    assert [(point.x, point.y, point.panel) for point in found.points] == [(0, 0.5, 1), (1, 1.5, 1), (2, 2.5, 1)]


def test_gaps_are_told_and_what_cannot_be_drawn_has_its_reason():
    table = made_table(CELLS, lambda width, labels, seed: {"y": None if (width, seed) == (1, 0) else 1.0})
    found = figure(table, x="width", y="y")
    assert found.reason == "1 point of single repetitions left out: no `y`"
    assert [point.repetitions for point in found.points] == [2, 3]
    assert figure(x="width", y="z").reason == "there is no column `z`"
    assert "no cell has width = 9" in str(figure(x="width", y="y", where={"width": 9}).reason)
    missing = [cell.model_copy(update={"status": "missing"}) for cell in CELLS]
    nothing = figure(Rows([], ()), missing, x="width", y="y")
    assert (nothing.reason, nothing.cells_missing) == ("none of the 12 cells is done", 12)


def test_a_profile_goes_along_the_sites_in_the_order_of_the_table():
    found = figure(kind="profile", column="p:", color="width", where={"labels": "true"})
    assert [(point.x, point.color, point.y) for point in found.points] == [
        ("b", 1, pytest.approx(0.1)), ("a", 1, pytest.approx(0.2)), ("b", 2, pytest.approx(0.2)),
        ("a", 2, pytest.approx(0.2)),
    ]  # fmt: skip
    assert found.y == "p"
    assert "begins with `q:`" in str(figure(kind="profile", column="q:").reason)


@pytest.mark.parametrize(
    "spec", [{"x": "width", "y": "y"}, {"kind": "profile", "column": "p:"}], ids=["lines", "profile"]
)
def test_intervals_end_where_the_column_does(spec):
    cells = made_cells(width=[1, 2], seed=[0, 1])
    table = made_table(cells, lambda width, seed: {"y": (width + seed) / 4, "p:a": (width + seed) / 4})
    free, cut = figure(table, cells, **spec), figure(table, cells, bounds=[0, 0.9], **spec)
    ends = [(point.low or 0.0, point.high or 0.0) for point in free.points]
    assert min(ends)[0] < 0
    assert max(high for _, high in ends) > 1
    assert [(point.low, point.high) for point in cut.points] == [(max(low, 0), min(high, 0.9)) for low, high in ends]
    assert [point.y for point in free.points] == [point.y for point in cut.points]


def test_rows_without_repetitions_are_points_without_an_interval():
    cells = made_cells("all", "compare", width=[1, 2])
    found = figure(made_table(cells, lambda width: {"y": width}), cells, x="width", y="y")
    assert [(point.y, point.low, point.repetitions) for point in found.points] == [(1, None, 1), (2, None, 1)]


def test_maps_are_small_and_keep_their_blocks(tmp_path):
    cells = made_cells("resnet", depth=[14, 26], seed=[0, 1])
    table = made_table(cells, lambda depth, seed: {"y": 1.0})
    reading = layers_readings.one(90)
    for cell in cells:
        if cell.columns["depth"] == 26:
            reading.save(tmp_path / "cells" / cell.name / "readings" / "layers")
    found = figure(table, cells, tmp_path, kind="maps", columns="depth")
    (one,) = found.maps
    assert one.column == 26
    assert one.cell == cells[2].name  # seed 0
    assert (one.layers, len(one.matrix), len(one.names)) == (90, MOST_BINS, MOST_BINS)
    block = reading.networks[0].blocks[0]
    assert one.blocks[0].first == pytest.approx(block.first * MOST_BINS / 90, abs=1)
    assert one.blocks[0].last < MOST_BINS
    assert found.reason is None
    bare = figure(table, cells, tmp_path / "elsewhere", kind="maps", columns="depth")
    assert bare.reason == "no cell of seed 0 that is done keeps a reading of layers"
    (tmp_path / "cells" / cells[2].name / "readings" / "layers" / "reading.json").write_text("torn")
    assert "is not JSON" in str(figure(table, cells, tmp_path, kind="maps", columns="depth").reason)
