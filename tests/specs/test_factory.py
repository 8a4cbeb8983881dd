"""A user's function is found by name, and every way of not finding it has its own message."""

import sys

import pytest

from netcaliper.errors import SpecError
from netcaliper.specs.factory import call_factory, find_factory, is_factory


@pytest.mark.parametrize("spec", ["a:b", "a.b.c:d", "_a1:b.c"])
def test_forms_of_a_factory(spec):
    assert is_factory(spec)


@pytest.mark.parametrize("spec", ["a", "a:", ":b", "a:b()", "a/b:c", "C:\\x", "a:b:c", "1a:b", "a b:c"])
def test_forms_of_something_else(spec):
    assert not is_factory(spec)


def test_dotted_attributes_are_followed():
    assert find_factory("collections:OrderedDict.fromkeys")("ab") == {"a": None, "b": None}


def test_the_current_directory_is_searched(tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("def make(): return 7\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert find_factory("only_here:make")() == 7


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import a_package_nobody_has", "needs the module 'a_package_nobody_has'"),
        ("1 / 0", "failed: ZeroDivisionError"),
        ("def (:", "failed: SyntaxError"),
    ],
)
def test_modules_that_fail_to_import(tmp_path, monkeypatch, source, message):
    (tmp_path / "breaks_on_import.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SpecError, match=message):
        find_factory("breaks_on_import:make")


def test_modules_and_names_that_are_missing():
    with pytest.raises(SpecError, match="there is no module 'nowhere_at_all'"):
        find_factory("nowhere_at_all.models:make")
    with pytest.raises(SpecError, match="'collections' has no attribute 'Conter'; did you mean 'Counter'"):
        find_factory("collections:Conter")


def test_what_a_factory_raises_is_reported():
    def needs_more(x):
        return x

    with pytest.raises(SpecError, match=r"the call needs_more\(\) failed: TypeError.*required positional argument"):
        call_factory(needs_more, "m:needs_more")
    assert call_factory(needs_more, "m:needs_more", x=3) == 3
