"""How the training of a cell goes: its recipe with the factor of the batch and the number of updates worked in."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from netcaliper.fit.recipe import Recipe, scaled_together


@dataclass(frozen=True)
class CellRecipe:
    """A recipe before the data are known.

    Attributes:
        recipe: with the number of epochs, or one epoch where ``updates`` say how many.
        batch_size: examples a batch.
        updates: least number of updates, if that is what was asked for.
    """

    recipe: Recipe
    batch_size: int
    updates: int | None

    def on(self, batches: int) -> Recipe:
        """Return the recipe for so many batches an epoch: ``ceil(updates / batches)`` epochs if updates were asked."""
        if self.updates is None:
            return self.recipe
        return replace(self.recipe, epochs=-(-self.updates // batches))


def cell_recipe(configuration: Mapping[str, Any]) -> CellRecipe:
    """Read recipe, batch size and updates of a training.

    ``scale`` multiplies learning rate and batch size; the seed is that of the configuration.

    Raises:
        InputError: a value is out of range.
    """
    given = dict(configuration["recipe"])
    scale = given.pop("scale", 1.0)
    updates = configuration.get("updates")
    if updates is not None:
        given["epochs"] = max(given.get("warmup", 0), given.get("restart") or 1, 1)
    for field in fields(Recipe):  # TOML has integers where a number is meant
        if field.type is float and isinstance(given.get(field.name), int):
            given[field.name] = float(given[field.name])
    recipe = Recipe(**given, seed=configuration["seed"])
    rate, size = scaled_together(recipe.learning_rate, configuration["batch_size"], scale)
    return CellRecipe(replace(recipe, learning_rate=rate), size, updates)
