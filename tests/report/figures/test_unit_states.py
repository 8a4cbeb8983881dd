"""Which units switch, and how much smooth ones bend."""

import pytest

import readings
from charts import values
from netcaliper.report.figures import unit_states


def test_states_are_shares_and_only_of_piecewise_linear_sites():
    states, bending = unit_states.draw(readings.small())
    assert {row["site"] for row in values(bending)} == {"blocks.0.mlp.act"}
    names = {row["site"] for row in values(states)}
    assert names == {site.name for site in readings.small().sites if site.mixed is not None}
    for name in names:
        ends = [row["end"] for row in values(states) if row["site"] == name]
        assert ends[-1] == pytest.approx(1.0)
