"""A linearization as a table: one row a point, types that do not depend on what was measured."""

import linearization_readings as made
from netcaliper.reading.linearization_frame import COLUMNS, to_frame


def test_one_row_a_point_with_its_numbers():
    record = made.swept()
    frame = to_frame(record)
    assert list(frame.columns) == list(COLUMNS)
    assert list(frame["name"]) == [point.name for point in record.points]
    point, row = record.points[made.CORE], frame.iloc[made.CORE]
    assert point.verify is not None
    assert (row["kind"], row["active"], row["share"]) == ("learned", point.active, point.share)
    assert (row["verify"], row["verify_low"]) == (point.verify.value, point.verify.low)
    assert row["path_length_normalized"] == point.lengths.normalized
    assert [place for place, core in enumerate(frame["core"]) if core] == [made.CORE]


def test_what_was_not_measured_is_missing_not_zero():
    frame = to_frame(made.coreless())
    for column in ("active", "share", "verify", "lost", "omega"):
        assert list(frame[column].isna()) == [True], column
    assert frame.dtypes.equals(to_frame(made.swept()).dtypes)
