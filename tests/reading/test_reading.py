"""What users do with a reading."""

import readings
from netcaliper.reading.reading import Reading
from netcaliper.reading.store import load_as


def test_a_table_a_folder_and_a_notebook_cell(tmp_path):
    reading = readings.small()
    assert list(reading.to_frame()["site"]) == [site.name for site in reading.sites]
    folder = reading.save(tmp_path / "reading")
    assert load_as(Reading, folder).sites == reading.sites
    assert "<table>" in reading._repr_html_()
