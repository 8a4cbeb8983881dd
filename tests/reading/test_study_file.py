import json

import pytest

from netcaliper.errors import CorruptReading, NewerSchema
from netcaliper.reading.study import ClaimResult, Effect, StudyCell, StudyReading
from netcaliper.reading.study_file import read_study, study_bytes

READING = StudyReading(
    title="T",
    name="t",
    scale="tiny",
    command="netcaliper study run t.toml",
    claims=(
        ClaimResult(
            name="a", sentence="s", reads="r", verdict="holds", threshold="above 1", effect=Effect(value=0.1 + 0.2)
        ),
    ),
    cells=(StudyCell(name="0", kind="train", family="f", status="done", columns={"width": 2, "deep": True, "x": 2.0}),),
)


def test_what_is_written_is_read_back_and_equal_readings_are_equal_bytes(tmp_path):
    (tmp_path / "study.json").write_bytes(study_bytes(READING))
    again = read_study(tmp_path)
    assert again == READING
    assert study_bytes(again) == study_bytes(READING)
    assert type(again.cells[0].columns["deep"]) is bool


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"format": "netcaliper plan"}, CorruptReading, "it is not a netcaliper study"),
        ({"schema_version": 99}, NewerSchema, "schema version 99"),
        ({"scale": 3}, CorruptReading, "`scale`"),
        ({"colour": "red"}, CorruptReading, "`colour`"),
    ],
)
def test_what_is_no_study_is_refused_by_name(tmp_path, change, error, words):
    file = tmp_path / "study.json"
    file.write_text(json.dumps(json.loads(study_bytes(READING)) | change))
    with pytest.raises(error, match=words):
        read_study(file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CorruptReading, match="study.json"):
        read_study(tmp_path)
