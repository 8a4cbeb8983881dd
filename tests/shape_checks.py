"""Which signatures are checked while tests run: all at the top of a file or class, and inner ones that name shapes."""

from collections.abc import Callable
from typing import Any

from jaxtyping import jaxtyped


def checked(*, typechecker: Callable[..., Any]) -> Callable[[Any], Any]:
    """Stand in for ``jaxtyping.jaxtyped`` in what the import hook of jaxtyping writes before every function.

    Inner functions are made anew, and decorated anew, whenever the outer one runs, and code is written for it each
    time. Taps on a graph are such functions: a third of the time of some tests went there.
    """

    def decorate(defined: Any) -> Any:
        hints = getattr(defined, "__annotations__", {}).values()
        inner = "<locals>" in getattr(defined, "__qualname__", "") and not isinstance(defined, type)
        if inner and not any("jaxtyping" in str(hint) for hint in hints):
            return defined
        return jaxtyped(defined, typechecker=typechecker)

    return decorate
