"""``package.module:factory``: the user's own function, found by name."""

import re
import sys
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

from netcaliper.errors import SpecError

_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def is_factory(spec: str) -> bool:
    """Return whether ``spec`` has the form ``package.module:factory``."""
    return _FACTORY.fullmatch(spec) is not None


def find_factory(spec: str) -> Callable[..., Any]:
    """Import the function that ``package.module:factory`` names.

    The current directory is put on the import path first, as ``python -m`` does.

    Raises:
        SpecError: the module cannot be imported, or holds no such callable.
    """
    module_name, _, attribute = spec.partition(":")
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        if module_name == missing or module_name.startswith(missing + "."):
            raise SpecError(
                f"{spec!r}: there is no module {missing!r}; it is looked for in the current directory "
                "and among the installed packages."
            ) from error
        raise SpecError(f"{spec!r}: importing {module_name!r} needs the module {missing!r}; install it.") from error
    except Exception as error:
        raise SpecError(f"{spec!r}: importing {module_name!r} failed: {type(error).__name__}: {error}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            near = get_close_matches(part, dir(found), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise SpecError(f"{spec!r}: {module_name!r} has no attribute {part!r}{hint}")
        found = getattr(found, part)
    if not callable(found):
        raise SpecError(f"{spec!r} is a {type(found).__name__}; name a function or class that can be called.")
    return found


def call_factory(factory: Callable[..., Any], spec: str, **arguments: Any) -> Any:
    """Call the user's function; whatever it raises becomes a ``SpecError`` that says what it was."""
    attribute = spec.rpartition(":")[2]
    try:
        return factory(**arguments)
    except Exception as error:
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise SpecError(f"{spec!r}: the call {attribute}({given}) failed: {type(error).__name__}: {error}") from error
