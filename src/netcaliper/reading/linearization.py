"""What ``nc.linearize`` leaves behind: how much of a network must bend, and what it costs when less of it does.

On disk it is a folder as a reading is: ``reading.json``, ``arrays.safetensors`` and ``cost.json``.
"""

from typing import Literal

import numpy as np
from pydantic import Field

from netcaliper.reading.layers import Origin
from netcaliper.reading.schema import Cost, Record, Skipped

LINEARIZATION_VERSION = 1

PointKind = Literal["unbent", "learned", "random", "layer", "one_shot", "shallow"]
Status = Literal["ok", "linear", "collapsed", "diverged"]


class BentSite(Record):
    """A site of the network whose activation calls were made linear by degrees.

    Attributes:
        name: as in a reading of units.
        op: the activation, e.g. ``relu``.
        kind: ``activation``, or ``gate`` (a product of two branches).
        units: number of units; with granularity ``layer`` they share one alpha.
        positions: values of a unit an example (height times width, tokens), ``None`` if that is not one number.
    """

    name: str
    op: str
    kind: Literal["activation", "gate"]
    units: int
    positions: int | None = None


class Quality(Record):
    """How good a network is on one part of the evaluation data.

    Attributes:
        value: of the measure that ``Protocol.quality`` names; larger is better.
        low, high: 95 % interval, ``None`` where the measure has none.
        over: what the interval is over.
        sample: examples (tokens, where labels are for tokens) behind ``value``.
    """

    value: float
    low: float | None = None
    high: float | None = None
    over: str = ""
    sample: int = 0


class Lost(Record):
    """What a point loses against the unbent reference on the same verify examples.

    Attributes:
        value: share of right answers of the reference minus that of the point.
        low, high: one-sided 95 % bounds.
    """

    value: float
    low: float
    high: float


class Lengths(Record):
    """How many bending units lie on a path; ``None`` for what the walk cannot count, ``reason`` says why.

    Attributes:
        mean: over paths, every path equally likely.
        normalized: on a random walk (each branch of a sum equally likely): the effective depth.
        reason: in words.
    """

    mean: float | None = None
    normalized: float | None = None
    reason: str | None = None


class Point(Record):
    """One training: a network of which some units bend, how many, and how good it is.

    Arrays by ``"point/<index>/<name>"``, U = units of all sites of the record in their order, E = epochs, C = classes,
    K = longest path:

    ==================  =======  ==========================================================================
    ``alphas``          [U]      float32; exactly 1: linear; 0: as it was
    ``active``          [U]      bool, whether the unit still bends
    ``curve``           [E]      share of units that bend after each epoch
    ``loss``            [E]      mean loss of each epoch, without the penalty, every batch before its own update
    ``class_accuracy``  [C]      accuracy on the verify examples of each class (NaN: it has none), if they have classes
    ``class_examples``  [C]      number of these examples
    ``histogram``       [K + 1]  chance that a random walk meets 0 .. K bending units
    ==================  =======  ==========================================================================

    Points of kind ``shallow`` are other networks: they have no ``alphas`` and no ``active``. What a point that diverged
    did not reach, it has not.

    Attributes:
        kind: ``unbent`` (the reference: the same training without a penalty), ``learned`` (the penalty chose the
            units), ``random`` (as many random units of every site as the learned point ``like``), ``layer`` (one alpha
            a site), ``one_shot`` (as many as ``like`` in all: those whose activation a straight line fits best),
            ``shallow`` (a smaller network from scratch).
        name: of the point, unique, e.g. ``learned, omega 0.003``.
        omega: strength of the penalty (of its last epoch, where it rose to meet a target).
        like: index of the learned point whose number of bending units this one has.
        seed: of the training, and of the random units.
        status: ``ok``; ``linear``: no unit bends any more; ``collapsed``: the quality is no better than chance;
            ``diverged``: the loss was not finite and the training stopped.
        reason: why it is not ``ok``, in words; says which state is kept.
        kept_epoch: epoch of the last good weights that are kept beside the final ones, where it is not ``ok``.
        epochs: of its training.
        penalized: how many of them had the penalty.
        parameters: of the network.
        units: of all sites.
        active: how many bend.
        share: ``active / units``.
        calls: nonlinear scalar calls an example: bending units times their positions (ReLU count of private inference).
        calls_before: the same with all units bending.
        lengths: path lengths with these units bending.
        effective_width: mean number of bending units over the sites that have one.
        effective_layers: participation ratio ``(sum w)^2 / sum w^2`` of their numbers: over how many sites they spread.
        select, verify: quality on either part of the evaluation data.
        lost: against the unbent reference on verify examples, where answers are right or wrong.
        agreement: share of verify answers that equal those of the given network.
        warnings: in words.
    """

    kind: PointKind
    name: str
    omega: float | None = None
    like: int | None = None
    seed: int
    status: Status = "ok"
    reason: str | None = None
    kept_epoch: int | None = None
    epochs: int
    penalized: int = 0
    parameters: int
    units: int
    active: int | None = None
    share: float | None = None
    calls: int | None = None
    calls_before: int | None = None
    lengths: Lengths = Lengths()
    effective_width: float | None = None
    effective_layers: float | None = None
    select: Quality | None = None
    verify: Quality | None = None
    lost: Lost | None = None
    agreement: float | None = None
    warnings: tuple[str, ...] = ()


