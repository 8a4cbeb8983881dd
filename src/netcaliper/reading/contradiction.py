"""Whether a reading fits together: checked before it is written and after it is opened."""

import re
from collections.abc import Sequence

import numpy as np

from netcaliper.reading.schema import Ablation, ReadingRecord, SiteReading

ARRAY_KEY = re.compile(r"(twin/)?(network|0|[1-9][0-9]{0,6})/([a-z][a-z0-9_]{0,63})")
PER_UNIT = frozenset(
    {
        "verdict", "r2", "linear_share", "bending", "mean", "std", "spectrum", "duplicate_of", "neighbors",
        "selectivity", "selectivity_calibrate", "selective_class",
    }
)  # fmt: skip
SOME_UNITS = frozenset({"correlation_spectrum", "absorb_order"})
BINS_OF_PAIRS = 20
LEVELS = "ablation_levels"
CURVES = frozenset({"ablation_agreement", "ablation_kappa", "ablation_divergence"})


def contradiction(reading: ReadingRecord) -> str | None:
    """Return the first way in which a reading does not fit together, in words, or ``None``.

    Checked are the names and partitions of the sites, that the twin has the same sites, and that every array belongs to
    something in the reading and has its shape.
    """
    return _sites(reading.sites, "") or _twin(reading) or _needed_at(reading) or _arrays(reading)


def _sites(sites: Sequence[SiteReading], whose: str) -> str | None:
    names: set[str] = set()
    for site in sites:
        if site.name in names:
            return f"two sites are named {site.name!r}"
        names.add(site.name)
        if site.needed is None:
            continue
        parts = (site.dead, site.constant, site.duplicate, site.dependent, site.absorbable, site.needed)
        total = sum(part or 0 for part in parts)
        if total != site.units:
            return f"the partition of site {site.name!r}{whose} adds up to {total}, not to its {site.units} units"
    return None


def _twin(reading: ReadingRecord) -> str | None:
    if reading.twin is None:
        return None
    ours, theirs = reading.sites, reading.twin.sites
    if len(ours) != len(theirs):
        return f"the twin has {len(theirs)} sites, and the network has {len(ours)}"
    for site, other in zip(ours, theirs, strict=True):
        if (site.name, site.units) != (other.name, other.units):
            return (
                f"the twin has site {other.name!r} of {other.units} units where the network has {site.name!r} "
                f"of {site.units}"
            )
    return _sites(theirs, " of the twin")


def _needed_at(reading: ReadingRecord) -> str | None:
    names = {site.name for site in reading.sites}
    for network in (reading.network, *([reading.twin.network] if reading.twin else [])):
        stay = network.needed_at_97.by_site if network.needed_at_97 else {}
        for name in sorted(stay):
            if name not in names:
                return f"`needed_at_97` counts units of {name!r}, which is no site"
    return None


def _arrays(reading: ReadingRecord) -> str | None:
    for key, array in reading.arrays.items():
        found = ARRAY_KEY.fullmatch(key)
        if found is None:
            return f"array key {key[:80]!r} is not of the form '<site index>/<name>' or 'network/<name>'"
        twin, place, name = found.groups()
        if twin and reading.twin is None:
            return f"array {key!r} belongs to a twin, and there is none"
        if array.dtype.kind not in "fiub":
            return f"array {key!r} has dtype {array.dtype}, and only numbers can be stored"
        source = reading.twin if twin and reading.twin else reading
        if place == "network":
            ablation = source.network.ablation
        else:
            if int(place) >= len(source.sites):
                return f"array {key!r} belongs to site {place}, and there are {len(source.sites)} sites"
            site = source.sites[int(place)]
            ablation = site.ablation
            problem = _shape_of_units(key, name, array, site.units)
            if problem:
                return problem
        problem = _shape_of_curves(key, name, array, ablation, reading.arrays.get(f"{twin or ''}{place}/{LEVELS}"))
        if problem:
            return problem
    return None


def _shape_of_units(key: str, name: str, array: np.ndarray, units: int) -> str | None:
    if name in PER_UNIT and array.shape != (units,):
        return f"array {key!r} has shape {array.shape}, and its site has {units} units"
    if name in SOME_UNITS and (array.ndim != 1 or len(array) > units):
        return f"array {key!r} has shape {array.shape}, and its site has {units} units at most"
    if name == "correlation_pairs" and array.shape != (BINS_OF_PAIRS,):
        return f"array {key!r} has shape {array.shape}, and there are {BINS_OF_PAIRS} bins"
    return None


def _shape_of_curves(
    key: str, name: str, array: np.ndarray, ablation: Ablation | None, levels: np.ndarray | None
) -> str | None:
    if name == LEVELS and (array.ndim != 1 or not len(array)):
        return f"array {key!r} has shape {array.shape}, and levels form one row"
    if name not in CURVES:
        return None
    if ablation is None:
        return f"array {key!r} holds ablation curves, and the record has no ablation there"
    if levels is None:
        return f"array {key!r} has no `{LEVELS}` beside it"
    if array.shape != (ablation.permutations, *levels.shape):
        return (
            f"array {key!r} has shape {array.shape}, and there are {ablation.permutations} permutations and "
            f"{len(levels)} levels"
        )
    return None
