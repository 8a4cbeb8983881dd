"""The page of a linearization: one file, nothing from outside, every word escaped, a table beside every chart."""

import re
import subprocess
import sys

import pytest

import linearization_readings as made
from netcaliper.reading.store import load
from netcaliper.report.figures import draw_all
from netcaliper.report.figures_export import export
from netcaliper.report.page import render
from netcaliper.report.skeleton import bundle
from page_elements import Elements
from readings import there

MADE = {"swept": made.swept, "bare": made.bare, "coreless": made.coreless, "translated": made.translated}


@pytest.fixture(scope="module")
def pages():
    return {name: render(make()) for name, make in MADE.items()}


@pytest.mark.parametrize("name", MADE)
def test_nothing_from_outside_and_every_word_is_text(pages, name):
    own = pages[name].replace(bundle(), "")
    page = Elements(own)
    assert "<script>alert" not in own
    assert "<b>gate" not in own
    for tag, attributes in page.tags:
        assert not any(key.startswith("on") for key in attributes)
        for key in ("src", "href", "data", "action"):
            assert attributes.get(key, "data:").startswith("data:")
        assert tag not in ("iframe", "object", "embed", "base")
    assert not re.search(r"https?://(?!vega\.github\.io/schema/)", own)


def test_what_the_page_of_a_sweep_says(pages):
    page = Elements(pages["swept"])
    said = page.said.replace("\u00a0", " ")
    for words in (
        "resnet38: 24.4 % of 720 units must bend",
        "Units that must bend 24.4 % of 720 units; 18.6 % were too few, 33.1 % enough",
        "Path length 2.19 of 11.00 with all units",
        "Accuracy of the core 90.5 % 89.3 to 91.6 %, 2,500 verify examples; with 33.1 % of the units",
        "Accuracy unbent 90.9 % 89.7 to 92.0 %, 2,500 verify examples",
        "Nonlinear calls 40.8 k of 197 k an example",
        "learned, omega 0.3: diverged, learning_rate",
        "the weights after epoch 6, the last good ones, are kept",
        "2,500 select examples chose the core network; 2,500 verify examples gave every other number",
        "10 with the penalty, then 3 with the alphas frozen; every training of the network had 13 epochs",
        "hand-written x * sigmoid(x): write it as F.silu(x)",
        "none of the units bend",
        "stays within 1 point of the unbent reference",
        "docs/measures/linearize.md",
    ):
        assert words in said, words


@pytest.mark.parametrize("name", MADE)
def test_a_table_stands_beside_every_chart(pages, name):
    page = Elements(pages[name])
    charts = {attributes["data-chart"] for _, attributes in page.tags if "data-chart" in attributes}
    beside = {
        "linearization_curve": "table-points",
        "bending_units": "table-sites",
        "alphas": "table-sites",
        "path_lengths": "table-lengths",
        "class_losses": "table-classes",
        "active_over_epochs": "table-epochs",
    }
    assert charts == {figure.name for figure in draw_all(MADE[name]())}
    assert {beside[chart] for chart in charts} <= page.ids()
    assert "table-points" in page.ids()  # with or without a chart


def test_an_upper_bound_is_marked(pages):
    said = Elements(pages["bare"]).said
    assert "≤ 62.5 % of 48 units; no smaller network was tried" in said.replace("\u00a0", " ")
    assert "`graph` has an operation `fft`" in said


def test_a_quality_that_is_no_share_is_no_percentage(pages):
    said = Elements(pages["translated"]).said
    assert "BLEU of the core 36.19 500 verify examples" in said
    assert "The core loses" not in said
    assert "stays within 0.5 of the unbent reference" in said


def test_the_protocol_of_an_early_run_to_a_target():
    reading = made.swept()
    early = made.protocol(schedule="early", start_epoch=5, target_active=0.3, proximal=True, granularity="layer")
    said = Elements(render(reading.model_copy(update={"protocol": early}))).said.replace("\u00a0", " ")
    assert "5 plain epochs before, the same for all trainings (early)" in said
    assert "one alpha a layer; the penalty acts through half-thresholding; it rose until at most 30.0 %" in said
    points = (*reading.points[:-2], reading.points[-2].model_copy(update={"kind": "layer"}))
    longer = points[1].model_copy(update={"epochs": 20})
    other = Elements(render(reading.model_copy(update={"points": (points[0], longer, *points[2:])}))).said
    assert "the trainings differ in their epochs" in other


def test_a_reading_without_arrays_still_gives_a_page():
    page = Elements(render(made.swept().model_copy(update={"arrays": {}})))
    assert "table-points" in page.ids()
    assert [a["data-chart"] for _, a in page.tags if "data-chart" in a] == ["linearization_curve"]


def test_a_large_network_stays_small():
    text = render(made.wide(120, 4096))
    assert len(text.replace(bundle(), "")) < 1_500_000


@pytest.mark.parametrize("name", MADE)
def test_a_page_from_the_disk_is_the_same_page(tmp_path, pages, name):
    assert render(load(MADE[name]().save(tmp_path / "r"))) == pages[name]


def test_every_figure_as_a_file(tmp_path):
    paths = export(made.swept(), tmp_path / "figures", formats=("svg",))
    words = {path.stem: path.read_text() for path in paths}
    assert len(words) == 6
    assert "normalized average path length" in words["linearization_curve"]
    assert "23 / 64" in words["bending_units"]


def test_reports_never_load_torch():
    code = (
        "import sys, linearization_readings as made\n"
        "from netcaliper.report import linearization_terminal, page\n"
        "page.render(made.bare()); linearization_terminal.render(made.bare())\n"
        "assert 'torch' not in sys.modules, 'torch was loaded'"
    )
    path = {"PYTHONPATH": ":".join(part for part in sys.path if part)}
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=path, check=False)
    assert finished.returncode == 0, finished.stderr


def test_the_core_may_be_the_reference():
    reading = made.swept()
    core = there(reading.core).model_copy(update={"point": 0, "next": None, "share": 1.0, "path_length": 11.0})
    said = Elements(render(reading.model_copy(update={"core": core}))).said
    assert "720 of 720 units bend" in said
    assert "The core loses" not in said
