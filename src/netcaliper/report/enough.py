"""How few units keep the answers: the fewest for one target, beside as many units chosen at random."""

from typing import Any

from netcaliper.reading.numerals import MISSING, count, percent, points
from netcaliper.reading.schema import NeededAt


def enough(found: NeededAt | None) -> dict[str, Any] | None:
    """Lay out the fewest units that keep the target.

    Returns:
        For ``page.html`` the ``title``, and either ``cells`` as (head, text) or the ``reason`` why there are none;
        ``None`` if nothing was asked for.
    """
    if found is None:
        return None
    regression = found.agreement is not None and found.agreement_low is None
    kept = f"{percent(found.target, digits=0)} of the {'variance of the output' if regression else 'answers'}"
    table = {"title": f"How few units keep {kept}", "cells": [], "reason": ""}
    if found.units is None or found.agreement is None:
        return table | {"reason": f"Not found: {(found.reason or 'no tau keeps the target').rstrip('.')}."}
    chance = [percent(value) for value in sorted(found.random)]
    advantage = MISSING if found.advantage is None else f"{points(found.advantage)} points"
    if found.advantage_low is not None and found.advantage_high is not None:
        advantage += f" ({points(found.advantage_low, found.advantage_high)})"
    cells = [
        ("units that stay", f"{count(found.units)} of {count(found.units_before)}"),
        ("1 − relative error" if regression else "same answers", percent(found.agreement)),
        ("at least (95 %)", percent(found.agreement_low)),
        ("target met", MISSING if found.met is None else "yes" if found.met else "no"),
        ("at random, by seed", ", ".join(chance) or MISSING),
        ("better than random by (95 %)", advantage),
        ("examples", count(found.examples)),
        ("tau", MISSING if found.tau is None else f"{found.tau:.3g}"),
    ]
    return table | {"cells": cells}
