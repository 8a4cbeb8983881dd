"""``read.linear_zone`` of a bend: do the units become linear that were linear on the data already?"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from netcaliper.measure.static import measure
from netcaliper.specs.loaded import LoadedModel

NEARLY = 0.9
"""Share of the rows on which a unit in the linear zone is exactly linear."""


def read(
    network: LoadedModel, data: Iterable[Any], active: Mapping[str, Bool[np.ndarray, " units"]], seed: int
) -> dict[str, Any]:
    """Return two comparisons over the units of all sites that bend, before and after.

    - ``linear_zone_units``: how many units had been exactly linear on at least 90 % of the rows.
    - ``linear_zone_lift``: the share that became linear among units that had been exactly linear on at least 90 % of
      the rows, minus the share among the others; ``None`` if there are none of either.
    - ``linear_share_lift``: the mean share of rows on which units that became linear had been exactly linear, minus
      that of units that still bend; ``None`` if there are none of either.
    - ``linear_zone_note``: why one of them is ``None``.

    Units without a linear zone (of smooth activations) do not count.

    Args:
        network: as it was before the bending.
        data: test examples.
        active: by site which units still bend afterwards.
        seed: of the reading.
    """
    reading = measure(network.model, data, seed=seed, only="unit_states", twin=False)
    shares, linear = [np.zeros(0)], [np.zeros(0, dtype=bool)]
    for number, site in enumerate(reading.sites):
        share = reading.array(number, "linear_share")
        if site.name in active and share is not None:
            shares.append(share)
            linear.append(~active[site.name])
    share, became = np.concatenate(shares), np.concatenate(linear)
    zone = share >= NEARLY
    return {
        "linear_zone_units": int(zone.sum()),
        "linear_zone_lift": _difference(became.astype(np.float64), zone),
        "linear_share_lift": _difference(share, became),
        "linear_zone_note": _note(zone, became),
    }


def _note(zone: Bool[np.ndarray, " units"], became: Bool[np.ndarray, " units"]) -> str | None:
    words = [
        f"{int(marked.sum())} of {len(marked)} units {what}, so that there is nothing to compare"
        for marked, what in ((zone, "had been in the linear zone"), (became, "became linear"))
        if marked.all() or not marked.any()
    ]
    return "; ".join(words) or None


def _difference(values: Float64[np.ndarray, " units"], marked: Bool[np.ndarray, " units"]) -> float | None:
    """Return the mean of the marked values minus that of the others, if there are both."""
    if marked.all() or not marked.any():
        return None
    return float(values[marked].mean() - values[~marked].mean())
