from netcaliper.reading.study import ClaimResult, StudyCell, StudyFigure, StudyReading
from netcaliper.reading.study_headline import computed, headline, lead, warnings


def reading(verdicts=(), statuses=("done",), **more):
    return StudyReading(
        title="Growth",
        name="g",
        scale="tiny",
        command="c",
        claims=tuple(
            ClaimResult(name=f"c{k}", sentence="s", reads="r", verdict=verdict, threshold="above 1")
            for k, verdict in enumerate(verdicts)
        ),
        cells=tuple(
            StudyCell(name=str(k), kind="train", family="f", status=status) for k, status in enumerate(statuses)
        ),
        **more,
    )


def test_the_headline_counts_contradictions_too():
    assert headline(reading(["holds", "contradicted", "contradicted"])) == (
        "Growth: 1 of 3 claims holds, 2 are contradicted, 0 undecided"
    )
    assert headline(reading(["contradicted"])) == "Growth: 0 of 1 claim holds, 1 is contradicted, 0 undecided"
    question = reading(["holds"]).model_copy(update={"title": "Does it grow?"})
    assert headline(question).startswith("Does it grow? 1 of 1 claim holds")
    assert headline(reading()) == "Growth: nothing is claimed"


def test_the_lead_says_how_much_was_computed():
    assert lead(reading(paper="A et al.", about="Long\nstory.")) == (
        "After A et al. Long story. Scale tiny: 1 of 1 cell done."
    )
    assert computed(reading(statuses=["done", "failed", "missing"])) == (
        "Scale tiny: 1 of 3 cells done, 1 failed, 1 not computed yet."
    )


def test_what_failed_and_what_is_not_drawn_are_warnings():
    figure = StudyFigure(name="f", title="F", kind="lines", reason="there is no column `y`")
    found = warnings(reading(statuses=["failed", "failed"], figures=(figure,)))
    assert found[0].startswith("2 cells failed; claims that read them are undecided.")
    assert found[1] == "Figure “F”: there is no column `y`."
    assert warnings(reading()) == []
