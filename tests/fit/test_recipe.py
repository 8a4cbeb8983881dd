"""A recipe refuses what it does not know, and scales batch and rate together."""

import pytest

from netcaliper.errors import InputError
from netcaliper.fit.recipe import Recipe, scaled_together


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "`epochs` must be at least 1, got 0"),
        ({"learning_rate": -1.0}, "`learning_rate` must be a positive number, got -1"),
        ({"momentum": 1.0}, "`momentum` must be at least 0 and below 1, got 1"),
        ({"warmup": -1}, "`warmup` must be from 0 to `epochs` = 1, got -1"),
        ({"warmup": 2}, "`warmup` must be from 0 to `epochs` = 1, got 2"),
        ({"patience": 0}, "`patience` must be at least 1 epoch, got 0; leave it out to train on"),
        ({"pc_penalty": -1.0}, "`pc_penalty` must be 0 or a positive number, got -1"),
        ({"pc_penalty": float("inf")}, "`pc_penalty` must be 0 or a positive number, got inf"),
        ({"pc_threshold": 1.5}, "`pc_threshold` is a share of variance, from 0 to 1, got 1.5"),
        ({"weight_decay": float("nan")}, "`weight_decay` must be 0 or a positive number, got nan"),
    ],
)
def test_bad_values(values, message):
    with pytest.raises(InputError, match=message):
        Recipe(**{"epochs": 1} | values)


@pytest.mark.parametrize("argument", ["optimizer", "decayed", "schedule", "augment", "precision"])
def test_unknown_names(argument):
    """Type checks of the tests would come first: the record's own check is called by itself."""
    recipe = Recipe(1)
    object.__setattr__(recipe, argument, "what")
    with pytest.raises(InputError, match=f"`{argument}` = 'what' is not known; use one of: "):
        recipe.__post_init__()


def test_scaled_together():
    assert scaled_together(0.01, 128, 0.25) == (0.0025, 32)
    assert scaled_together(0.01, 128, 4.0) == (0.04, 512)
    with pytest.raises(InputError, match="`scale` = 0.3 times a batch of 128 is 38.4; it must be a whole number"):
        scaled_together(0.01, 128, 0.3)
    with pytest.raises(InputError, match="`scale` must be a positive number, got 0"):
        scaled_together(0.01, 128, 0.0)


def test_the_schedule_begins_anew_after_a_restart():
    whole = Recipe(epochs=4, schedule="cosine")
    parts = Recipe(epochs=7, schedule="cosine", restart=4)
    assert [parts.rate_factor(epoch) for epoch in range(1, 5)] == [whole.rate_factor(epoch) for epoch in range(1, 5)]
    rest = Recipe(epochs=3, schedule="cosine")
    assert [parts.rate_factor(epoch) for epoch in range(5, 8)] == [rest.rate_factor(epoch) for epoch in range(1, 4)]
    assert Recipe(epochs=4, schedule="cosine", restart=4).rate_factor(4) == whole.rate_factor(4)
    with pytest.raises(InputError, match="`restart` must be from 1 to `epochs` = 2, got 3"):
        Recipe(epochs=2, restart=3)
