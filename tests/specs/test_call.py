"""A call is read as plain data: nothing in it is evaluated."""

import pytest

from netcaliper.errors import SpecError
from netcaliper.specs.call import parse_call


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
