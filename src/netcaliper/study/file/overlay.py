"""A scale laid over a study file: the same study, smaller or larger."""

from collections.abc import Mapping
from typing import Any


def overlaid(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``over`` laid over it.

    Tables merge, key by key; ``false`` takes a table, or an axis, out; everything else is replaced.
    """
    merged = dict(base)
    for key, value in over.items():
        before = merged.get(key)
        if value is False and isinstance(before, Mapping | list):
            del merged[key]
        elif isinstance(value, Mapping) and isinstance(before, Mapping):
            merged[key] = overlaid(before, value)
        else:
            merged[key] = value
    return merged
