import numpy as np
import pytest
from beartype import beartype
from jaxtyping import Float64, TypeCheckError

from netcaliper.stats.growth import growth_slope
from shape_checks import checked

by_hook = checked(typechecker=beartype)


@by_hook
def outer(x: Float64[np.ndarray, " n"]) -> float:
    return float(x.sum())


def test_shapes_in_signatures_are_checked_also_of_inner_functions():
    @by_hook
    def inner(x: Float64[np.ndarray, "n n"] | None) -> Float64[np.ndarray, " n"]:
        return np.zeros(3) if x is None else x[0]

    for function, right, wrong in ((outer, np.zeros(3), np.zeros((3, 3))), (inner, np.zeros((2, 2)), np.zeros((2, 3)))):
        function(right)
        with pytest.raises(TypeCheckError):
            function(wrong)


def test_a_function_without_shapes_is_left_alone():
    def plain(x: int) -> int:
        return x

    assert by_hook(plain) is plain


def test_what_netcaliper_defines_is_checked():
    with pytest.raises(TypeCheckError):
        growth_slope(np.ones((2, 2)), np.ones(2))
