"""The page of a study: one file, nothing from outside, every word escaped, a verdict is never color alone."""

import re

import pytest

import study_readings
from netcaliper.reading.study import ClaimResult, StudyCell, StudyReading
from netcaliper.reading.study_file import read_study, study_bytes
from netcaliper.report.skeleton import bundle
from netcaliper.report.study_page import MOST_ROWS, render
from page_elements import Elements


@pytest.fixture(scope="module")
def reading(tmp_path_factory):
    return study_readings.made_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def page(reading):
    return render(reading)


def own(page):
    return page.replace(bundle(), "")


def test_nothing_from_outside(page):
    for tag, attributes in Elements(own(page)).tags:
        assert not any(key.startswith("on") for key in attributes)
        for key in ("src", "href", "data", "action"):
            assert attributes.get(key, "data:").startswith("data:")
        assert tag not in ("iframe", "object", "embed", "base")
    assert not re.search(r"https?://(?!vega\.github\.io/schema/)", own(page))


def test_what_the_page_says_first_is_what_is_claimed(page):
    said = Elements(own(page)).said
    for words in (
        "2 of 8 claims hold, 2 are contradicted, 4 undecided",
        "Cells done 27 of 30, 1 failed, 2 not computed yet",
        "✓ holds Prunable units grow faster than the network gets wider.",
        "Why Null: g = 2, in step with width.",
        "95 % t interval over 3 seeds",
        "above 2 1.27 (1.22 to 1.32) 2.69 (Figure 1) 3",
        "✕ contradicted Redundant units grow faster",
        "no cell has depth = 50 among those with family = resnet: there are 14, 26, 38",
        "Answers Figure 1 of the paper. From 24 cells, 1 failed.",
        "n = 2 to 3",
        "Dashed: the untrained twin.",
        "There is no column sharpness",
        "alexnet 24 cells: 23 done, 1 failed",
        "failed: Diverged: the loss of epoch 3 is no longer finite",
        "netcaliper study run studies/frivolous_units.toml --scale small -o frivolous --workers 2",
        "netcaliper 0.1.0, numpy 2.4.0, torch 2.13.0",
    ):
        assert words in said, words
    assert said.index("Claims") < said.index("Figures") < said.index("Make it again")


def test_every_figure_that_can_be_drawn_has_its_charts(page):
    charts = [a["data-chart"] for _, a in Elements(own(page)).tags if "data-chart" in a]
    assert charts == ["prunable", "layers", "maps-0", "maps-1"]


def test_equal_readings_are_equal_pages(tmp_path, reading, page):
    (tmp_path / "study.json").write_bytes(study_bytes(reading))
    assert render(read_study(tmp_path)) == page


def test_words_are_words():
    hostile = "<script>alert(1)</script>"
    study = StudyReading(
        title=hostile,
        name=hostile,
        scale="tiny",
        command=hostile,
        claims=(
            ClaimResult(
                name="a", sentence=hostile, reads=hostile, verdict="undecided", threshold="above 1", reason=hostile
            ),
        ),
        cells=(StudyCell(name="a", kind="train", family=hostile, status="failed", error=hostile),),
    )
    assert "<script>alert" not in own(render(study))


def test_a_study_without_anything_is_a_page():
    said = Elements(render(StudyReading(title="T", name="t", scale="tiny", command="c"))).said
    assert "Nothing is claimed." in said
    assert "The grid is empty." in said
    assert "Figures" not in said


def test_thousands_of_cells_stay_small():
    cells = tuple(
        StudyCell(name=f"{k:016x}", kind="train", family="f", status="done", columns={"seed": k}) for k in range(3000)
    )
    page = own(render(StudyReading(title="T", name="t", scale="paper", command="c", cells=cells)))
    assert len(page) < 400_000
    assert f"and {3000 - MOST_ROWS} more" in page
