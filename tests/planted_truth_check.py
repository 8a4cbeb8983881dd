"""Does ``nc.measure`` find what was planted? Its counts against the rank oracle, site by site, on the rows that it
read.

Some sites of random networks have no clear-cut answer, which the oracle says by itself, before the measure is asked:
relations that nearly hold (eight sigmoids of one pooled scalar are a rank of two or three in practice), and units so
rare that the two splits of the data disagree. They are counted apart and held to what the definition promises there.
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from netcaliper.measure.partition import CONSTANT, DEAD, DEPENDENT, DUPLICATE, NEEDED
from netcaliper.measure.static import measure
from netcaliper.reading.schema import SiteReading
from netcaliper.stats.sampling import CALIBRATE, VERIFY, splits
from netcaliper.trace.site import Site
from planting import Planted
from rank_oracle import Truth, reconstruction_error, truth

KINDS = ("dead", "constant", "duplicate", "dependent", "needed")
KIND_OF = dict(zip((DEAD, CONSTANT, DUPLICATE, DEPENDENT, NEEDED), KINDS, strict=True))
NEARLY = 1e-3
"""Singular values below this (squared, the measure's tolerance of 1e-6 of a unit's variance) and above rounding: no
clear-cut rank."""


@dataclass(frozen=True)
class SiteCheck:
    """One site of one network.

    Attributes:
        name: network and site.
        found: what ``measure`` says.
        expected: what the oracle says of all rows.
        unclear: why there is no clear-cut answer, by the oracle alone; ``None`` if there is one.
        error: largest reconstruction error of a removable unit from the needed ones, relative to its scale.
        missed: planted units with another verdict than they were planted with.
    """

    name: str
    found: SiteReading
    expected: Truth
    unclear: str | None
    error: float
    missed: list[str]

    @property
    def agrees(self) -> bool:
        """Whether every count is the oracle's."""
        return all(getattr(self.found, kind) == getattr(self.expected, kind) for kind in KINDS)


def check(network: Planted, seed: int = 0) -> list[SiteCheck]:
    """Measure a network and judge every site by the oracle."""
    size = len(network.data)
    reading = measure(network.graph, network.data.split(64), seed=seed, only=("unit_states", "redundant"), twin=False)
    split = splits(np.arange(size), seed)
    values = _captured(network)
    checks = []
    for number, record in enumerate(reading.sites):
        rows, calibrate = (
            values[record.name][part].reshape(-1, record.units) for part in (split != VERIFY, split == CALIBRATE)
        )
        assert rows.dtype == np.float64
        assert (record.rows, record.rows + record.select_rows) == (len(calibrate), len(rows)), (
            "every row must have been read"
        )
        verdict = reading.array(number, "verdict")
        assert verdict is not None
        planted = network.planted.get(record.name, {})
        expected = truth(rows)
        checks.append(
            SiteCheck(
                name=f"{network.graph.name} {record.name}",
                found=record,
                expected=expected,
                unclear=_unclear(expected, truth(calibrate)),
                error=reconstruction_error(rows, verdict == NEEDED),
                missed=[
                    f"unit {unit} was planted {kind}, found {KIND_OF[int(verdict[unit])]}"
                    for unit, kind in planted.items()
                    # which member of a relation goes is the measure's choice, so only these are known one by one
                    if kind in ("dead", "constant") and kind != KIND_OF[int(verdict[unit])]
                ],
            )
        )
    return checks


def _captured(network: Planted) -> dict[str, np.ndarray]:
    """Return the values of every site, ``[examples, positions, units]``."""
    values: dict[str, np.ndarray] = {}

    def keep(site: Site, value: Tensor) -> None:
        values[site.name] = site.rows(value, len(network.data)).numpy().copy()

    taps = {site.name: (lambda value, *_, site=site: keep(site, value)) for site in network.graph.sites}
    network.graph.run(network.data, taps=taps)
    return values


def _unclear(everything: Truth, calibrate: Truth) -> str | None:
    """Say why a site has no clear-cut answer."""
    if everything.faint or calibrate.faint:
        return "units that nearly do not vary"
    if min(everything.gap, calibrate.gap) < NEARLY:
        return "relations that nearly hold"
    if any(getattr(everything, kind) != getattr(calibrate, kind) for kind in KINDS):
        return "calibrate and select rows disagree"
    return None
