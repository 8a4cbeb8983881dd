"""A call is read as plain data: nothing in it is evaluated."""

import pytest

from netcaliper.errors import SpecError
from netcaliper.specs.call import named_call, parse_call


@pytest.mark.parametrize(
    ("call", "name", "arguments"),
    [
        ("mlp", "mlp", {}),
        (" mlp ( ) ", "mlp", {}),
        (
            "mlp(widths=[3, 4], activation='gelu', bias=None)",
            "mlp",
            {"widths": [3, 4], "activation": "gelu", "bias": None},
        ),
        ("f(x=-1.5, y={'a': (1, 2)})", "f", {"x": -1.5, "y": {"a": (1, 2)}}),
    ],
)
def test_calls(call, name, arguments):
    assert parse_call(call, call, "write NAME(...)") == (name, arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("", "cannot be read; write NAME"),
        ("a.b(c=1)", "cannot be read; write NAME"),
        ("f(1)", "needs its name"),
        ("f(**{'a': 1})", "needs its name"),
        ("f(a=1, a=2)", "given twice"),
        ("f(a=__import__('os').getcwd())", "is not a plain value"),
        ("f(a=open)", "is not a plain value"),
    ],
)
def test_what_is_no_call(call, message):
    with pytest.raises(SpecError, match=message):
        parse_call(call, call, "write NAME(...)")


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("resnet18.a1_in1k", "resnet18.a1_in1k", {}),
        (" org/name-7B ( dtype = 'bfloat16' ) ", "org/name-7B", {"dtype": "bfloat16"}),
        ("runs/net (1)", "runs/net (1)", {}),
        ("runs/net (1)(revision='a(b)')", "runs/net (1)", {"revision": "a(b)"}),
        ("net()", "net", {}),
        ("", "", {}),
    ],
)
def test_names_that_are_no_identifiers(text, name, arguments):
    assert named_call(text, text, "write NAME(...)") == (name, arguments)


@pytest.mark.parametrize("text", ["net(a=1", "net(a", "net(a=1)(b=2", "net(a=(1, 2)"])
def test_parentheses_that_are_not_closed(text):
    with pytest.raises(SpecError, match="cannot be read"):
        named_call(text, text, "write NAME(...)")


def test_a_name_with_a_call_that_is_none():
    with pytest.raises(SpecError, match="`a` = open is not a plain value"):
        named_call("net(a=open)", "net(a=open)", "write NAME(...)")
