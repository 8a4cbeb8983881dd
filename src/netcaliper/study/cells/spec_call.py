"""``NAME:PATH(argument=value)`` from its parts: how a study file gives specs and their arguments apart."""

from collections.abc import Mapping
from typing import Any

from netcaliper.specs.call import named_call

_FORM = "a spec reads NAME, NAME:PATH or NAME:PATH(argument=value, ...)"


def composed(spec: str, arguments: Mapping[str, Any]) -> str:
    """Return a spec with arguments beside those that it holds; of two with one name the given one counts.

    Args:
        spec: of a model or of data.
        arguments: plain values by name.

    Raises:
        SpecError: the spec cannot be read.
    """
    if not arguments:
        return spec
    path, held = named_call(spec, spec, _FORM)
    listed = ", ".join(f"{name}={value!r}" for name, value in (held | dict(arguments)).items())
    return f"{path}({listed})"
