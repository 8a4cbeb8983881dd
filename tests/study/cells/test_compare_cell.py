"""Comparisons of trainings: groups by the names of cells, one row, and members that do not fit together."""

import pytest

from netcaliper.errors import StudyError
from netcaliper.reading.layers_reading import LayersReading
from netcaliper.reading.store import load_as
from readings import there
from tiny_cells import Cells, training

ASKED = {"compare": {"layers": "sites", "examples": 96, "passes": 1, "batch": 48, "images": False}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    cells = Cells(tmp_path_factory.mktemp("cells"))
    quick = {"keep": [], "recipe": {"epochs": 1}}
    folders = [cells.run("train", training(seed=seed, **quick))[0] for seed in (1, 2)]
    wide = quick | {"arguments": {"inputs": 64, "widths": [20, 16], "classes": 10}}
    folders += [cells.run("train", training(seed=seed, **wide))[0] for seed in (1, 2)]
    return cells, folders


def test_two_groups(trained):
    cells, folders = trained
    names = [folder.name for folder in folders]
    asked = {"groups": {"16": names[:2], "20": names[2:]}, "read": ASKED}
    folder, (row,) = cells.run("compare", asked, needs=folders)
    assert (row["epoch"], row["final"], row["networks"], row["groups"]) == (None, True, 4, 2)
    reading = load_as(LayersReading, folder / "readings" / "compare")
    assert [group.name for group in reading.groups] == ["16", "20"]
    assert reading.origin.data == "digits (test)"
    accuracies = [there(network.accuracy) for network in reading.networks]
    assert row["accuracy_difference"] == pytest.approx(sum(accuracies[:2]) / 2 - sum(accuracies[2:]) / 2)
    again, same = cells.run("compare", asked, needs=folders[::-1])
    assert same == [row]
    arrays = "readings/compare/arrays.safetensors"
    assert (again / arrays).read_bytes() == (folder / arrays).read_bytes()


def test_a_comparison_that_is_there_is_not_made_again(trained):
    cells, folders = trained
    asked = {"groups": {"all": [folder.name for folder in folders[:2]]}, "read": ASKED}
    folder, rows = cells.run("compare", asked, needs=folders)
    told = []
    _, same = cells.run("compare", asked, needs=folders, name=folder.name, tell=lambda share, words: told.append(words))
    assert same == rows
    assert told == ["done"]


def test_what_cannot_be_compared(trained):
    cells, folders = trained
    names = [folder.name for folder in folders]
    with pytest.raises(StudyError, match="must name `compare` alone, got layers"):
        cells.run("compare", {"groups": {"all": names}, "read": {"layers": {}}}, needs=folders)
    with pytest.raises(StudyError, match="names the cell train9, which is not among those"):
        cells.run("compare", {"groups": {"all": ["train9"]}, "read": ASKED}, needs=folders)
    other, _ = cells.run(
        "train", training(keep=[], recipe={"epochs": 1}, data={"spec": "digits", "options": {"classes": [0, 1]}})
    )
    with pytest.raises(StudyError, match="all members must have the same test examples"):
        cells.run("compare", {"groups": {"all": [names[0], other.name]}, "read": ASKED}, needs=[folders[0], other])
