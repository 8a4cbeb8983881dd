"""The record that a measurement leaves behind: plain data, opened without torch.

A reading on disk is a folder: ``reading.json`` (everything below except the arrays), ``arrays.safetensors`` (one array
a measure and site, key ``<site index>/<array>``) and ``cost.json`` (seconds and passes, apart, so that two runs with
one seed leave byte-identical readings).
"""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1


class Record(BaseModel):
    """Base of all records: immutable, and unknown keys are an error (a typo never passes silently)."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, ser_json_inf_nan="constants")


class Share(Record):
    """A share with the interval and the sample it comes from.

    Attributes:
        value: in [0, 1].
        low, high: the interval, ``None`` if it could not be computed (``over`` then says why).
        over: what the interval is over, e.g. ``"95 % delete-one-fold jackknife over 10 folds of examples"``.
        sample: number of rows (or examples) behind ``value``.
    """

    value: float
    low: float | None = None
    high: float | None = None
    over: str = ""
    sample: int = 0


class ConsumerRecord(Record):
    """A weighted operation that reads the units of a site (names and counts; the columns stay in the graph)."""

    name: str
    op: str
    columns: int
    units: int
    through: tuple[str, ...] = ()


class SiteReading(Record):
    """What was read at one site. Counts are units; ``None`` means not judged, and ``reason`` says why.

    The partition ``dead + constant + duplicate + dependent + absorbable + needed == units`` counts each unit once, in
    that order of precedence. ``absorbable`` is ``None`` (not measured) or a count; ``needed`` is the rest.
    """

    name: str
    kind: Literal["activation", "gate", "stream"]
    op: str
    units: int
    positions: int
    examples: int
    rows: int
    select_rows: int
    group: str | None = None
    consumers: tuple[ConsumerRecord, ...] = ()
    readers: tuple[str, ...] = ()
    barriers: tuple[str, ...] = ()
    refused: str | None = None

    dead: int | None = None
    constant: int | None = None
    duplicate: int | None = None
    dependent: int | None = None
    absorbable: int | None = None
    needed: int | None = None
    reason: str | None = None

    always_on: int | None = None
    always_off: int | None = None
    mixed: int | None = None
    linear_zone: Share | None = None
    bending_share: Share | None = None
    firing_bound: float | None = None

    redundant: Share | None = None
    redundant_correlation: Share | None = None
    removable: dict[str, int] = Field(default_factory=dict)
    unconfirmed: int | None = None
    warnings: tuple[str, ...] = ()


class Skipped(Record):
    """Something that was not read, by name, with the reason."""

    name: str
    reason: str


class NetworkReading(Record):
    """The network in one row. ``units`` counts inner sites, plus each coupled group once."""

    parameters: int
    macs: int
    sites: int
    units: int
    needed_units: int | None = None
    prunable: Share | None = None
    redundant: Share | None = None
    agreement: float | None = None
    agreement_low: float | None = None
    path_length: float | None = None
    path_length_normalized: float | None = None


class Provenance(Record):
    """How the reading came about: what was read, on what, split how, by which versions."""

    model: str
    model_fingerprint: str
    data: str
    data_fingerprint: str
    seed: int
    mode: Literal["default", "paper"]
    device: str
    dtype: str
    batch: str
    examples: dict[str, int]
    verification_reads: int
    replay: dict[str, float]
    versions: dict[str, str]


class Cost(Record):
    """What the measurement cost: wall seconds by phase, and full forward-pass equivalents."""

    seconds: dict[str, float] = Field(default_factory=dict)
    passes: float = 0.0


class ReadingRecord(Record):
    """Everything that one ``measure`` left behind; ``Reading`` adds what users do with it.

    ``arrays`` holds float64/int arrays by ``"<site index>/<name>"``. Names used by the static measures, n = units:

    ======================  ======  ===================================================================
    ``verdict``             [n]     int8: 0 dead, 1 constant, 2 duplicate, 3 dependent, 4 absorbable, 5 needed, -1 none
    ``r2``                  [n]     R2 of the unit on all other non-degenerate units (NaN: dead or constant)
    ``linear_share``        [n]     share of rows in the exactly linear zone (piecewise-linear activations)
    ``bending``             [n]     1 - corr(z, phi(z))^2 (NaN where undefined)
    ``mean``, ``std``       [n]     of the site's value
    ``spectrum``            [n]     eigenvalues of the covariance, descending
    ``correlation_spectrum``  [m]   eigenvalues of the correlation of the non-degenerate units, descending
    ``duplicate_of``        [n]     the unit that this one repeats, -1 for none
    ======================  ======  ===================================================================
    """

    schema_version: int = SCHEMA_VERSION
    provenance: Provenance
    network: NetworkReading
    sites: tuple[SiteReading, ...]
    skipped: tuple[Skipped, ...] = ()
    warnings: tuple[str, ...] = ()
    cost: Cost = Field(default_factory=Cost, exclude=True)
    arrays: dict[str, np.ndarray] = Field(default_factory=dict, exclude=True, repr=False)

    def array(self, site: int, name: str) -> np.ndarray | None:
        """Return one array of one site, or ``None`` if that measure does not apply there."""
        return self.arrays.get(f"{site}/{name}")