class Core(Record):
    """The core network: the smallest bending part with which the quality stays within a margin.

    Of the learned points (and the unbent reference) whose quality on *select* examples is within ``margin`` of the
    reference's, the one with the smallest share of bending units. The numbers are interpolated linearly between it and
    the next smaller point, to where the select quality crosses the margin; verify quality is that of the point itself.

    Attributes:
        point: index of the point.
        next: index of the next smaller one, which is worse; ``None`` if there is none: the numbers are upper bounds.
        margin: quality that may be lost (points of a percent are 0.01).
        share: share of the units that must bend.
        path_length: normalized average path length there.
        effective_width: mean number of bending units over the sites that have one, there.
    """

    point: int
    next: int | None = None
    margin: float
    share: float
    path_length: float | None = None
    effective_width: float | None = None


class Protocol(Record):
    """How the trainings were made.

    Attributes:
        granularity: ``channel`` or ``layer``: what has an alpha of its own.
        proximal: whether the penalty acts through half-thresholding.
        alpha_rate: factor on the learning rate of the alphas.
        schedule: ``late`` (the given network was trained before) or ``early`` (trained plainly to ``start_epoch``).
        start_epoch: plain epochs before; ``None`` for ``late``.
        penalized: epochs with the penalty.
        finetune: epochs after it, with the alphas frozen.
        target_active, target_path_length: what the penalty rose to meet, if anything.
        optimizer, learning_rate, momentum, weight_decay, rate, augment, precision: of every training; ``rate`` is the
            schedule of the learning rate.
        quality: the measure, e.g. ``accuracy``.
        chance: its value for the best constant answer on select examples, where that is known.
        select, verify: examples of either part; none is in both, training data are a third part.
        seed: of everything.
    """

    granularity: Literal["channel", "layer"]
    proximal: bool
    alpha_rate: float = 1.0
    schedule: Literal["late", "early"]
    start_epoch: int | None = None
    penalized: int
    finetune: int
    target_active: float | None = None
    target_path_length: float | None = None
    optimizer: str
    learning_rate: float
    momentum: float
    weight_decay: float
    rate: str
    augment: str
    precision: str
    quality: str
    chance: float | None = None
    select: int
    verify: int
    seed: int


class LinearizationRecord(Record):
    """Everything that one ``nc.linearize`` left behind.

    Attributes:
        name: of the network.
        fingerprint: of its weights as they were given.
        origin: data, device, versions.
        protocol: how the trainings were made.
        sites: what can bend, in the order of the arrays.
        skipped: activation calls that were left as they are, by name, with the reason.
        original: quality of the network as it was given, before any of the trainings (select, verify).
        points: the trainings; the first one is the unbent reference.
        core: the core network; ``None`` where the reference is not good for anything (``warnings`` say why).
        left_out: baselines that were not made, by name, with the reason.
        warnings: in words.
        cost: seconds by training.
        arrays: see ``Point``.
    """

    schema_version: int = LINEARIZATION_VERSION
    name: str
    fingerprint: str
    origin: Origin
    protocol: Protocol
    sites: tuple[BentSite, ...]
    skipped: tuple[Skipped, ...] = ()
    original: tuple[Quality, Quality] | None = None
    points: tuple[Point, ...]
    core: Core | None = None
    left_out: tuple[Skipped, ...] = ()
    warnings: tuple[str, ...] = ()
    cost: Cost = Field(default_factory=Cost, exclude=True)
    arrays: dict[str, np.ndarray] = Field(default_factory=dict, exclude=True, repr=False)

    def array(self, point: int, name: str) -> np.ndarray | None:
        """Return one array of one point, ``None`` if it has none of that name."""
        return self.arrays.get(f"point/{point}/{name}")

    def of_site(self, point: int, name: str, site: int) -> np.ndarray | None:
        """Return the part of ``alphas`` or ``active`` that belongs to one site."""
        array = self.array(point, name)
        start = sum(found.units for found in self.sites[:site])
        return None if array is None else array[start : start + self.sites[site].units]
