"""Residual blocks dropped."""

import numpy as np

import layers_readings
from netcaliper.report.figures.deletion import END, draw


def test_nothing_is_drawn_without_deletion():
    assert draw(layers_readings.bare()) == ()


def test_one_point_a_block_that_can_be_dropped_and_one_line_a_stage():
    blocks, together = draw(layers_readings.one())
    assert (blocks.name, together.name) == ("deletion-0", "deletion_together-0")
    rows = blocks.spec()["layer"][2]["data"]["values"]
    ends = [row for row in rows if row["way"] == END]
    assert len(rows) == 20
    assert len(ends) == 10
    assert len({row["line"] for row in ends}) == 3
    assert all(row["low"] < row["y"] < row["high"] for row in rows)
    assert "2 blocks cannot be dropped: its shortcut changes the shape." in blocks.caption
    assert "1.0 points lower" in blocks.caption
    assert (
        "4 can go together within 1.0 points: on 1,000 verify examples they lose 0.4, at most 0.9" in together.caption
    )


def test_gaps_behind_the_last_block_are_not_drawn():
    reading = layers_readings.one()
    random = np.full((3, 12), np.nan)
    random[:, :2] = 0.7
    arrays = reading.arrays | {"0/drop_random": random, "0/drop_together": np.linspace(0.9, 0.1, 12)}
    together = draw(reading.model_copy(update={"arrays": arrays}))[1]
    rows = together.spec()["layer"][2]["data"]["values"]
    assert len(rows) == 3 * 3 + 13


def test_what_was_not_confirmed_is_said():
    reading = layers_readings.one()
    network = reading.networks[0]
    assert network.deletion is not None
    for update, words in (({"droppable": None}, "was not confirmed"), ({"sentence": "Four go."}, "Four go.")):
        changed = network.model_copy(update={"deletion": network.deletion.model_copy(update=update)})
        assert words in draw(reading.model_copy(update={"networks": (changed,)}))[1].caption
