"""A library that is missing or broken is named with what to do about it."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

from netcaliper.errors import SpecError
from netcaliper.specs import extra
from netcaliper.specs.extra import EXTRAS, Extra, first_line, import_extra, trouble_with

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_what_is_there_is_imported():
    assert import_extra("json", "timm", "a test").dumps({}) == "{}"


def test_the_extras_are_those_of_the_package():
    declared = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    declared = {name: needs for name, needs in declared.items() if name not in ("test", "dev")}
    assert EXTRAS.keys() == declared.keys()
    for name, needs in declared.items():
        assert {need.partition(">")[0] for need in needs} == set(EXTRAS[name].distributions)


def broken(tmp_path, monkeypatch, source):
    (tmp_path / "broken_library.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "broken_library", raising=False)
    monkeypatch.setitem(EXTRAS, "timm", Extra(("broken-library",), ("broken_library",), "a test"))
    with pytest.raises(SpecError) as caught:
        import_extra("broken_library", "timm", "'timm:x'")
    trouble = trouble_with("timm")
    assert trouble is not None
    assert str(caught.value) == f"'timm:x' needs broken_library, which {trouble}"
    return trouble


def test_a_missing_library_is_named_with_its_extra():
    with pytest.raises(SpecError, match=r"needs no_such_library, which is not installed: pip install 'netcaliper\[ti"):
        import_extra("no_such_library.part", "timm", "'timm:x'")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import another_missing", "because it needs another_missing: pip install another_missing, or pip install"),
        ("1 / 0", r"cannot be imported \(ZeroDivisionError: division by zero\); install it anew: pip install"),
        ("raise RuntimeError", r"\(RuntimeError: RuntimeError\)"),
        (
            "raise RuntimeError('operator torchvision::nms does not exist')",
            r"the installed torchvision was built for another torch \(operator torchvision::nms does not exist\); "
            "install the torchvision that belongs",
        ),
        (
            "try:\n    raise RuntimeError('operator torchvision::nms does not exist')\n"
            "except RuntimeError as error:\n    raise ModuleNotFoundError('Could not import X') from error",
            "the installed torchvision was built for another torch",
        ),
    ],
)
def test_a_broken_library_says_what_to_do(source, words, tmp_path, monkeypatch):
    trouble = broken(tmp_path, monkeypatch, source)
    assert re.search(words, trouble)


def test_only_transformers_can_do_without_torchvision():
    error = RuntimeError("operator torchvision::nms does not exist")
    assert "uninstall torchvision" in extra._words(error, "transformers", "transformers")
    assert "uninstall torchvision" not in extra._words(error, "timm", "timm")


def test_first_lines():
    assert first_line(ValueError("\n one\ntwo")) == "one"
    assert first_line(ValueError()) == "ValueError"
