"""Recipes of cells: updates become epochs, the scale multiplies batch and rate."""

import pytest

from netcaliper.errors import InputError
from netcaliper.study.cells.cell_recipe import cell_recipe
from tiny_cells import training


def test_the_recipe_has_the_seed_of_the_configuration():
    asked = cell_recipe(training(seed=7))
    assert asked.batch_size == 64
    assert asked.on(5).seed == 7
    assert asked.on(5).epochs == 3
    assert asked.on(5).optimizer == "sgd"


def test_scale_multiplies_rate_and_batch():
    asked = cell_recipe(training(recipe={"epochs": 2, "learning_rate": 0.05, "scale": 2.0}))
    assert (asked.recipe.learning_rate, asked.batch_size) == (0.1, 128)
    with pytest.raises(InputError, match="must be a whole number"):
        cell_recipe(training(recipe={"epochs": 2, "scale": 0.3}))


@pytest.mark.parametrize(("batches", "epochs"), [(1, 14), (5, 3), (7, 2), (14, 1), (100, 1)])
def test_updates_are_the_least_number_of_epochs(batches, epochs):
    asked = cell_recipe(training(updates=14, recipe={"learning_rate": 0.1}))
    assert asked.on(batches).epochs == epochs
    assert (epochs - 1) * batches < 14 <= epochs * batches


def test_updates_and_a_warmup():
    asked = cell_recipe(training(updates=100, recipe={"warmup": 3}))
    assert (asked.on(10).epochs, asked.on(10).warmup) == (10, 3)
    with pytest.raises(InputError, match="`warmup` must be from 0 to `epochs` = 2"):
        asked.on(50)
