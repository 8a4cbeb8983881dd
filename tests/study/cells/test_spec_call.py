"""Specs and their arguments, put together."""

import pytest

from netcaliper.errors import SpecError
from netcaliper.specs.call import named_call
from netcaliper.study.cells.spec_call import composed


def test_given_arguments_win_over_those_of_the_spec():
    assert composed("digits", {}) == "digits"
    assert composed("digits", {"examples": 30}) == "digits(examples=30)"
    found = composed("digits(examples=30, seed=2)", {"examples": 40, "classes": [0, 1]})
    assert named_call(found, found, "") == ("digits", {"examples": 40, "seed": 2, "classes": [0, 1]})


def test_a_path_may_hold_parentheses():
    assert composed("cifar10:a (b)/c", {"crop": 28}) == "cifar10:a (b)/c(crop=28)"
    held = composed("cifar10:a (b)/c(standardize='image')", {"crop": None})
    assert held == "cifar10:a (b)/c(standardize='image', crop=None)"


def test_values_come_back_as_they_were():
    given = {"init_sds": [0.001, 1e-30], "name": "it's", "flag": True, "none": None, "whole": 3}
    spec = composed("zoo:mlp", given)
    assert named_call(spec, spec, "")[1] == given


def test_what_cannot_be_read():
    with pytest.raises(SpecError, match="parenthesis is not closed"):
        composed("digits(examples", {"seed": 1})
