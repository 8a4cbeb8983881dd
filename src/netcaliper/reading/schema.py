"""The record that a measurement leaves behind: plain data, opened without torch.

A reading on disk is a folder: ``reading.json`` (everything below except the arrays), ``arrays.safetensors`` (one array
a measure and site, key ``<site index>/<array>``) and ``cost.json`` (seconds and passes, apart, so that two runs with
one seed leave byte-identical readings).
"""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 2


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


class Ablation(Record):
    """Random units taken away, more and more of them: how it was done, beside the share *prunable* that came out.

    ``prunable`` holds the mean over permutations with the t interval over permutations; this the rest.

    Attributes:
        perturbation: what stands in for a unit: zero, its mean, or the unit with noise.
        order: units in random order, or the most correlated with a random first one first.
        task: what is compared: ``classification``, ``tokens`` (next-token argmax) or ``regression``.
        threshold: the least agreement with the untouched network (for a regression the least 1 - relative error).
        permutations: number of nested orders.
        censored: permutations whose curve never fell below the threshold; they count as 1.
        count: ``floor(prunable * units)``.
        examples: number of examples behind every point of the curves.
        bootstrap_low, bootstrap_high: 95 % percentile bootstrap over examples.
        warnings: in words.
    """

    perturbation: Literal["zero", "mean", "noise"]
    order: Literal["random", "correlated"]
    task: Literal["classification", "tokens", "regression"]
    threshold: float
    permutations: int
    censored: int
    count: int
    examples: int
    bootstrap_low: float | None = None
    bootstrap_high: float | None = None
    warnings: tuple[str, ...] = ()


class NeededAt(Record):
    """The fewest units, over one common tau, with which the network still agrees with itself on ``target``.

    Attributes:
        target: the agreement asked for, e.g. ``.97``.
        tau: the largest tau (found by bisection on select examples) that meets it there; ``None`` if none does.
        units: units that stay at the sites that were judged.
        units_before: units of these sites.
        by_site: units that stay, by site.
        agreement, agreement_low: on verify examples, with the one-sided 95 % Clopper-Pearson lower bound.
        met: whether ``agreement_low >= target``.
        examples: number of verify examples.
        random: agreement on verify examples when as many random units of every site go, with the same re-fit; by seed.
        advantage, advantage_low, advantage_high: agreement minus the mean over these seeds, with its paired 95 %
            interval over examples.
        reason: why it was not judged, in words.
    """

    target: float
    tau: float | None = None
    units: int | None = None
    units_before: int | None = None
    by_site: dict[str, int] = Field(default_factory=dict)
    agreement: float | None = None
    agreement_low: float | None = None
    met: bool | None = None
    examples: int = 0
    random: tuple[float, ...] = ()
    advantage: float | None = None
    advantage_low: float | None = None
    advantage_high: float | None = None
    reason: str | None = None


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
    ``unexplained`` is, by consumer, the share of its variance that is lost without the removed units.
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

    unexplained: dict[str, float] = Field(default_factory=dict)

    prunable: Share | None = None
    ablation: Ablation | None = None

    redundant: Share | None = None
    redundant_correlation: Share | None = None
    correlated_neighbors: float | None = None
    mean_correlation: float | None = None
    selectivity: Share | None = None
    selective: int | None = None
    removable: dict[str, int] = Field(default_factory=dict)
    unconfirmed: int | None = None
    warnings: tuple[str, ...] = ()


class Skipped(Record):
    """Something that was not read, by name, with the reason."""

    name: str
    reason: str


class PathLengths(Record):
    """How many nonlinear units lie on the paths through the network, beside ``path_length`` of its row.

    *Nominal* is the network on paper: every unit is nonlinear. *On the data* units that stay in the linear zone of
    their activation are linear, and constant units carry no path.

    Attributes:
        nominal, nominal_normalized: average length where every path weighs the same, and on the random walk.
        log10_paths: of the number of paths on paper.
        nominal_histogram: chance of a walk of 0, 1, 2, ... units on paper.
        histogram: the same on the data.
        nominal_profile: by site the expected number of its units on the random walk, on paper.
        profile: the same on the data.
        gaps: layers through which no path comes on the data, since all that they read is constant.
        bilinear: products of two data-dependent values on the paths, of which both are followed.
        not_counted: nonlinear operations on the paths that are no units, with their number.
        skipped: nonlinearities on the paths that are no sites, counted as nonlinear throughout.
        assumed: sites whose units were not read and count as nonlinear on the data too.
        reason: why there is no length, in words.
    """

    nominal: float | None = None
    nominal_normalized: float | None = None
    log10_paths: float | None = None
    nominal_histogram: tuple[float, ...] = ()
    histogram: tuple[float, ...] = ()
    nominal_profile: dict[str, float] = Field(default_factory=dict)
    profile: dict[str, float] = Field(default_factory=dict)
    gaps: tuple[str, ...] = ()
    bilinear: tuple[str, ...] = ()
    not_counted: dict[str, int] = Field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    reason: str | None = None


