"""A comparison of trained networks: the row of a cell of kind ``compare``."""

from collections.abc import Mapping
from typing import Any

from netcaliper.errors import StudyError
from netcaliper.study.cells.cell_data import name_of_test
from netcaliper.study.cells.once import once
from netcaliper.study.cells.readers import compare
from netcaliper.study.cells.trained import Trained
from netcaliper.study.place import Place


def compare_cell(configuration: Mapping[str, Any], place: Place) -> list[dict[str, Any]]:
    """Compare the final networks of trainings on the test examples of the first one; return one row.

    Raises:
        StudyError: a reader is not known, a member is missing, or its test examples are others.
    """
    readers = dict(configuration["read"])
    if list(readers) != ["compare"]:
        raise StudyError(f"`read` of a comparison must name `compare` alone, got {', '.join(readers) or 'nothing'}.")
    file = place.folder / "readings" / "compare.json"
    row = once(file, lambda: _row(configuration["groups"], readers["compare"], place))
    place.tell(1.0, "done")
    return [{"epoch": None, "final": True} | row]


def _row(groups: Mapping[str, Any], options: Mapping[str, Any], place: Place) -> dict[str, Any]:
    folders = {folder.name: folder for folder in place.needs}
    members: dict[str, list[Trained]] = {}
    for label, names in groups.items():
        for name in names:
            if name not in folders:
                raise StudyError(f"`groups` names the cell {name}, which is not among those it stands on.")
        members[str(label)] = [Trained.of(folders[name]) for name in names]
    first = next(iter(members.values()))[0]
    data = first.data(place.folders, first.network(first.epochs))
    for one in (member for group in members.values() for member in group):
        theirs = name_of_test(one.configuration["data"])
        if theirs != data.name:
            raise StudyError(
                f"all members must have the same test examples, got {data.name!r} and {theirs!r}; compare trainings on "
                "the same data."
            )
    return compare.read(
        {label: [member.network(member.epochs).model for member in group] for label, group in members.items()},
        data.test,
        options,
        seed=first.seed,
        folder=place.folder / "readings" / "compare",
        name=data.name,
        tell=lambda phase, done, total: place.tell(0.5, phase),
    )
