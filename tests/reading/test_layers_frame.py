"""One row a layer a network; what was not measured is missing, never 0."""

import pytest

import layers_readings
from netcaliper.reading.layers_frame import COLUMNS, to_frame


def test_a_row_holds_what_the_arrays_say():
    reading = layers_readings.one()
    frame = to_frame(reading)
    assert list(frame.columns) == list(COLUMNS)
    assert len(frame) == 80
    assert list(frame["network"].unique()) == ["resnet38", "twin"]
    row = frame.iloc[24]
    assert (row["layer"], row["op"], row["kind"], row["blocks"]) == ("layer2.8.add_24", "add", "stream", 1)
    cka = reading.arrays["0/cka"]
    assert row["cka_previous"] == pytest.approx(cka[24, 23])
    assert row["cka_last"] == pytest.approx(cka[24, 39])
    assert row["probe"] == pytest.approx(reading.arrays["0/probe"][24])
    deletion = reading.networks[0].deletion
    assert deletion is not None
    (k,) = [k for k, block in enumerate(deletion.blocks) if block.layer == 24]
    assert row["drop_alone"] == pytest.approx(reading.arrays["0/drop_leave_one_out"][k])
    assert frame["droppable"].tolist()[24] is True


def test_gaps_are_missing():
    frame = to_frame(layers_readings.one())
    assert frame["cka_previous"].isna().tolist()[:5] == [True, False, False, True, True]
    assert frame["first_pc_share"].isna().tolist()[3]
    assert "constant" in frame["reason"].tolist()[3]
    thin = to_frame(layers_readings.bare())
    assert thin["probe"].isna().tolist() == [True] * 5
    assert str(thin["probe"].dtype) == "Float64"
