"""The table of a study: its order, its types and its bytes."""

import sys

import pandas as pd
import pytest

from netcaliper.errors import CorruptReading, InputError, OutputExists, ReadingError, SpecError
from netcaliper.study.cell_folder import DONE, ROWS, cell_folder
from netcaliper.study.file.grid import cells
from netcaliper.study.table import export, table
from trivial_cells import STUDY, parsed, run


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    made = tmp_path_factory.mktemp("study")
    run(made)
    return made


def test_rows_are_in_the_order_of_the_cells_and_know_their_columns(root):
    frame = table(parsed(), root)
    asked = cells(parsed())
    assert list(frame.columns) == [
        "cell", "kind", "family", "seed", "width", "omega", "start", "choose", "epoch", "final",
        "loss", "units", "value", "status",
    ]  # fmt: skip
    assert list(frame["cell"]) == [cell.name for cell in asked for _ in range(2 if cell.kind == "train" else 1)]
    for row in frame.to_dict("records"):
        cell = next(cell for cell in asked if cell.name == row["cell"])
        assert {column: row[column] for column in cell.columns} == dict(cell.columns)
        assert (row["kind"], row["family"]) == (cell.kind, cell.family)
    assert frame["final"].tolist().count(False) == 6


def test_types_outlive_gaps(root):
    frame = table(parsed(), root)
    assert {column: str(frame[column].dtype) for column in ("seed", "width", "final", "loss", "choose")} == {
        "seed": "Int64", "width": "int64", "final": "bool", "loss": "float64", "choose": "object",
    }  # fmt: skip


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_file_holds_the_table_and_the_same_bytes_each_time(root, tmp_path, ending):
    frame = table(parsed(), root)
    files = [tmp_path / f"{name}.{ending}" for name in "ab"]
    for file in files:
        export(frame, file)
    assert files[0].read_bytes() == files[1].read_bytes()
    back = pd.read_csv(files[0]) if ending == "csv" else pd.read_parquet(files[0])
    # Gaps and words come back as whatever pandas' reader of the day makes of them.
    plain = [one.astype(object).where(one.notna(), None) for one in (back, frame)]
    pd.testing.assert_frame_equal(*plain, check_dtype=False)


def test_cells_that_are_not_done_have_no_rows(root, tmp_path):
    fewer = parsed(text=STUDY.replace("seed = [0, 1, 2]", "seed = [0, 1]"))
    missing = [cell.name for cell in cells(fewer) if cell.kind == "compare"]
    assert {*table(fewer, root)["cell"], *missing} == {cell.name for cell in cells(fewer)}
    assert len(table(parsed(), tmp_path)) == 0
    export(table(parsed(), tmp_path), tmp_path / "empty.csv")
    export(table(parsed(), tmp_path), tmp_path / "empty.parquet")


def test_one_cell_of_two_families_has_rows_for_both(root):
    again = STUDY[STUDY.index("[families.mlp]") : STUDY.index("[bends")].replace("families.mlp", "families.again")
    both = parsed(text=STUDY.replace("[bends", again.replace("width =", "size =") + "[bends", 1))
    # Those of `again` are not bent, so that nothing of them is kept, and they are cells of their own.
    kept = {cell.name for cell in cells(both) if cell.family == "again"}
    assert not kept & {cell.name for cell in cells(parsed())}
    bare = STUDY[: STUDY.index("[bends")] + STUDY[STUDY.index("[scales") :].replace(
        "comparisons.across = false\nbends.late = false\n", ""
    )
    bare = bare.replace("[scales.tiny]", again.replace("width =", "size =") + "[scales.tiny]")
    run(root, parsed(text=bare))
    frame = table(parsed(text=bare), root)
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    mlp, other = ([row for row in rows if row["family"] == name] for name in ("mlp", "again"))
    assert len(mlp) == len(other) == 12
    for one, two in zip(mlp, other, strict=True):
        assert one["cell"] == two["cell"]
        assert one["size"] is None
        assert two["size"] == one["width"]


def test_an_axis_hides_a_column_of_its_name_in_every_family(tmp_path):
    """Trivial trainings leave `units`; where a family has an axis `units` only its values stand in the table."""
    other = STUDY[STUDY.index("[families.mlp]") : STUDY.index("[bends")].replace("families.mlp", "families.other")
    study = parsed(text=STUDY.replace("[bends", other.replace("width =", "units =") + "[bends", 1))
    run(tmp_path, study)
    rows = table(study, tmp_path).to_dict("records")
    assert {row["units"] for row in rows if row["family"] == "other"} == {1, 2}
    assert all(pd.isna(row["units"]) for row in rows if row["family"] != "other")
    alone = {row["units"] for row in table(parsed(), tmp_path).to_dict("records") if not pd.isna(row["units"])}
    assert alone == {3}


def test_numbers_and_words_in_one_column(root, tmp_path):
    mixed = 'what = { 1 = { "arguments.width" = 1 }, two = { "arguments.width" = 2 } }'
    text = STUDY.replace('width = ["arguments.width", [1, 2]]', mixed)
    frame = table(parsed(text=text), root)
    assert set(frame["what"].dropna()) == {1, "two"}
    export(frame, tmp_path / "mixed.parquet")
    assert set(pd.read_parquet(tmp_path / "mixed.parquet")["what"].dropna()) == {"1", "two"}


def test_refusals(root, tmp_path, monkeypatch):
    frame = table(parsed(), root)
    with pytest.raises(InputError, match=r"must end in \.parquet or \.csv"):
        export(frame, tmp_path / "table.xlsx")
    (tmp_path / "there.csv").write_text("mine")
    with pytest.raises(OutputExists, match="--replace"):
        export(frame, tmp_path / "there.csv")
    export(frame, tmp_path / "there.csv", replace=True)
    assert (tmp_path / "there.csv").read_text().startswith("cell,kind")
    with pytest.raises(ReadingError, match="cannot be written"):
        export(frame, tmp_path / "there.csv" / "table.csv")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SpecError, match=r"netcaliper\[parquet\]"):
        export(frame, tmp_path / "table.parquet")


def test_a_damaged_cell_is_named(tmp_path):
    run(tmp_path, parsed("one"))
    name = cells(parsed("one"))[0].name
    (cell_folder(tmp_path, name) / ROWS).write_text("[]")
    with pytest.raises(CorruptReading, match=f"{name}.*{DONE}"):
        table(parsed("one"), tmp_path)
