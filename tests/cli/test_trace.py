"""``netcaliper trace``: the table says what the graph says."""

import pytest
import torch
from torch import nn

from command_line import done, json_of, refused
from netcaliper.cli.trace import facts, parse_shape
from netcaliper.errors import InputError
from netcaliper.trace.trace import trace

NET = "command_line:small_net"


def test_every_site_with_units_consumers_and_group():
    text = done("trace", NET, "--example", "2,1,6,6")
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.startswith(("act", "add"))}
    assert rows["act"] == ["activation", "relu", "4", "g1", "conv", "(4)"]
    assert rows["add"] == ["stream", "add", "4", "g1", "act#2"]
    assert rows["act#2"] == ["activation", "relu", "4", "g1", "head", "(4)"]
    assert "g1: 4 units" in text
    assert "made by stem, conv; read by conv, head" in text
    assert "211 parameters, 3 sites, 4 units" in text
    assert "consumers known for 100.0 %" in text
    assert "the graph equals the network bit for bit at example, batch 1, batch 2, batch 5" in text


def test_a_zoo_model_knows_its_own_example():
    found = json_of("trace", "zoo:mlp(widths=[12, 7])")
    assert [site["units"] for site in found["sites"]] == [12, 7]
    assert found["totals"]["units"] == 19
    assert found["totals"]["resolved_share"] == 1.0
    assert found["replay"]["batch 5"] == 0.0


def test_the_first_batch_of_data_is_an_example():
    assert json_of("trace", NET, "--data", "command_line:small_data")["totals"]["sites"] == 3


def test_columns_count_what_reads_the_units():
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(1, 3, 3, padding=1), nn.Linear(3 * 16, 2)

        def forward(self, x):
            return self.head(self.conv(x).relu().flatten(1))

    found = facts(trace(Flat().eval(), torch.randn(2, 1, 4, 4)), 0)
    (consumer,) = found["sites"][0]["consumers"]
    assert (consumer["name"], consumer["columns"], consumer["units"]) == ("head", 48, 3)


def test_what_was_refused_is_shown_with_the_reason():
    text = done("trace", "command_line:sorted_net", "--example", "2,6")
    assert "refused" in text or "mixed" in text
    assert "sort" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2,3,32,32", ("float32", (2, 3, 32, 32))),
        ("2x3x8x8", ("float32", (2, 3, 8, 8))),
        ("int64:2, 128", ("int64", (2, 128))),
    ],
)
def test_shapes(text, expected):
    assert parse_shape(text) == expected


@pytest.mark.parametrize(
    "text", ["", "2,,3", "two", "-1,3", "0,3", "2.5", "int8:2,3", "9999999999", "99999,99999", "²,3"]
)
def test_what_is_no_shape_is_refused(text):
    with pytest.raises(InputError, match="--example"):
        parse_shape(text)


def test_misuse():
    assert "does not say what it takes; give --data SPEC, or --example SHAPE" in refused("trace", NET)
    assert "give one of them" in refused("trace", NET, "--data", "digits", "--example", "1,2")
    assert "does not take `example`" in refused("trace", NET, "--example", "2,3,6,6", code=1)
    assert "no module 'nowhere'" in refused("trace", "nowhere:net", "--example", "2,3")
