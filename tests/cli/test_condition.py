"""Conditions mean what the same Python expression means, and nothing but arithmetic and comparisons is accepted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netcaliper.cli.condition import parse
from netcaliper.errors import InputError
from netcaliper.reading.schema import NetworkReading, Share

NETWORK = NetworkReading(
    parameters=1000, macs=5000, sites=3, units=448, needed_units=312, redundant=Share(value=0.75, low=0.7, high=0.8)
)
VALUES = {"parameters": 1000, "macs": 5000, "sites": 3, "units": 448, "needed_units": 312, "redundant": 0.75}

numbers = st.one_of(
    st.sampled_from(sorted(VALUES)), st.integers(-999, 999).map(str), st.floats(0, 9, allow_subnormal=False).map(repr)
)
terms = st.recursive(
    numbers,
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from("+-*"), inner), inner.map("(-{})".format)
    ),
    max_leaves=4,
)
comparisons = st.one_of(
    st.builds("{} {} {}".format, terms, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), terms),
    st.builds("{} < {} <= {}".format, terms, terms, terms),
)
conditions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or"]), inner), inner.map("(not {})".format)
    ),
    max_leaves=3,
)


@given(conditions)
def test_a_condition_means_what_python_means(text):
    if len(text) <= 500:
        assert parse(text).holds(NETWORK) is eval(text, {"__builtins__": {}}, dict(VALUES))


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("needed_units < 0.5*units", False),
        ("needed_units < 0.75 * units", True),
        ("redundant >= 0.75", True),
        ("units / sites > 149 and not redundant > 0.9", True),
    ],
)
def test_examples(text, holds):
    assert parse(text).holds(NETWORK) is holds


def test_the_values_behind_a_verdict_are_listed():
    assert parse("needed_units < units and units > 1").values(NETWORK) == "needed_units = 312, units = 448"


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "units.real > 1",
        "units[0] > 1",
        "(lambda: 1)() > 0",
        "[x for x in (1,)] == 1",
        "units ** 9 > 1",
        "units // 2 > 1",
        "units % 2 == 0",
        "units & 1 == 1",
        "~units < 1",
        "units in (1, 2)",
        "units is 3",
        "'a' < 'b'",
        "1j < units",
        "True < units",
        "(units := 3) > 2",
        "f'{units}' > 1",
        "units if units > 1 else sites",
        "units",
        "1",
        "units + 1",
        "1e999 > units",
        "",
        "units >",
        "units > 1; sites",
        "units > 1\nsites",
        "\0",
        "(" * 400,
        "units > 1 " * 100,
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(InputError, match="--fail-if"):
        parse(text)


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(InputError, match="`needed_unit` is not a number of a reading; did you mean `needed_units`"):
        parse("needed_unit < 3")


@pytest.mark.parametrize("text", ["agreement > 0.9", "units > 1 or path_length > 2"])
def test_what_was_not_measured_is_an_error_and_never_false(text):
    with pytest.raises(InputError, match="was not measured; this reading has parameters, macs"):
        parse(text).holds(NETWORK)


def test_a_share_that_is_not_a_number_is_an_error():
    network = NETWORK.model_copy(update={"redundant": Share(value=float("nan"))})
    with pytest.raises(InputError, match="needs `redundant`"):
        parse("redundant > 0.5").holds(network)


@pytest.mark.parametrize("text", ["units / (sites - 3) > 1", "units > 1 or 1 / (sites - 3) > 0"])
def test_division_by_zero_is_an_error(text):
    with pytest.raises(InputError, match="has no finite value here"):
        parse(text).holds(NETWORK)
