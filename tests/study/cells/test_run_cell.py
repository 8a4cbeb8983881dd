"""Every kind of cell through the one door, on a residual network of a few channels."""

import pytest

from netcaliper.errors import StudyError
from tiny_cells import Cells, bend, training

RESNET = training(
    model="zoo:resnet",
    arguments={"depth": 8, "width": 0.25, "channels": 1, "size": 8},
    data={"spec": "digits", "options": {"examples": 128, "classes": [0, 1, 2]}},
    recipe={"epochs": 1, "learning_rate": 0.01},
    keep=[0],
    read={"width": {"only": ["unit_states"], "twin": False}},
)


def test_a_training_and_a_bend_of_a_residual_network(tmp_path):
    cells = Cells(tmp_path)
    trained, (row,) = cells.run("train", RESNET)
    assert row["epoch"] == 1
    assert row["units"] > 0
    _, (bent,) = cells.run(
        "bend", bend(start=0, penalty=1, final=0, omega=0.01, read={"linear_zone": {}}), needs=[trained]
    )
    assert bent["epoch"] == 2
    assert "linear_zone_lift" in bent
    assert bent["path_length"] > 0
    sites = [name for name in bent if name.startswith("active:")]
    assert len(sites) == 7
    assert "later_more_active" in bent
    assert sum(name.startswith("class_accuracy:") for name in bent) == 3


def test_an_unknown_kind(tmp_path):
    with pytest.raises(StudyError, match="`kind` must be one of train, bend, compare, got 'measure'"):
        Cells(tmp_path).run("measure", {})
