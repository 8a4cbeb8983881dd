"""Readings of all kinds are written with their page, and shown."""

import pytest

import netcaliper as nc
import shrinking_readings
from layers_readings import one
from linearization_readings import swept
from netcaliper.cli.written import PAGE, reading_facts, show_written, write_page, write_reading
from netcaliper.errors import OutputExists
from netcaliper.reading.shrinking_folder import PLAN, PROOF, plan_bytes, proof_bytes
from netcaliper.reading.writing import write_folder
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


def test_the_page_of_a_shrunk_network_is_written_beside_its_plan_and_shown(tmp_path, capsys):
    made = shrinking_readings.halved()
    folder = write_folder(tmp_path / "small", {PLAN: plan_bytes(made.plan), PROOF: proof_bytes(made.proof)})
    page = write_page(folder, replace=False)
    assert page == folder / PAGE
    show_written(made, folder, page)
    assert "49.6 % fewer parameters" in capsys.readouterr().out


def test_an_interrupt_between_the_files_and_the_page_says_what_is_safe(tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("netcaliper.report.page.write", interrupted)
    with pytest.raises(KeyboardInterrupt) as stop:
        write_reading(one(), tmp_path / "reading", replace=False)
    assert "`netcaliper report" in stop.value.__notes__[0]
    assert nc.load(tmp_path / "reading") is not None
