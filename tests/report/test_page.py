"""The page: one file, nothing from outside, every name escaped, every number of the reading in it."""

import errno
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

import readings
from netcaliper.errors import OutputExists, ReadingError
from netcaliper.reading.schema import NeededAt
from netcaliper.reading.store import load
from netcaliper.report import page, skeleton
from netcaliper.report.page import render, write
from netcaliper.report.skeleton import script_json

LOADING = frozenset(
    {"src", "href", "srcset", "action", "formaction", "data", "poster", "background", "manifest", "ping"}
)


class Elements(HTMLParser):
    """Every start tag with its attributes, and the text inside every script and style."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.styles, self.text, self.inside = [], [], [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag if tag in ("script", "style") else ""
        if tag == "script":
            self.scripts.append("")
        if tag == "style":
            self.styles.append("")

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside == "script":
            self.scripts[-1] += data
        elif self.inside == "style":
            self.styles[-1] += data
        else:
            self.text.append(data)


def own_text(reading):
    """Render a page and leave out the chart library, which has words like ``<img`` in its strings."""
    return render(reading).replace(skeleton.bundle(), "")


@pytest.fixture(scope="module")
def small():
    return Elements(render(readings.small()))


def test_nothing_is_loaded_from_outside(small):
    for tag, attributes in small.tags:
        for name, value in attributes.items():
            if name in LOADING:
                assert value.startswith("data:"), (tag, name, value)
        assert tag not in ("iframe", "object", "embed", "base", "img")
    for style in small.styles:
        assert not re.search(r"url\(|@import|https?:", style)
    own = [script for script in small.scripts if len(script) < 200_000]
    assert len(own) == 2
    for script in own:
        assert not re.search(r"https?://(?!vega\.github\.io/schema/)|\bfetch\(|XMLHttpRequest|import\(", script)


def test_the_browser_is_told_to_refuse_requests(small):
    (policy,) = [attributes["content"] for tag, attributes in small.tags if attributes.get("http-equiv")]
    assert "default-src 'none'" in policy
    assert "http" not in policy


def test_the_chart_library_is_there_once(small):
    assert sum("window.vegaEmbed" in script for script in small.scripts) == 1


def test_names_are_text_everywhere(small):
    text = own_text(readings.small())
    assert "<script>alert" not in text
    assert "<img" not in text
    assert "onerror=alert(2)&gt;" in text
    assert [tag for tag, _ in small.tags].count("script") == 3
    for tag, attributes in small.tags:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
    names = "".join(small.text)
    assert readings.HOSTILE in names


def test_chart_data_cannot_end_their_script():
    for hostile in ("</script><script>alert(1)</script>", "<!--<script>", "]]>", "\u2028 & \u2029", "'\"\\"):
        text = script_json({hostile: [hostile]})
        assert not re.search(r"[<>&\u2028\u2029]", text)
        assert json.loads(text) == {hostile: [hostile]}


def test_every_chart_has_its_place_and_its_numbers(small):
    places = [attributes["data-chart"] for _, attributes in small.tags if "data-chart" in attributes]
    specs = json.loads(next(script for script in small.scripts if script.startswith("{")))
    assert places == list(specs)
    assert places == ["partition", "unit_states", "bending", "spectrum_covariance", "spectrum_correlation", "r2"]


def test_the_table_has_every_site_and_sorts_by_numbers(small):
    rows = sum(tag == "tr" for tag, _ in small.tags)
    reading = readings.small()
    assert rows == 2 + len(reading.sites) + 4  # two heads, the sites, what was skipped or refused
    sorts = [
        attributes["data-sort"] for tag, attributes in small.tags if tag == "td" and attributes.get("class") == "number"
    ]
    for value in sorts:
        assert value == "" or float(value) >= 0


def test_the_words_of_the_page(small):
    said = " ".join(" ".join(small.text).split())
    for words in (
        "1,384 units on paper; 8 of 9 sites could be judged, with at most 350 of 400 units needed (87.5 %, after",
        "61.1 to 65.1 %, n = 4,096",
        "too few rows (812 for 1,024 units): not judged",
        "aten.softmax mixes the units before a weight reads them",
        "the operation aten.lstm has no rule",
        "2 warnings",
        "head.deep.hidden_layers.12.activation: 812 rows for 1,024 units: spectra are biased",
        "never active on 1,198 examples (fires on less than 0.25 % of examples at 95 %)",
        "799 calibrate, 399 select, 599 verify",
        "Verify examples not read",
        "95 % delete-one-fold jackknife over 10 folds of examples",
        "torch 2.13.0",
        "trace 1.25 s",
    ):
        assert words in said, words


@pytest.fixture(scope="module")
def whole():
    return Elements(render(readings.whole()))


def test_the_words_of_a_page_with_a_twin(whole):
    said = " ".join(" ".join(whole.text).split())
    for words in (
        "the network still gives the same answer on 99.3 % of 599 held-back examples (at least 98.5 % at 95 %)",
        "untrained, the same network needs 383.",
        "How few units keep 97 % of the answers",
        "163 of 480 98.7 % 97.4 % yes 58.1 %, 61.2 %, 63.4 % +37.7 points (+33.4 to +42.0) 599 0.0143",
        "How many units can be taken away at random",
        "Verify examples read once",
        "Untrained twin built anew by the model's own factory, seed 1",
        "95 % t interval over 8 permutations",
        "absorbable by the next layer",
    ):
        assert words in said, words


def test_the_charts_of_a_page_with_a_twin(whole):
    places = [attributes["data-chart"] for _, attributes in whole.tags if "data-chart" in attributes]
    assert places == [
        "partition", "ablation", "prunable", "ablation_sites", "unit_states", "spectrum_covariance",
        "spectrum_correlation", "r2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("reads", "words"), [(0, "Verify examples not read"), (1, "read once"), (2, "Verify examples read 2 times")]
)
def test_how_often_verify_examples_were_read(reads, words):
    reading = readings.small()
    provenance = reading.provenance.model_copy(update={"verification_reads": reads})
    said = " ".join(" ".join(Elements(render(reading.model_copy(update={"provenance": provenance}))).text).split())
    assert words in said


def test_what_was_left_open_at_judged_sites_is_listed_once_for_each_reason():
    sites = [readings.site(f"s{i}", reason="no labels: one is needed; needed: head is depthwise") for i in range(2)]
    sites += [readings.site(f"t{i}", reason="no labels: one is needed") for i in range(3)]
    said = " ".join(" ".join(Elements(render(readings.assemble(tuple(sites)))).text).split())
    assert "5 sites left open no labels: one is needed s0, s1 left open needed: head is depthwise" in said


def test_what_was_refused_at_97_has_its_reason():
    reading = readings.whole()
    row = reading.network.model_copy(update={"needed_at_97": NeededAt(target=0.97, reason="too few verify examples")})
    said = " ".join(" ".join(Elements(render(reading.model_copy(update={"network": row}))).text).split())
    assert "Not found: too few verify examples." in said


@pytest.mark.parametrize(
    "reading",
    [
        readings.assemble(()),
        readings.assemble((readings.unjudged("a", "too few rows"),)),
        readings.assemble((readings.site("a", units=1),)),
        readings.small().model_copy(update={"arrays": {}}),
        readings.whole().model_copy(update={"arrays": {}}),
        readings.whole(1, lopsided=True),
    ],
    ids=["no site", "nothing judged", "one unit", "no arrays", "no arrays of a twin", "one site, undefined twin"],
)
def test_thin_readings_still_give_a_page(reading):
    text = own_text(reading)
    assert text.startswith("<!doctype html>")
    assert text.count("</html>") == 1


def test_a_page_of_many_sites_stays_small():
    assert len(render(readings.wide(240))) < 3_000_000
    assert len(render(readings.whole(60))) < 3_000_000


def test_the_same_reading_gives_the_same_page():
    assert render(readings.small()) == render(readings.small())
    assert render(readings.whole()) == render(readings.whole())


def test_a_page_from_the_disk_is_the_same_page(tmp_path):
    """What is stored has its keys sorted; the page must not depend on their order."""
    reading = readings.whole()
    site = reading.sites[0].model_copy(update={"unexplained": {"z": 0.002, "a": 0.001}})
    reading = reading.model_copy(update={"sites": (site, *reading.sites[1:])})
    assert render(load(reading.save(tmp_path / "r"))) == render(reading)


def test_writing_never_overwrites_silently(tmp_path):
    path = tmp_path / "deep" / "report.html"
    assert write(readings.small(), path) == path
    before = path.read_bytes()
    with pytest.raises(OutputExists, match="replace=True"):
        write(readings.small(seed=1), path)
    assert path.read_bytes() == before
    write(readings.small(seed=1), path, replace=True)
    assert path.read_bytes() != before
    with pytest.raises(OutputExists, match="is a folder"):
        write(readings.small(), tmp_path, replace=True)
    assert os.listdir(path.parent) == ["report.html"]


def test_a_full_disk_leaves_the_old_page(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(_handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(page.os, "fsync", full)
    with pytest.raises(ReadingError, match="No space left"):
        write(readings.small(), path, replace=True)
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.html"]


def test_reports_never_load_torch():
    code = (
        "import sys, readings\n"
        "from netcaliper.report import page, terminal, figures_export\n"
        "page.render(readings.whole()); terminal.render(readings.whole())\n"
        "assert 'torch' not in sys.modules, 'torch was loaded'"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
