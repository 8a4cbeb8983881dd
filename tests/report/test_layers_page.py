"""The page of a reading of layers: one file, nothing from outside, every word escaped."""

import re
import subprocess
import sys

import numpy as np
import pytest

import layers_readings
from command_line import done
from netcaliper.reading.store import load
from netcaliper.report.figures import draw_all
from netcaliper.report.page import render
from netcaliper.report.skeleton import bundle
from page_elements import Elements

MADE = {
    "one": layers_readings.one,
    "several": layers_readings.several,
    "groups": layers_readings.groups,
    "bare": layers_readings.bare,
}


@pytest.fixture(scope="module")
def pages():
    return {name: render(make()) for name, make in MADE.items()}


@pytest.mark.parametrize("name", MADE)
def test_nothing_from_outside_and_every_word_is_text(pages, name):
    own = pages[name].replace(bundle(), "")
    page = Elements(own)
    assert "<script>alert" not in own
    assert "<b>cat" not in own
    assert [tag for tag, _ in page.tags].count("script") == 3
    for tag, attributes in page.tags:
        assert not any(key.startswith("on") for key in attributes)
        for key in ("src", "href", "data", "action"):
            assert attributes.get(key, "data:").startswith("data:")
        assert tag not in ("iframe", "object", "embed", "base")
    assert not re.search(r"https?://(?!vega\.github\.io/schema/)", own)


def test_what_the_page_of_one_network_says(pages):
    page = Elements(pages["one"])
    for words in (
        "resnet38: 13 layers, 9 of them distinct",
        "Largest block 30 %",
        "Dominant examples of resnet38",
        layers_readings.HOSTILE,
        "overlap by 83 % (Jaccard; 3 % by chance)",
        "the last batch had 2 examples",
        "constant on every example: nothing to compare",
        "12.50 s",
    ):
        assert words in page.said, words
    pictures = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 4
    places = [attributes["data-chart"] for _, attributes in page.tags if "data-chart" in attributes]
    assert places == [
        "cka-0", "cka-twin", "cka_normalized-0", "cka_without_pc-0", "cka_without_dominant-0", "pc_cosine-0",
        "neighbors-0", "procrustes-0", "pc_share", "probe", "deletion-0", "deletion_together-0",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["groups", "bare"])
def test_every_figure_has_its_place(pages, name):
    for figure in draw_all(MADE[name]()):
        assert f'data-chart="{figure.name}"' in pages[name]


def test_what_the_page_of_groups_says(pages):
    said = Elements(pages["groups"]).said
    for words in (
        "The same accuracy within 1.0 points (difference +0.21 points",
        "21.0 points; 15.0 by chance alone",
        "<b>cat</b> +2.0 0.020",
        "Not tested: superclass dogs",
        "Noise floor, two seeds of one group: deep 89.7 %",
    ):
        assert words in said, words


def test_the_page_of_two_networks(pages):
    page = Elements(pages["several"])
    assert any(attributes.get("data-chart") == "cross-0" for _, attributes in page.tags)
    assert "At equal depth 0.11 inside blocks and 0.62 outside of blocks" in page.said


def test_many_networks_are_drawn_in_part_and_that_is_said():
    said = Elements(render(layers_readings.groups(seeds=4))).said
    assert "The first 6 of 8 networks are drawn" in said


def test_a_page_of_many_layers_stays_small():
    text = render(layers_readings.deep(600))
    assert len(text) < 5_000_000
    assert "600 × 600 cells are averaged into" in Elements(text).said


def test_dominant_examples_without_pictures_or_scores():
    reading = layers_readings.one()
    arrays = {key: array for key, array in reading.arrays.items() if key not in ("images", "0/pc_scores")}
    page = Elements(render(reading.model_copy(update={"arrays": arrays, "pictured": ()})))
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert "Dominant examples of resnet38" in page.said


def test_a_gap_everywhere_still_gives_a_page():
    reading = layers_readings.bare()
    arrays = {"0/cka": np.full((5, 5), np.nan)}
    assert "</html>" in render(reading.model_copy(update={"arrays": arrays}))
    assert "</html>" in render(reading.model_copy(update={"arrays": {}}))


def test_a_page_from_the_disk_is_the_same_page(tmp_path, pages):
    assert render(load(layers_readings.one().save(tmp_path / "r"))) == pages["one"]


def test_the_command_writes_either_kind(tmp_path):
    folder = layers_readings.bare().save(tmp_path / "r")
    done("report", folder, "--figures", tmp_path / "f", "--formats", "svg")
    assert b"netcaliper layers" in (folder / "report.html").read_bytes()
    assert [path.name for path in (tmp_path / "f").iterdir()] == ["cka-0.svg"]
    assert "(rebuilt)" in done("report", folder)


def test_reports_never_load_torch():
    code = (
        "import sys, layers_readings\n"
        "from netcaliper.report import layers_terminal, page\n"
        "page.render(layers_readings.bare()); layers_terminal.render(layers_readings.bare())\n"
        "assert 'torch' not in sys.modules, 'torch was loaded'"
    )
    path = {"PYTHONPATH": ":".join(part for part in sys.path if part)}
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=path, check=False)
    assert finished.returncode == 0, finished.stderr
