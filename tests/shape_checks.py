"""Which signatures are checked while tests run: those that name shapes. The types of the others pyright checks."""

from collections.abc import Callable
from typing import Any

from jaxtyping import jaxtyped


def checked(*, typechecker: Callable[..., Any]) -> Callable[[Any], Any]:
    """Stand in for ``jaxtyping.jaxtyped`` in what the import hook of jaxtyping writes before every function.

    A check takes tens of microseconds a call, and an inner function is made and decorated anew whenever the outer one
    runs: without shapes in the signature that is a third of the time of some tests, for nothing that pyright misses.
    """

    def decorate(defined: Any) -> Any:
        hints = getattr(defined, "__annotations__", {}).values()
        if not any("jaxtyping" in str(hint) for hint in hints):
            return defined
        return jaxtyped(defined, typechecker=typechecker)

    return decorate
