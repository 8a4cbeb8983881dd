"""What every page has."""

import pytest
from jinja2 import UndefinedError

from netcaliper.report.skeleton import bundle, fill

WORDS = {
    "kind": "layers", "title": "<b>t</b>", "data": "d", "headline": "h", "lead": "99 % of `<u>`, `half", "keys": [],
    "warnings": [], "facts": [("a", "<i>")],
}  # fmt: skip


def test_every_word_is_escaped_numbers_keep_their_sign_and_names_are_set_as_names():
    text = fill("skeleton.html", (), **WORDS)
    assert "<b>t" not in text
    assert "&lt;b&gt;t&lt;/b&gt;: netcaliper layers" in text
    assert '<p class="lead">99\u00a0% of <code>&lt;u&gt;</code>, `half</p>' in text
    assert "<dd>&lt;i&gt;</dd>" in text


def test_without_charts_there_is_no_chart_library():
    assert len(bundle()) > 500_000
    assert "</script" not in bundle()
    assert bundle()[:1000] not in fill("skeleton.html", (), **WORDS)


def test_a_word_that_is_missing_is_an_error():
    with pytest.raises(UndefinedError):
        fill("skeleton.html", (), **{key: word for key, word in WORDS.items() if key != "facts"})
