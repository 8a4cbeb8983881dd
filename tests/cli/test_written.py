"""Readings of all kinds are written with their page, and shown."""

import pytest

import netcaliper as nc
from layers_readings import one
from linearization_readings import swept
from netcaliper.cli.written import PAGE, reading_facts, show_written, write_reading
from netcaliper.errors import OutputExists
from readings import small


@pytest.mark.parametrize("make", [small, one, swept])
def test_written_with_its_page_and_shown(make, tmp_path, capsys):
    reading, folder = make(), tmp_path / "reading"
    page = write_reading(reading, folder, replace=False)
    assert page == folder / PAGE
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert type(nc.load(folder)) is type(reading)
    show_written(reading, folder, page)
    shown = capsys.readouterr().out.replace("\n", "")
    assert str(page).replace(" ", "") in shown.replace(" ", "")
    with pytest.raises(OutputExists):
        write_reading(reading, folder, replace=False)


@pytest.mark.parametrize("make", [small, one, swept])
def test_facts_hold_the_cost_and_no_arrays(make):
    facts = reading_facts(make())
    assert "cost" in facts
    assert "arrays" not in facts


def test_what_was_not_kept_is_said(capsys):
    show_written(one(), None, None)
    assert "not saved" in capsys.readouterr().out
