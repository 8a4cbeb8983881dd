"""A study file is read: every problem is one line that names file, line and remedy."""

import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from netcaliper.errors import StudyError
from netcaliper.study.claims.claim_schema import (
    Change,
    Claim,
    LinesFigure,
    MapsFigure,
    PaperValue,
    ProfileFigure,
    Selection,
    Span,
)
from netcaliper.study.file.axes import SEED, Axis, placed, read_axis
from netcaliper.study.file.grid import cells
from netcaliper.study.file.lines import Lines
from netcaliper.study.file.overlay import overlaid
from netcaliper.study.file.problem import Problem
from netcaliper.study.file.readers import AT, READERS
from netcaliper.study.file.study import Bend, Comparison, DataSet, Grid, Study, Training
from netcaliper.study.place import FOLDER

Place = tuple[str | int, ...]

FIGURES: Mapping[str, type[BaseModel]] = {"lines": LinesFigure, "maps": MapsFigure, "profile": ProfileFigure}
BRANCHES = ("bool", "int", "float", "str", *FIGURES)
GIVEN = ("name", "scale")
"""Fields of a study that do not stand in its file."""

LAID_OVER = ("families", "bends", "comparisons", "data")


def load_study(path: str | Path, scale: str, folders: Mapping[str, str] | None = None) -> Study:
    """Read a study file at one of its scales.

    Args:
        path: a TOML file.
        scale: a key of its ``scales``; all of them are checked.
        folders: by name of a data set the folder that holds it, in place of what the file says.

    Raises:
        StudyError: it cannot be read or used; the message names file, line and remedy.
    """
    file = Path(path)
    try:
        text = file.read_bytes().decode("utf-8")
    except OSError as error:
        raise StudyError(f"{file} cannot be read: {error.strerror or error}; name a study file (TOML).") from error
    except UnicodeDecodeError as error:
        raise StudyError(f"{file} is not UTF-8 text (byte {error.start}); name a study file (TOML).") from error
    study = parse_study(text, file, name=file.stem, scale=scale, folders=folders)
    from netcaliper.study.file.recipes import recipe_problem

    try:
        for family, grid in study.families.items():
            for axis, settings in tried(grid):
                found = recipe_problem(Training.model_validate(placed(grid.table, settings)))
                if found is not None:
                    key, words = found
                    raise Problem(("families", family, *((key,) if axis is None else ("axes", axis.column))), words)
        cells(study)
    except Problem as problem:
        raise _told(file, Lines(text), scale, problem) from None
    return study


