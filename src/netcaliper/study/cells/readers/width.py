"""``read.width``: how many units a network needs, can lose and has twice, beside its untrained twin."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from netcaliper.measure.static import measure
from netcaliper.reading.reading import Reading
from netcaliper.reading.schema import NetworkReading, Share, SiteReading
from netcaliper.study.cells.cell_data import some_of
from netcaliper.study.cells.readers.options import checked_options
from netcaliper.study.cells.readers.subject import Subject

OPTIONS = {
    "examples": None, "only": None, "skip": None, "mode": "default", "budget": None, "sites": "*", "twin": True,
}  # fmt: skip
FEWEST = 3
"""Sites of which an order says anything."""


def read(subject: Subject, options: Mapping[str, Any]) -> dict[str, Any]:
    """Measure a network on test examples and return the columns, those of the twin with ``twin_`` before.

    Args:
        subject: the network; the reading is kept in its folder.
        options: ``examples`` (at most so many), ``twin`` (whether to read it), and ``only``, ``skip``, ``mode``,
            ``budget`` and ``sites`` of ``nc.measure``.
    """
    chosen = checked_options("width", options, OPTIONS)
    network, make = subject.network, subject.network.twin
    reading = measure(
        subject.model,
        some_of(subject.data.test, chosen["examples"], subject.seed),
        seed=subject.seed,
        mode=chosen["mode"],
        sites=chosen["sites"],
        only=chosen["only"],
        skip=chosen["skip"],
        name=network.name,
        data_name=subject.data.name,
        twin=False if not chosen["twin"] else True if make is None else lambda: make(subject.seed),
        progress=subject.tell,
        **({} if chosen["budget"] is None else {"budget": chosen["budget"]}),
    )
    reading.save(subject.folder, replace=True)
    return columns(reading)


def columns(reading: Reading) -> dict[str, Any]:
    """Return the columns of a reading."""
    found = _of(reading.network, reading.sites, reading.warnings)
    if (twin := reading.twin) is not None:
        theirs = _of(twin.network, twin.sites, twin.warnings)
        found |= {f"twin_{name}": value for name, value in theirs.items()}
    return found


def _of(network: NetworkReading, sites: Sequence[SiteReading], warnings: Sequence[str]) -> dict[str, Any]:
    inner = [site for site in sites if site.kind != "stream"]
    ablated = [site for site in inner if site.prunable is not None] or inner
    judged = [site for site in inner if site.needed is not None]
    prunable = [None if site.prunable is None else site.prunable.value for site in inner]
    redundant = [None if site.redundant is None else site.redundant.value for site in inner]
    found: dict[str, Any] = {
        "units": network.units,
        "needed_units": network.needed_units,
        "needed": None if network.needed_units is None else network.needed_units / network.units,
        "redundant_units": _units(redundant, inner),
        "prunable_units": None if network.prunable is None else network.prunable.value * _sum(ablated),
        "removable": None if not judged else 1 - sum(site.needed or 0 for site in judged) / _sum(judged),
        "linear_zone": _mean([site.linear_zone for site in inner], inner),
        "agreement": network.agreement,
        "agreement_low": network.agreement_low,
        "path_length_on_data": network.path_length,
        "path_length_normalized_on_data": network.path_length_normalized,
        "later_more_prunable": later_is_more(prunable),
        "first_more_redundant": first_is_more(redundant),
        "width_note": " ".join(warnings) or None,
    }
    for name in ("redundant", "prunable"):
        share: Share | None = getattr(network, name)
        found |= {
            name: None if share is None else share.value,
            f"{name}_low": None if share is None else share.low,
            f"{name}_high": None if share is None else share.high,
        }
    for site, prunable_share, redundant_share in zip(inner, prunable, redundant, strict=True):
        found |= {
            f"prunable:{site.name}": prunable_share,
            f"redundant:{site.name}": redundant_share,
            f"needed:{site.name}": None if site.needed is None else site.needed / site.units,
        }
    return found


def later_is_more(shares: Sequence[float | None]) -> float | None:
    """Return Spearman's correlation of the place of a site and its share; ``None`` below 3 sites or for equal shares.

    Args:
        shares: of the sites in their order; those that are not known do not count.
    """
    known = [(place, share) for place, share in enumerate(shares) if share is not None]
    if len(known) < FEWEST or len({share for _, share in known}) < 2:
        return None
    places, values = np.array(known).T
    found: Any = spearmanr(places, values)
    return float(found.statistic)


def first_is_more(shares: Sequence[float | None]) -> float | None:
    """Return the share of the first site minus the mean of the others, if these are known."""
    others = [share for share in shares[1:] if share is not None]
    if not shares or shares[0] is None or not others:
        return None
    return shares[0] - float(np.mean(others))


def _sum(sites: Sequence[SiteReading]) -> int:
    return sum(site.units for site in sites)


def _units(shares: Sequence[float | None], sites: Sequence[SiteReading]) -> float | None:
    """Return how many units shares are of, ``None`` if one of them is not known."""
    known = [share * site.units for share, site in zip(shares, sites, strict=True) if share is not None]
    return sum(known) if known and len(known) == len(sites) else None


def _mean(shares: Sequence[Share | None], sites: Sequence[SiteReading]) -> float | None:
    """Return the mean over units of the sites that have a share."""
    known = [(share.value, site.units) for share, site in zip(shares, sites, strict=True) if share is not None]
    return sum(value * units for value, units in known) / sum(units for _, units in known) if known else None
