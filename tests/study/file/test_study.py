import pytest
from pydantic import ValidationError

from netcaliper.study.file.axes import Point
from netcaliper.study.file.study import Comparison, Grid
from trivial_cells import parsed


def test_a_point_of_a_grid_is_the_table_with_its_settings():
    grid = parsed().families["mlp"]
    assert grid.training(Point({}, {"arguments.width": 3, "batch_size": 7})).arguments == {"width": 3}
    assert grid.table == {"model": "zoo:mlp", "data": "digits", "recipe": {"epochs": 2}}
    assert parsed().bends["late"].bend(Point({}, {"choose": "layer"})).choose == "layer"


def test_unknown_keys_and_wrong_types_are_refused():
    grid = Grid(table={"model": "zoo:mlp", "data": "digits"}, axes=())
    for settings in ({"modle": 1}, {"batch_size": "7"}, {"batch_size": 0}, {"updates": 0}):
        with pytest.raises(ValidationError):
            grid.training(Point({}, settings))


def test_conditions_that_nothing_meets_are_refused():
    with pytest.raises(ValidationError, match="selects nothing"):
        Comparison(of=["mlp"], where={"width": []}, read={"compare": {}})
