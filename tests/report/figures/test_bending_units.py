"""Units that still bend, by site."""

import linearization_readings as made
from charts import values
from netcaliper.report.figures.bending_units import BEND, LINEAR, draw


def test_nothing_is_drawn_without_a_core():
    assert draw(made.coreless()) == ()
    assert draw(made.swept().model_copy(update={"arrays": {}})) == ()


def test_every_unit_of_every_site_is_in_one_bar():
    reading = made.swept()
    (figure,) = draw(reading)
    rows = values(figure)
    for place, site in enumerate(reading.sites):
        mine = {row["which"]: row for row in rows if row["site"] == site.name}
        active = reading.of_site(made.CORE, "active", place)
        assert active is not None
        assert (mine[BEND]["from"], mine[BEND]["to"]) == (0, active.sum())
        assert (mine[LINEAR]["from"], mine[LINEAR]["to"]) == (active.sum(), site.units)
    assert "238 of 720 units bend" in figure.caption
    assert "became linear as a whole" not in figure.caption


def test_sites_without_a_bending_unit_are_counted():
    reading = made.swept()
    active = reading.arrays[f"point/{made.CORE}/active"].copy()
    active[:32] = False  # the first two sites
    changed = reading.model_copy(update={"arrays": reading.arrays | {f"point/{made.CORE}/active": active}})
    assert "2 sites became linear as a whole" in draw(changed)[0].caption


def test_many_sites_have_no_numbers_beside_them_and_stay_low():
    (figure,) = draw(made.wide(240, 64))
    assert len(figure.spec()["layer"]) == 1
    assert figure.spec()["height"] < 2500
