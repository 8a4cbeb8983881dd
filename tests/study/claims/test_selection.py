import pytest

from made_studies import made_cells, made_table
from netcaliper.study.claims.claim_schema import Span
from netcaliper.study.claims.rows import Rows
from netcaliper.study.claims.selection import condition, no_column, select

CELLS = made_cells(width=[1, 2, 4], labels=["true", "random"], seed=[0, 1])
TABLE = made_table(CELLS, lambda **point: {"y": point["width"], "status": "ok"}, epochs=[0, 5])


def rows_of_all(selected):
    return {(row["width"], row["labels"], row["seed"], row["epoch"]) for row in selected.rows}


def test_conditions_are_equality_and_membership():
    found = select({"labels": "true", "width": [1, 4.0]}, TABLE, CELLS)
    assert rows_of_all(found) == {(w, "true", s, 5) for w in (1, 4) for s in (0, 1)}
    assert len(found.cells) == 4
    assert found.problem is None


def test_only_final_rows_unless_epochs_are_asked_for():
    assert {row["epoch"] for row in select({}, TABLE, CELLS).rows} == {5}
    assert {row["epoch"] for row in select({"epoch": 0}, TABLE, CELLS).rows} == {0}
    assert {row["epoch"] for row in select({}, TABLE, CELLS, every_epoch=True).rows} == {0, 5}


def test_cells_that_are_not_computed_are_found_by_their_axes():
    cells = [cell.model_copy(update={"status": "missing"}) if cell.columns["width"] == 4 else cell for cell in CELLS]
    found = select({"labels": "random"}, made_table(cells, lambda **point: {"y": 1}), cells)
    assert len(found.cells) == 6
    assert len(found.rows) == 4
    gone = select({"width": 4}, made_table(cells, lambda **point: {"y": 1}), cells)
    assert gone.problem == "none of the 4 cells is done"


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ({"width": 3}, "no cell has width = 3: there are 1, 2, 4"),
        ({"labels": ["yes", "no"]}, "no cell has labels = yes or no: there are random, true"),
        ({"labels": "true", "width": 8}, "no cell has width = 8 among those with labels = true: there are 1, 2, 4"),
        ({"status": "bad"}, "no row has status = bad: there is ok"),
        ({"lables": "true"}, "there is no column `lables` (is it `labels`?)"),
        ({"width": True}, "no cell has width = True: there are 1, 2, 4"),
    ],
)
def test_an_empty_selection_says_which_condition_selects_nothing(where, words):
    assert select(where, TABLE, CELLS).problem == words


def test_a_column_that_only_another_family_has_selects_nothing_here():
    cells = [*CELLS, *made_cells("resnet", size=[3], seed=[0])]
    found = select({"family": "mlp", "size": 3}, TABLE, cells)
    assert found.problem == "no cell has size = 3 among those with family = mlp: none has a `size`"


def test_any_lifts_a_condition():
    found = select({"labels": "any", "width": 1} | {"seed": 0}, TABLE, CELLS)
    assert rows_of_all(found) == {(1, "true", 0, 5), (1, "random", 0, 5)}


def test_a_span_picks_rows_by_what_was_measured_and_says_how_many_lie_outside():
    table = made_table(CELLS, lambda **point: {} if point["seed"] else {"blocks": point["width"]}, epochs=[0, 5])
    found = select({"labels": "true", "blocks": Span(above=1)}, table, CELLS)
    assert rows_of_all(found) == {(2, "true", 0, 5), (4, "true", 0, 5)}  # 1 is not above 1, and a gap lies nowhere
    assert found.outside == ("4 of 6 rows without blocks above 1",)
    assert len(found.cells) == 6  # which cells are asked does not hang on their outcome
    between = select({"blocks": Span(above=1, below=4)}, table, CELLS)
    assert {row["width"] for row in between.rows} == {2}
    assert select({"blocks": Span(below=9), "seed": 0}, table, CELLS).outside == ()
    none = select({"blocks": Span(above=4), "labels": "true"}, table, CELLS)
    assert none.problem == "no row has blocks above 4 among those with labels = true: there are 1, 2, 4"
    assert {row["width"] for row in select({"width": Span(above=1.5)}, TABLE, CELLS).rows} == {2, 4}
    assert True not in Span(above=0)


def test_ends_of_an_axis_are_those_of_what_meets_everything_else():
    cells = [*CELLS, *made_cells("other", width=[16], labels=["true"], seed=[0])]
    found = select({"width": "largest", "labels": "true", "family": "mlp"}, TABLE, cells)
    assert {row["width"] for row in found.rows} == {4}
    assert {row["width"] for row in select({"width": "smallest"}, TABLE, CELLS).rows} == {1}
    assert "no cell has labels = largest" in str(select({"labels": "largest"}, TABLE, CELLS).problem)
    named = made_cells(size=["largest", "other"], seed=[0])
    rows = made_table(named, lambda size, seed: {"y": 1})
    assert [row["size"] for row in select({"size": "largest"}, rows, named).rows] == ["largest"]


def test_the_final_epoch_has_a_name():
    assert {row["epoch"] for row in select({"epoch": "final"}, TABLE, CELLS).rows} == {5}


def test_a_cell_that_stands_in_two_families_counts_in_the_one_that_is_asked():
    twice = [*CELLS[:1], CELLS[0].model_copy(update={"family": "other"})]
    rows = Rows(
        [{"cell": cell.name, "family": cell.family, **cell.columns, "final": True} for cell in twice],
        ("cell", "family", "width", "labels", "seed", "final"),
    )
    assert [row["family"] for row in select({"family": "mlp"}, rows, twice).rows] == ["mlp"]


def test_nothing_at_all_is_said_too():
    assert select({}, Rows([], ()), []).problem == "the study has no cells"
    assert select({}, Rows([], ()), CELLS).problem == "none of the 12 cells is done"
    unfinal = Rows([{"cell": CELLS[0].name, "family": "mlp", "final": False}], ("cell", "family", "final"))
    assert select({}, unfinal, CELLS).problem == "no final row is among them"


def test_words_of_conditions():
    assert condition("a", [1, 2]) == "a = 1 or 2"
    assert condition("a", Span(above=0, below=0.5)) == "a above 0 and below 0.5"
    assert no_column("zzz", ["a"]) == "there is no column `zzz`"
