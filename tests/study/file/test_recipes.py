from dataclasses import fields

import pytest

from netcaliper.fit.recipe import Recipe
from netcaliper.study.file.recipes import recipe_problem
from netcaliper.study.file.study import Training


def training(**changes):
    return Training(**{"model": "zoo:mlp", "data": "digits", "recipe": {"epochs": 2}} | changes)


@pytest.mark.parametrize(
    "good",
    [
        {},
        {"recipe": {}, "updates": 100},
        {"recipe": {"epochs": 2, "scale": 0.5, "warmup": 2}},
        {"recipe": {"warmup": 5}, "updates": 100},
        {"model": "timm:resnet18", "arguments": {"any": 1}},
        {"model": "package.module:factory"},
    ],
    ids=str,
)
def test_what_can_be_trained(good):
    assert recipe_problem(training(**good)) is None


def test_every_field_of_a_recipe_but_the_seed_can_be_given():
    for field in fields(Recipe):
        given = {"epochs": 2, field.name: getattr(Recipe(epochs=2), field.name)}
        assert (recipe_problem(training(recipe=given)) is None) == (field.name != "seed"), field.name


@pytest.mark.parametrize(
    ("bad", "key", "words"),
    [
        ({"recipe": {}}, "recipe", "give one"),
        ({"recipe": {"epochs": 2, "momentun": 0.9}}, "recipe", "did you mean `momentum`"),
        ({"recipe": {"epochs": 2, "zzz": 0.9}}, "recipe", "known are: epochs"),
        ({"recipe": {"epochs": 2, "scale": 0.3}}, "recipe", "whole number"),
        ({"recipe": {"epochs": 2, "momentum": 2.0}}, "recipe", "`momentum`"),
        ({"recipe": {"epochs": "2"}}, "recipe", "`recipe.epochs` = '2': Input should be a valid integer."),
        ({"recipe": {"epochs": 1.5}}, "recipe", "`recipe.epochs` = 1.5: Input should be a valid integer"),
        ({"recipe": {"epochs": 2, "learning_rate": True}}, "recipe", "`recipe.learning_rate` = True: Input should be"),
        ({"recipe": {"epochs": 2, "schedule": "cosin"}}, "recipe", "`recipe.schedule` = 'cosin'"),
        ({"model": "mlp"}, "model", "write zoo:NAME"),
        ({"model": "zoo:mpl"}, "model", "did you mean 'zoo:mlp'"),
        ({"model": "zoo:zzzzzz"}, "model", "there are: alexnet"),
        ({"arguments": {"width": 2}}, "arguments", "did you mean `widths`"),
    ],
    ids=str,
)
def test_what_cannot(bad, key, words):
    found = recipe_problem(training(**bad))
    assert found is not None
    assert found[0] == key
    assert words in found[1]
