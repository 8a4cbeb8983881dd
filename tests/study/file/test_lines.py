"""Where a key stands in a TOML file, against a search for words that occur once."""

import tomllib

import pytest

from netcaliper.study.file.lines import Lines

TEXT = '''title = "a # no comment"  # a comment with [brackets] = and "quotes
[families.mlp]
model = "zoo:mlp"
arguments = { inputs = 10, init_sds = [1e-3, 1.5], deep = { deeper = [ { here = 1 } ] } }
"quoted key" = """
inside = 3
[not.a.header]
"""
also = \'\'\'x = 1\'\'\'
[families.mlp.axes]
seed = [
  0, # zero
  1,
]
labels = { true = {}, random = { "options.random_labels" = true } }
when = 1979-05-27 07:32:00
number.dotted = 1.5
[[claims]]
name = "first"
[[claims]]
name = "second"
[claims.minus]
where = { a = 1 }
[[claims.deep]]
x = 1
[[claims.deep]]
x = 2
'''


def paths(value, path=()):
    """Every path of what tomllib reads."""
    match value:
        case dict():
            inner = list(value.items())
        case list():
            inner = list(enumerate(value))
        case _:
            inner = []
    return [path, *(found for key, below in inner for found in paths(below, (*path, key)))]


def test_knows_every_path_that_tomllib_reads():
    lines = Lines(TEXT)
    for path in paths(tomllib.loads(TEXT))[1:]:
        assert lines.depth(path) == len(path), path


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (("title",), "title"),
        (("families", "mlp"), "[families.mlp]"),
        (("families", "mlp", "arguments", "deep", "deeper", 0, "here"), "arguments"),
        (("families", "mlp", "quoted key"), "quoted key"),
        (("families", "mlp", "also"), "also"),
        (("families", "mlp", "axes", "seed", 1), "  1,"),
        (("families", "mlp", "axes", "labels", "random", "options.random_labels"), "labels"),
        (("families", "mlp", "axes", "number", "dotted"), "number.dotted"),
        (("claims", 1, "name"), "second"),
        (("claims", 1, "minus", "where", "a"), "where ="),
        (("claims", 1, "deep", 1, "x"), "x = 2"),
    ],
)
def test_names_the_line(path, words):
    line = Lines(TEXT).of(path)
    assert line is not None
    assert words in TEXT.splitlines()[line - 1]


def test_a_key_that_is_not_there_has_the_line_of_its_table():
    lines = Lines(TEXT)
    assert lines.of(("families", "mlp", "nothing", "below")) == lines.of(("families", "mlp"))
    assert lines.of(("nowhere",)) is None
    assert lines.depth(("nowhere",)) == 0


def test_line_ends_of_windows_count_once():
    assert Lines(TEXT.replace("\n", "\r\n")).of(("claims", 1, "name")) == Lines(TEXT).of(("claims", 1, "name"))