def parse_study(text: str, file: Path, *, name: str, scale: str, folders: Mapping[str, str] | None = None) -> Study:
    """Read the text of a study file; of the recipes only the form is checked, which needs no torch.

    Args:
        text: of the file.
        file: for messages.
        name: of the study.
        scale: a key of its ``scales``.
        folders: by name of a data set the folder that holds it.

    Raises:
        StudyError: it cannot be used; the message names file, line and remedy.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{file} is no TOML: {error}; correct that line.") from error
    lines = Lines(text)
    at = ""
    try:
        scales = _table(raw.pop("scales", {}), ("scales",))
        if scale not in scales:
            known = f"known are: {', '.join(scales)}" if scales else f"add `[scales.{scale}]`, which may be empty"
            raise Problem(("scales",), f"`scale` = {scale!r} is not in the file; {known}.")
        found = None
        for at, over in scales.items():
            table = _over(raw, _table(over, ("scales", at)), at)
            study = _study(table, name, at, folders or {})
            found = study if at == scale else found
    except Problem as problem:
        raise _told(file, lines, at, problem) from None
    assert found is not None
    return found


def _told(file: Path, lines: Lines, scale: str, problem: Problem) -> StudyError:
    """Return the error that names file and line; what a scale lays over the file stands in the scale."""
    laid = ("scales", scale, *problem.place)
    line = lines.of(laid if lines.depth(laid) - 2 >= max(lines.depth(problem.place), 1) else problem.place)
    where = f"{file}, line {line}" if line else str(file)
    return StudyError(f"{where}: {problem}")


def _table(value: Any, place: Place) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Problem(place, f"`{place[-1]}` must be a table, got {value!r}; write `[{'.'.join(map(str, place))}]`.")
    return value


def _over(raw: Mapping[str, Any], over: Mapping[str, Any], scale: str) -> dict[str, Any]:
    """Return the file with a scale laid over it; a scale changes what is there, and adds nothing."""
    for kind in LAID_OVER:
        known = _table(raw.get(kind, {}), (kind,))
        for name in _table(over.get(kind, {}), ("scales", scale, kind)):
            if name not in known:
                raise Problem(("scales", scale, kind, name), _unknown(name, known, f"of the {kind} of the file"))
    return overlaid(raw, over)


def _unknown(name: str, known: Sequence[str] | Mapping[str, Any], what: str) -> str:
    near = get_close_matches(name, list(known), n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"known are: {', '.join(known) or 'none'}."
    return f"`{name}` is none {what}; {hint}"


def _study(table: dict[str, Any], name: str, scale: str, folders: Mapping[str, str]) -> Study:
    for kind in ("families", "bends"):
        table[kind] = {key: _grid(kind, key, one) for key, one in _table(table.get(kind, {}), (kind,)).items()}
    data = _table(table.get("data", {}), ("data",))
    for key, folder in folders.items():
        if key not in data:
            raise Problem(("data",), f"`folders`: {_unknown(key, data, 'of the data sets')}")
        data = data | {key: _table(data[key], ("data", key)) | {"folder": folder}}
    for key in GIVEN:
        if key in table:
            raise Problem((key,), f"`{key}` cannot stand here; the {key} is given with the file.")
    try:
        study = Study.model_validate(table | {"data": data, "name": name, "scale": scale})
    except ValidationError as error:
        raise _refused((), error, Study) from None
    _names_fit(study)
    return study


def _grid(kind: str, name: str, raw: Any) -> Grid:
    """Read a family or bendings, and try every value of its axes."""
    place: Place = (kind, name)
    table = dict(_table(raw, place))
    axes = []
    for column, written in _table(table.pop("axes", {}), (*place, "axes")).items():
        try:
            axes.append(read_axis(column, written))
        except ValueError as error:
            raise Problem((*place, "axes", column), f"{error}.") from None
    if kind == "families" and SEED not in [axis.column for axis in axes]:
        raise Problem(
            (*place, "axes"), f"`{name}` has no seeds; write `seed = [0, 1, 2]` under `[families.{name}.axes]`."
        )
    if kind == "bends" and SEED in [axis.column for axis in axes]:
        raise Problem((*place, "axes", SEED), "the seeds of bendings are those of their trainings; leave `seed` out.")
    _axes_apart(place, axes)
    grid = Grid(table=table, axes=tuple(axes))
    model = Training if kind == "families" else Bend
    for axis, settings in tried(grid):
        at = (*place, "axes", axis.column) if axis else place
        try:
            full = placed(table, settings)
        except ValueError as error:
            raise Problem(at, f"{error}.") from None
        for inner, value in _leaves(full):
            if not (isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))):
                words = f"`{'.'.join(map(str, inner))}` = {value} cannot stand here; give a finite number or a word."
                raise Problem(at if axis else (*place, *inner), words)
        try:
            model.model_validate(full)
        except ValidationError as error:
            raise _refused(place, error, model, axes) from None
    return grid


def _axes_apart(place: Place, axes: Sequence[Axis]) -> None:
    """Check that no axis sets what another one sets: the last would win, and the column of the first would lie."""
    by: dict[tuple[str, ...], str] = {}
    for axis in axes:
        paths = {tuple(path.split(".")) for _, settings in axis.values for path in settings}
        for path in sorted(paths):
            for other, column in by.items():
                if path[: len(other)] == other or other[: len(path)] == path:
                    words = f"`{'.'.join(path)}` is set by the axis `{column}` too; set it by one of them."
                    raise Problem((*place, "axes", axis.column), words)
        by |= dict.fromkeys(paths, axis.column)


def _leaves(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Go through all that stands in a table but tables and lists, with where it stands."""
    match value:
        case Mapping():
            for key, inner in value.items():
                yield from _leaves(inner, (*place, key))
        case list():
            for at, inner in enumerate(value):
                yield from _leaves(inner, (*place, at))
        case _:
            yield place, value


