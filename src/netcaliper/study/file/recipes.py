"""Whether a training could be made at all, before any is: its recipe, and the arguments of a network of the zoo."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from netcaliper.errors import InputError
from netcaliper.fit.recipe import Recipe
from netcaliper.study.cells.cell_recipe import cell_recipe
from netcaliper.study.file.study import Training
from netcaliper.zoo.models import ZOO

BY_STUDY = ("seed",)
"""Fields of a recipe that are an axis."""

VALUES: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(kind) for name, kind in get_type_hints(Recipe).items() if name not in BY_STUDY
} | {"scale": TypeAdapter(float)}
"""By key what ``recipe`` takes; made once, a grid has hundreds of points."""


def recipe_problem(training: Training) -> tuple[str, str] | None:
    """Return what keeps a point of a family from being trained: the key, and words with the remedy."""
    for name, value in training.recipe.items():
        if name in BY_STUDY:
            return "recipe", f"`recipe.{name}` is an axis; give it there."
        if name not in VALUES:
            return "recipe", _unknown(name, list(VALUES), "recipe")
        if wrong := _wrong_type(value, VALUES[name]):
            return "recipe", f"`recipe.{name}` = {value!r}: {wrong}."
    if "epochs" not in training.recipe and training.updates is None:
        return "recipe", "neither `recipe.epochs` nor `updates` says how long to train; give one."
    try:
        cell_recipe(training.model_dump() | {"seed": 0})
    except InputError as error:
        return "recipe", str(error)
    return _network_problem(training.model, training.arguments)


def _network_problem(model: str, arguments: Mapping[str, object]) -> tuple[str, str] | None:
    scheme, _, name = model.partition(":")
    if not name:
        return "model", f"`model` = {model!r} is none; write zoo:NAME, timm:NAME or package.module:factory."
    if scheme != "zoo":
        return None
    if name not in ZOO:
        near = get_close_matches(name, ZOO, n=1)
        hint = f"did you mean 'zoo:{near[0]}'?" if near else f"there are: {', '.join(ZOO)}; arguments stand apart."
        return "model", f"`model` = {model!r} is not a network of the zoo; {hint}"
    known = list(ZOO[name].config.model_fields)
    return next((("arguments", _unknown(one, known, "arguments")) for one in arguments if one not in known), None)


def _wrong_type(value: object, asked: TypeAdapter[Any]) -> str | None:
    try:
        asked.validate_python(value, strict=True)  # true is no 1, and "1" is none either
    except ValidationError as error:
        return error.errors()[0]["msg"]
    return None


def _unknown(name: str, known: list[str], what: str) -> str:
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"known are: {', '.join(known)}."
    return f"`{what}.{name}` is not known; {hint}"
