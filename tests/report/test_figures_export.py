"""Figures as files: real PDF, SVG and PNG, no browser, nothing overwritten."""

import xml.etree.ElementTree as ET

import pytest

import readings
from netcaliper.errors import InputError, OutputExists
from netcaliper.report.figures_export import export
from readings import there

STARTS = {".pdf": b"%PDF-", ".svg": b"<svg", ".png": b"\x89PNG\r\n"}


def test_every_figure_in_every_format(tmp_path):
    paths = export(readings.small(), tmp_path / "figures")
    assert len(paths) == 18
    assert sorted(paths) == sorted((tmp_path / "figures").iterdir())
    for path in paths:
        assert path.read_bytes().startswith(STARTS[path.suffix]), path
    svg = (tmp_path / "figures" / "partition.svg").read_text()
    assert "aria-label" not in svg  # bulk: one for every mark
    words = " ".join(ET.fromstring(svg).itertext())
    assert "conv1.relu" in words
    assert "23 / 64" in words
    assert readings.HOSTILE[:20] in words


def test_the_twin_and_the_curves_are_exported_too(tmp_path):
    export(readings.whole(), tmp_path, formats=("svg",))
    words = {path.stem: " ".join(ET.fromstring(path.read_text()).itertext()) for path in tmp_path.iterdir()}
    assert "needed untrained" in words["partition"]
    assert {"ablation", "prunable", "ablation_sites"} <= words.keys()
    assert f"{100 * there(readings.whole().network.prunable).value:.1f} %" in words["ablation"]


def test_nothing_is_overwritten_and_other_files_stay(tmp_path):
    (tmp_path / "mine.svg").write_text("mine")
    export(readings.small(), tmp_path, formats=("svg",))
    (tmp_path / "r2.svg").write_text("edited")
    with pytest.raises(OutputExists, match="replace=True"):
        export(readings.small(), tmp_path, formats=("svg",))
    assert (tmp_path / "r2.svg").read_text() == "edited"
    export(readings.small(), tmp_path, formats=("svg",), replace=True)
    assert (tmp_path / "r2.svg").read_text() != "edited"
    assert (tmp_path / "mine.svg").read_text() == "mine"


@pytest.mark.parametrize("formats", [("gif",), (), "svg"])
def test_unknown_formats_name_the_known_ones(tmp_path, formats):
    with pytest.raises(InputError, match="pdf, svg, png"):
        export(readings.small(), tmp_path / "out", formats=formats)
    assert not (tmp_path / "out").exists()
