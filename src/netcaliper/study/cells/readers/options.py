"""Options of readers, checked by name."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from netcaliper.errors import StudyError


def checked_options(reader: str, options: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a reader over its defaults.

    Raises:
        StudyError: one is not known.
    """
    for name in options:
        if name not in defaults:
            near = get_close_matches(name, defaults, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"it takes {', '.join(defaults) or 'none'}."
            raise StudyError(f"`read.{reader}` has no option `{name}`; {hint}")
    return dict(defaults) | dict(options)