def tried(grid: Grid) -> Iterator[tuple[Axis | None, Mapping[str, Any]]]:
    """Go through points of a grid in which every value of every axis occurs: far fewer than the product.

    Yields:
        The axis that is varied (``None`` for the first point) and what the point sets.
    """
    first = [axis.values[0][1] for axis in grid.axes]
    yield None, {path: value for settings in first for path, value in settings.items()}
    for at, axis in enumerate(grid.axes):
        for _, settings in axis.values[1:]:
            chosen = [*first[:at], settings, *first[at + 1 :]]
            yield axis, {path: value for settings in chosen for path, value in settings.items()}


def _refused(
    place: Place,
    error: ValidationError,
    model: type[BaseModel],
    axes: Sequence[Axis] = (),
) -> Problem:
    """Say what pydantic found first, at the key it is about, with the nearest known name of an unknown one."""
    # An unknown key first: it is often the one that is missing under another name.
    found = sorted(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")[0]
    # Of a union (kinds of figures, a value or a list of them) pydantic names the branch, which no file holds.
    loc = tuple(part for part in found["loc"] if isinstance(part, int) or not (part in BRANCHES or "[" in part))
    key = loc[-1] if loc else "the file"
    unknown = found["type"] == "extra_forbidden"
    if unknown:
        words = _unknown(str(key), _known(model, found["loc"][:-1]), "of the keys that can stand here")
    elif found["type"] == "missing":
        words, loc = f"`{key}` is missing; add it.", loc[:-1]
    elif found["type"] == "too_short" and not found["input"]:
        words = f"`{key}` is empty; write at least one."
    elif found["type"] == "value_error":
        words = str(found["msg"]).removeprefix("Value error, ").rstrip(".") + "."
    elif len(loc) < len(found["loc"]) and found["type"] != "union_tag_invalid":
        words = f"`{key}` = {found['input']!r} must be a number, a word, true or false, or a list of them."
    else:
        words = str(found["msg"]).rstrip(".")
        words = f"`{key}` = {found['input']!r} cannot be used: {words[:1].lower()}{words[1:]}."
    for axis in axes:
        paths = [path for _, settings in axis.values for path in settings]
        if any(_sets(path, loc) or (unknown and path.split(".")[0] == key) for path in paths):
            return Problem((*place, "axes", axis.column), words)
    return Problem((*place, *loc), words)


def _sets(path: str, loc: Sequence[str | int]) -> bool:
    """Tell whether a dotted path sets what stands at ``loc``, or something above it."""
    parts = path.split(".")
    return bool(loc) and list(loc[: len(parts)]) == parts


def _known(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """Return the keys that can stand at a location that pydantic names."""
    match loc:
        case ["data", _]:
            model = DataSet
        case ["comparisons", _]:
            model = Comparison
        case ["claims", _]:
            model = Claim
        case [*_, "where", _, str() as branch] if "Span" in branch:
            model = Span
        case ["claims", _, inner]:
            model = {"minus": Change, "over": Change, "paper": PaperValue}.get(str(inner), Selection)
        case ["figures", _, kind]:
            model = FIGURES[str(kind)]
    return [name for name in model.model_fields if model is not Study or name not in GIVEN]


def _names_fit(study: Study) -> None:
    """Check that what stands on something names something that is there, and that names are unique."""
    for family, grid in study.families.items():
        for axis, settings in tried(grid):
            data = placed(grid.table, settings)["data"]
            if data not in study.data:
                place = ("families", family, "data") if axis is None else ("families", family, "axes", axis.column)
                raise Problem(place, _unknown(data, study.data, "of the data sets"))
    for name, grid in study.bends.items():
        of = str(grid.table.get("of"))
        if any(path.split(".")[0] == "of" for axis in grid.axes for _, one in axis.values for path in one):
            raise Problem(("bends", name, "axes"), "`of` cannot be an axis; write one table of bends for each family.")
        if of not in study.families:
            raise Problem(("bends", name, "of"), _left(of, study, "bends", name))
        for axis in grid.axes:
            if axis.column in [one.column for one in study.families[of].axes]:
                words = f"`{axis.column}` is an axis of `{of}` already; the bends have it from there, name another."
                raise Problem(("bends", name, "axes", axis.column), words)
    for name, comparison in study.comparisons.items():
        for at, of in enumerate(comparison.of):
            if of not in study.families:
                raise Problem(("comparisons", name, "of", at), _left(of, study, "comparisons", name))
        columns = {"family"} | {axis.column for of in comparison.of for axis in study.families[of].axes}
        asked = {"across": comparison.across, "groups": comparison.groups}
        for key, column in asked.items():
            if column is not None and column not in columns:
                raise Problem(("comparisons", name, key), _unknown(column, sorted(columns), "of the columns"))
        for column in comparison.where:
            if column not in columns:
                raise Problem(
                    ("comparisons", name, "where", column), _unknown(column, sorted(columns), "of the columns")
                )
        if comparison.across == comparison.groups:
            raise Problem(("comparisons", name, "groups"), "`groups` is `across` itself; name another column.")
    kinds = {"families": study.families, "bends": study.bends, "comparisons": study.comparisons}
    by: dict[str, str] = {}
    for kind, named in kinds.items():
        for name in named:
            if by.setdefault(name, kind) != kind:
                words = (
                    f"the name `{name}` is taken by one of the {by[name]}; choose one, or rows of both are one family."
                )
                raise Problem((kind, name), words)
    _readers_fit(study)
    specs: dict[str, DataSet] = {}
    for name, data in study.data.items():
        if data.folder != specs.setdefault(data.spec, data).folder:
            words = f"`{data.spec}` is one spec in two folders, which a cell cannot tell apart; make the specs differ."
            raise Problem(("data", name), words)
        if data.folder is not None and FOLDER not in data.spec:
            words = f"`data.{name}` has a folder, {data.folder!r}, and no {FOLDER} in `spec`; write it, or give none."
            raise Problem(("data", name), words)
    for kind, entries in (("claims", study.claims), ("figures", study.figures)):
        names = [entry.name for entry in entries]
        for at, one in enumerate(names):
            if one in names[:at]:
                raise Problem((kind, at, "name"), f"the name `{one}` is taken by another of the {kind}; choose one.")


def _left(name: str, study: Study, kind: str, by: str) -> str:
    return _unknown(name, study.families, "of the families") + (
        f" (A scale that leaves a family out also says `{kind}.{by} = false`.)"
    )


def _readers_fit(study: Study) -> None:
    """Check readers and their options at every value of every axis: what they cannot use shows after a training."""
    for kind, grids in (("families", study.families), ("bends", study.bends)):
        for name, grid in grids.items():
            for axis, settings in tried(grid):
                full = placed(grid.table, settings)
                place = (kind, name) if axis is None else (kind, name, "axes", axis.column)
                epochs = full.get("recipe", {}).get("epochs") if full.get("updates") is None else None
                for inner, words in _reader_problems(kind, full.get("read", {}), epochs):
                    raise Problem((*place, "read", *inner) if axis is None else place, words)
    for name, one in study.comparisons.items():
        for inner, words in _reader_problems("comparisons", one.read, None):
            raise Problem(("comparisons", name, "read", *inner), words)


def _reader_problems(kind: str, read: Mapping[str, Mapping[str, Any]], epochs: Any) -> Iterator[tuple[Place, str]]:
    known = READERS[kind]
    for reader, options in read.items():
        if reader not in known:
            yield (reader,), _unknown(reader, known, "of the readers")
            continue
        for option, value in options.items():
            if option not in known[reader]:
                yield (reader, option), _unknown(option, known[reader], f"of the options of `{reader}`")
            elif option == AT and not _are_epochs(value, epochs):
                upto = f" up to {epochs}, where the training ends" if isinstance(epochs, int) else ""
                words = f'`{AT}` = {value!r} must be a list of epochs{upto}; write e.g. [0, "final"].'
                yield (reader, option), words


def _are_epochs(value: Any, epochs: Any) -> bool:
    last = epochs if isinstance(epochs, int) else math.inf
    return (
        bool(value)
        and isinstance(value, list)
        and all(
            one == "final" or (isinstance(one, int) and not isinstance(one, bool) and 0 <= one <= last) for one in value
        )
    )
