"""The page of a shrunk network: one file, nothing from outside, every word escaped, a table beside the chart."""

import re
import subprocess
import sys

import pytest

import shrinking_readings as made
from netcaliper.reading.shrinking_folder import PLAN, PROOF, plan_bytes, proof_bytes
from netcaliper.reading.store import load
from netcaliper.reading.writing import write_folder
from netcaliper.report.figures_export import export
from netcaliper.report.page import render
from netcaliper.report.skeleton import bundle
from page_elements import Elements

MADE = {"halved": made.halved, "proved": made.proved, "bare": made.bare, "untouched": made.untouched}


@pytest.fixture(scope="module")
def pages():
    return {name: render(make()) for name, make in MADE.items()}


@pytest.mark.parametrize("name", MADE)
def test_nothing_from_outside_and_every_word_is_text(pages, name):
    own = pages[name].replace(bundle(), "")
    page = Elements(own)
    assert "<script>alert" not in own
    assert "<b>out" not in own
    for tag, attributes in page.tags:
        assert not any(key.startswith("on") for key in attributes)
        for key in ("src", "href", "data", "action"):
            assert attributes.get(key, "data:").startswith("data:")
        assert tag not in ("iframe", "object", "embed", "base")
    assert not re.search(r"https?://(?!vega\.github\.io/schema/)", own)


def test_what_the_page_says(pages):
    said = Elements(pages["halved"]).said
    for words in (
        "resnet20: 49.6 % fewer parameters (272 k to 137 k), the same answer on 4,939 of 5,000 verify examples",
        "Parameters that stay 50.4 % 137,210 of 272,474",
        "Same answers 98.8 % at least 98.5 % at 95 %; 61 of 5,000 differ",
        "Time 74.0 % 71.0 to 78.0 %, 41 pairs of runs",
        "Accuracy 91.86 % before 92.04 %",
        "Units that stay 264 of 448 at 12 sites",
        "time of 64 examples 41.2 ms 30.5 ms 74.0 %",
        "magnitude, fitted again 95.1 % 94.6 % 90.10 %",
        "9 steps: 7 kept, 1 rolled back, 1 refused.",
        "an agreement below 98.0 % was rolled back by itself",
        "without that the same network has an agreement of 98.1 % (at least 97.7 % at 95 %), with it 98.8 %",
        "Rolled back: the agreement 91.5 % is below the tolerance 98.0 %",
        "its units are the answers of the network",
        "class 3 96.6 %",
        "netcaliper shrink resnet20 --data cifar10:data --split test --parameters 0.51 --round-to 8 -o s",
        "netcaliper apply MODEL plan.json --data DATA -o NEW",
        "docs/measures/shrink.md",
    ):
        assert words in said, words


def test_what_is_not_faster_not_met_or_not_there_is_said(pages):
    proved, bare, untouched = (Elements(pages[name]).said for name in ("proved", "bare", "untouched"))
    assert "96.0 to 103.0 %, 41 pairs of runs; NOT measurably faster" in proved
    assert "Measured side by side on this machine: NOT measurably faster" in proved
    assert "Nothing was refused" in proved
    assert "No other rule was tried beside it." in bare
    assert "3 warnings The target is not met" in bare
    assert "Output off by 1.8 % of its variance, 50 verify examples" in bare
    assert "nothing could be taken away" in untouched
    assert "its reader is unknown" in untouched
    assert "Made by netcaliper shrink" not in proved


def test_bars_are_as_long_as_the_units(pages):
    widths = [
        float(attributes["style"].removeprefix("width:").removesuffix("%"))
        for tag, attributes in Elements(pages["halved"]).tags
        if tag in ("span", "i") and "style" in attributes
    ]
    sizes, sites = widths[:10], widths[10:]
    assert sizes == pytest.approx([100, 50.36, 100, 58.4, 100, 50.18, 100, 77.08, 100, 74], abs=0.01)
    units = [(site.before, site.after) for site in made.sites()]
    assert sites == pytest.approx([part for b, a in units for part in (100 * b / 64, 100 * a / b)], abs=0.01)


@pytest.mark.parametrize("name", MADE)
def test_a_page_from_the_disk_is_the_same_page(tmp_path, pages, name):
    reading = MADE[name]()
    folder = write_folder(tmp_path / "s", {PLAN: plan_bytes(reading.plan), PROOF: proof_bytes(reading.proof)})
    assert render(load(folder)) == pages[name]


def test_every_chart_has_its_numbers_in_tables(pages):
    page = Elements(pages["halved"])
    assert [a["data-chart"] for _, a in page.tags if "data-chart" in a] == ["shrinking_curve"]
    assert {"table-curve", "table-baselines", "table-sizes", "table-sites", "table-steps"} <= page.ids()
    assert not any("data-chart" in a for _, a in Elements(pages["bare"]).tags)


def test_a_large_network_stays_small():
    assert len(render(made.wide(400, 4096)).replace(bundle(), "")) < 1_000_000


def test_the_figure_as_a_file(tmp_path):
    (path,) = export(made.halved(), tmp_path / "figures", formats=("svg",))
    assert "parameters, of those of the given network" in path.read_text()


def test_reports_never_load_torch():
    code = (
        "import sys, shrinking_readings as made\n"
        "from netcaliper.report import shrinking_terminal, page\n"
        "page.render(made.halved()); shrinking_terminal.render(made.halved())\n"
        "assert 'torch' not in sys.modules, 'torch was loaded'"
    )
    path = {"PYTHONPATH": ":".join(part for part in sys.path if part)}
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=path, check=False)
    assert finished.returncode == 0, finished.stderr
