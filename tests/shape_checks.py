"""What checks the annotations of signatures while tests run."""

from collections.abc import Callable
from typing import Any

from beartype import beartype


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check a function with beartype; one inside a function only if there are shapes in its signature.

    Inner functions are made anew, and decorated anew, whenever the outer one runs; beartype writes code each time. Taps
    on a graph are such functions: a third of the time of some tests went there.
    """
    hints = getattr(function, "__annotations__", {}).values()
    if "<locals>" in function.__qualname__ and not any("jaxtyping" in str(hint) for hint in hints):
        return function
    return beartype(function)