class NetworkReading(Record):
    """The network in one row. ``units`` counts inner sites, plus each coupled group once.

    ``path_length`` (every path weighs the same) and ``path_length_normalized`` (on the random walk; the effective
    depth) hold on the data that were read; ``paths`` says the rest.
    """

    parameters: int
    macs: int
    sites: int
    units: int
    needed_units: int | None = None
    prunable: Share | None = None
    redundant: Share | None = None
    agreement: float | None = None
    agreement_low: float | None = None
    ablation: Ablation | None = None
    needed_at_97: NeededAt | None = None
    path_length: float | None = None
    path_length_normalized: float | None = None
    paths: PathLengths | None = None


class Twin(Record):
    """What the same measures say of the same architecture untrained. What it also shows says nothing about training.

    Attributes:
        kind: ``factory`` (built anew by the spec's own factory or by what was passed as ``twin``), or ``shuffled`` (the
            entries of every weight tensor permuted).
        seed: of the initial weights, or of the permutations.
        network: the network in one row.
        sites: the same sites in the same order.
        warnings: in words.
    """

    kind: Literal["factory", "shuffled"]
    seed: int
    network: NetworkReading
    sites: tuple[SiteReading, ...]
    warnings: tuple[str, ...] = ()


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

    ``arrays`` holds float64/int arrays by ``"<site index>/<name>"``, those of the whole network by ``"network/<name>"``
    and those of the twin with ``twin/`` before. Names used, n = units, p = permutations, k = levels:

    =========================  ======  ===================================================================
    ``verdict``                [n]     0 dead, 1 constant, 2 duplicate, 3 dependent, 4 absorbable, 5 needed, -1 none
    ``r2``                     [n]     R2 of the unit on all other non-degenerate units (NaN: dead or constant)
    ``unit_state``             [n]     0 constant (carries nothing), 1 exactly linear on every row, 2 nonlinear
    ``linear_share``           [n]     share of rows in the exactly linear zone (piecewise-linear activations)
    ``bending``                [n]     1 - corr(z, phi(z))^2 (NaN where undefined)
    ``mean``, ``std``          [n]     of the site's value
    ``spectrum``               [n]     eigenvalues of the covariance, descending
    ``correlation_spectrum``   [m]     eigenvalues of the correlation of the non-degenerate units, descending
    ``duplicate_of``           [n]     the unit that this one repeats, -1 for none
    ``correlation_pairs``      [20]    pairs of units with |r| in (k/20, (k+1)/20], self-pairs and copies left out
    ``neighbors``              [n]     number of other units with |r| >= .5
    ``selectivity``            [n]     class selectivity on select rows, for the class chosen on calibrate rows
    ``selectivity_calibrate``  [n]     the same on calibrate rows
    ``selective_class``        [n]     that class
    ``absorb_order``           [m]     units in the order in which block elimination removed them
    ``ablation_levels``        [k]     share of the units taken away
    ``ablation_agreement``     [p, k]  agreement with the untouched network, by permutation
    ``ablation_kappa``         [p, k]  the same, corrected for chance (classification and tokens)
    ``ablation_divergence``    [p, k]  Kullback-Leibler divergence from the untouched network (the same), nats
    =========================  ======  ===================================================================
    """

    schema_version: int = SCHEMA_VERSION
    provenance: Provenance
    network: NetworkReading
    sites: tuple[SiteReading, ...]
    skipped: tuple[Skipped, ...] = ()
    warnings: tuple[str, ...] = ()
    twin: Twin | None = None
    cost: Cost = Field(default_factory=Cost, exclude=True)
    arrays: dict[str, np.ndarray] = Field(default_factory=dict, exclude=True, repr=False)

    def array(self, site: int | Literal["network"], name: str, *, twin: bool = False) -> np.ndarray | None:
        """Return one array of one site (or of the whole network), or ``None`` if that measure does not apply there."""
        return self.arrays.get(f"{'twin/' if twin else ''}{site}/{name}")
