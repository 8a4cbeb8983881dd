import pytest
from pydantic import TypeAdapter, ValidationError

from netcaliper.study.claims.claim_schema import Claim, FigureSpec, LinesFigure, MapsFigure, ProfileFigure

CLAIM = {
    "name": "prunable_grows", "sentence": "It grows.", "statistic": "growth", "column": "prunable_units",
    "along": "width", "above": 1,
}  # fmt: skip


def test_a_claim_is_what_is_written():
    claim = Claim.model_validate(
        CLAIM
        | {"where": {"labels": ["true", "random"], "width": 2}, "minus": {"where": {"labels": "random"}}}
        | {"paper": {"value": 2.69, "where": "Figure 1", "verified": True}}
    )
    assert claim.seeds == 3
    assert claim.per == "seed"
    assert claim.where == {"labels": ["true", "random"], "width": 2}
    assert claim.change is not None
    assert claim.logarithmic


def test_flat_runs_along_epochs_unless_it_names_another_column():
    flat = CLAIM | {"statistic": "flat", "along": None, "above": None, "below": 0.1}
    assert Claim.model_validate(flat).runs_along == "epoch"
    assert Claim.model_validate(flat | {"along": "width"}).runs_along == "width"
    assert Claim.model_validate(flat | {"statistic": "mean"}).runs_along is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"above": None}, "exactly one of `above`, `below` and `within`, got none"),
        ({"below": 2.0}, "got `above` and `below`"),
        ({"above": None, "within": [2.0, 1.0]}, "`within` must rise"),
        ({"above": 0.0}, "a growth is a factor above 0"),
        ({"above": None, "within": [-1.0, 2.0]}, "a growth is a factor above 0"),
        ({"along": None}, "give the column it runs `along`"),
        ({"statistic": "mean"}, "leave `along` = 'width' out"),
        ({"along": "prunable_units"}, "name two columns"),
        ({"statistic": "core"}, "`core` needs `reference"),
        ({"drop": 0.01}, "`drop` belongs to the statistic `core`"),
        ({"statistic": "gap"}, "give the other one as `minus"),
        ({"minus": {"column": "a"}, "over": {"column": "b"}}, "exclude each other"),
        ({"minus": {}}, "changes nothing"),
        ({"statistic": "reported", "along": None, "minus": {"column": "a"}}, "`minus` would need repetitions"),
        ({"statistic": "reported", "along": None, "beside_twin": True}, "`beside_twin` would need repetitions"),
        ({"statistic": "gap", "minus": {"column": "b"}, "beside_twin": True}, "has no twin of its own"),
        ({"above": None, "within": [1.0, 2.0], "beside_twin": True}, "needs a direction"),
        ({"minus": {"column": "a", "statistic": "mean"}}, "only a `core` can be set against a mean"),
        ({"where": {"width": []}}, "selects nothing"),
        ({"where": {"width": float("nan")}}, "width"),
        ({"where": {"blocks": {}}}, "empty condition; give `above`"),
        ({"where": {"blocks": {"above": 2.0, "below": 1.0}}}, "no number is above 2 and below 1"),
        ({"where": {"blocks": {"least": 1}}}, "least"),
        ({"name": "two words"}, "name"),
        ({"seeds": 1}, "seeds"),
        ({"thresold": 1}, "thresold"),
        ({"column": 3}, "column"),
    ],
)
def test_what_cannot_be_tested_is_refused_with_its_reason(change, words):
    with pytest.raises(ValidationError, match=words):
        Claim.model_validate(CLAIM | change)


def test_figures_are_told_apart_by_their_kind():
    figures = TypeAdapter(FigureSpec)
    base = {"name": "growth", "title": "Growth"}
    assert isinstance(figures.validate_python(base | {"kind": "lines", "x": "width", "y": "p"}), LinesFigure)
    with pytest.raises(ValidationError, match="`bounds` must rise, got"):
        figures.validate_python(base | {"kind": "lines", "x": "width", "y": "p", "bounds": [1, 0]})
    assert isinstance(figures.validate_python(base | {"kind": "maps", "columns": "depth"}), MapsFigure)
    assert isinstance(figures.validate_python(base | {"kind": "profile", "column": "prunable:"}), ProfileFigure)
    for bad in ({"kind": "bars"}, {"kind": "lines", "x": "a"}, {"kind": "profile", "column": "prunable"}):
        with pytest.raises(ValidationError):
            figures.validate_python(base | bad)
    with pytest.raises(ValidationError, match="selects nothing"):
        figures.validate_python(base | {"kind": "maps", "columns": "depth", "where": {"seed": []}})
