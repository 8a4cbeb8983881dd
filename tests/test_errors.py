"""The tree of errors is drawn where it is defined, and the drawing is right."""

import re

import pytest

from netcaliper import errors
from netcaliper.errors import NetcaliperError


def drawn():
    """Read the tree from the docstring: pairs (error, parent)."""
    assert errors.__doc__ is not None
    above: list[str] = []
    pairs = {}
    for line in errors.__doc__.splitlines():
        match = re.match(r"^    ((?:│   |    )*)(├── |└── )?([A-Z]\w+)", line)
        if match is None:
            continue
        level = len(match[1]) // 4 + bool(match[2])
        above[level:] = [match[3]]
        pairs[match[3]] = above[level - 1] if level else None
    return pairs


def defined():
    return {
        name: cls.__bases__[0].__name__ if cls is not NetcaliperError else None
        for name, cls in vars(errors).items()
        if isinstance(cls, type) and issubclass(cls, NetcaliperError)
    }


def test_every_error_is_drawn_under_its_parent():
    assert drawn() == defined()


@pytest.mark.parametrize("name", defined())
def test_every_error_says_when_it_is_raised_and_how_the_program_ends(name):
    error = getattr(errors, name)
    assert error.__doc__
    assert error.exit_code in {1, 2}
    assert issubclass(error, NetcaliperError)


def test_bad_arguments_are_also_value_errors():
    """Callers who know nothing of netcaliper may still catch what they expect."""
    assert issubclass(errors.InputError, ValueError)
    assert not issubclass(errors.TraceError, ValueError)


def test_misuse_and_failure_have_their_exit_codes():
    codes = {name: getattr(errors, name).exit_code for name in defined()}
    assert {name for name, code in codes.items() if code == 2} == {
        "InputError",
        "SpecError",
        "StudyError",
        "OutputExists",
    }
