"""The cells of a study: its trainings, then what bends them, then what compares them."""

from collections.abc import Iterator, Mapping
from typing import Any

from netcaliper.study.cell import Cell
from netcaliper.study.file.axes import SEED, Axis, Point, points
from netcaliper.study.file.problem import Problem
from netcaliper.study.file.study import Comparison, Study, Training

FAMILY = "family"
ALL = "all"
"""Label of the one group of a comparison without groups."""


def cells(study: Study) -> tuple[Cell, ...]:
    """Return the cells in the order of the table; seeds outermost, so that an interrupted study has whole grids.

    A configuration that two families ask for stands twice, with the columns of each, under one name: it is computed
    once, and its rows are in the table for both.

    Raises:
        Problem: bends or comparisons ask for what the grid does not hold.
    """
    trained = list(_trainings(study))
    bent = list(_bends(study, trained))
    return (*trained, *bent, *_comparisons(study, trained))


def _trainings(study: Study) -> Iterator[Cell]:
    grids = {name: {axis.column: axis for axis in grid.axes} for name, grid in study.families.items()}
    starts = {name: _starts(study, name) for name in grids}
    rounds = max(len(axes[SEED].values) for axes in grids.values())
    for at in range(rounds):
        for name, axes in grids.items():
            if at < len(axes[SEED].values):
                one_seed = axes | {SEED: Axis(SEED, axes[SEED].values[at : at + 1])}
                for point in points(list(one_seed.values())):
                    training = study.families[name].training(point)
                    yield Cell(
                        "train", name, point.columns, _configured(training, study, point) | {"keep": starts[name]}
                    )


def _configured(training: Training, study: Study, point: Point) -> dict[str, Any]:
    recipe = dict(training.recipe)
    if training.updates is not None:
        recipe.pop("epochs", None)
    return {
        "model": training.model,
        "arguments": training.arguments,
        "data": {"spec": study.data[training.data].spec, "options": training.options},
        "batch_size": training.batch_size,
        "recipe": recipe,
        "updates": training.updates,
        "seed": point.columns[SEED],
        "read": training.read,
    }


def _starts(study: Study, family: str) -> list[int]:
    """Return the epochs after which a family's networks are kept, because they are bent from there."""
    grids = [grid for grid in study.bends.values() if grid.table["of"] == family]
    return sorted({grid.bend(point).start for grid in grids for point in points(grid.axes)})


def _bends(study: Study, trained: list[Cell]) -> Iterator[Cell]:
    made = [cell for training in trained for cell in _bends_of(study, training)]
    learned = {_same_point(cell): cell.name for cell in made if cell.configuration["choose"] == "learned"}
    for cell in made:
        if cell.configuration["choose"] != "random":
            yield cell
            continue
        model = learned.get(_same_point(cell))
        if model is None:
            raise Problem(
                ("bends", cell.family, "axes", "choose"),
                f"`bends.{cell.family}`: random units are as many as the learned bend of the same point has, and the "
                "grid has none; add 'learned' to the axis over `choose`.",
            )
        yield Cell(cell.kind, cell.family, cell.columns, cell.configuration, (*cell.needs, model))


def _bends_of(study: Study, training: Cell) -> Iterator[Cell]:
    for name, grid in study.bends.items():
        if grid.table["of"] != training.family:
            continue
        for point in points(grid.axes):
            bend = grid.bend(point)
            epochs = training.configuration["recipe"].get("epochs")
            if epochs is not None and bend.start > epochs:
                raise Problem(
                    ("bends", name, "start"),
                    f"`bends.{name}`: `start` = {bend.start} lies behind the end of `{training.family}`, which trains "
                    f"{epochs} epochs; give at most that.",
                )
            configuration = bend.model_dump(exclude={"of"})
            asked = {key: configuration[key] for key in ("omega", "start", "choose")}
            yield Cell("bend", name, {**training.columns, **asked, **point.columns}, configuration, (training.name,))


def _same_point(cell: Cell) -> tuple[Any, ...]:
    """Return what a random bend and the learned one whose numbers of units it takes have in common."""
    same = ("start", "omega", "penalty", "final", "alpha_rate", "proximal")
    return (cell.needs[0], *(cell.configuration[key] for key in same))


def _comparisons(study: Study, trained: list[Cell]) -> Iterator[Cell]:
    for name, comparison in study.comparisons.items():
        gathered: dict[tuple[Any, ...], dict[str, list[str]]] = {}
        columns: dict[tuple[Any, ...], dict[str, Any]] = {}
        apart = _apart(study, comparison)
        for cell in trained:
            known = {FAMILY: cell.family, **cell.columns}
            if cell.family not in comparison.of or not _meets(known, comparison.where):
                continue
            point = tuple(known.get(column) for column in apart)
            group = ALL if comparison.groups is None else str(known.get(comparison.groups))
            members = gathered.setdefault(point, {}).setdefault(group, [])
            if cell.name not in members:
                members.append(cell.name)
            columns[point] = {column: known[column] for column in apart if column in known and column != FAMILY}
        if not gathered:
            words = f"`comparisons.{name}`: `where` = {comparison.where} selects no network; widen it."
            raise Problem(("comparisons", name, "where"), words)
        for point, groups in gathered.items():
            needs = tuple(dict.fromkeys(member for group in groups.values() for member in group))
            if len(needs) < 2:
                raise Problem(
                    ("comparisons", name),
                    f"`comparisons.{name}` has one network alone at {columns[point] or 'its one point'}; give the axis "
                    f"`{comparison.across}` two values, or leave the comparison out of this scale "
                    f"(`comparisons.{name} = false`).",
                )
            configuration = {"groups": groups, "read": comparison.read}
            yield Cell("compare", name, columns[point], configuration, needs)


def _apart(study: Study, comparison: Comparison) -> list[str]:
    """Return the columns of which each combination of values is a comparison of its own.

    Where families are the groups, an axis that one of them does not have cannot part both: ``where`` takes one value.
    """
    families = [FAMILY] if len(comparison.of) > 1 else []
    own = [[axis.column for axis in study.families[name].axes] for name in comparison.of]
    axes = [column for one in own for column in one]
    if comparison.groups == FAMILY:
        axes = [column for column in axes if all(column in one for one in own)]
    return [column for column in dict.fromkeys(families + axes) if column not in (comparison.across, comparison.groups)]


def _meets(columns: Mapping[str, Any], where: Mapping[str, Any]) -> bool:
    """Tell whether a cell meets the conditions on columns that it has; families differ in their axes."""
    return all(
        column not in columns or (columns[column] in wanted if isinstance(wanted, list) else columns[column] == wanted)
        for column, wanted in where.items()
    )
