"""What ``nc.shrink`` leaves behind: a plan that can be read, compared and run again, and the proof of what it costs.

On disk they are ``plan.json`` and ``proof.json`` beside the weights; see ``netcaliper.reading.shrinking_folder``.
"""

from typing import Literal

from pydantic import ConfigDict, Field, JsonValue

from netcaliper import __version__
from netcaliper.reading.schema import Record

PLAN_VERSION = 1
PROOF_VERSION = 1

StepKind = Literal["dead", "constant", "duplicate", "absorb", "drop block", "heads", "stream", "norm statistics"]
Tier = Literal["exact", "approximate"]
TargetKind = Literal["agreement", "parameters", "macs", "latency", "knee"]
Task = Literal["classification", "tokens", "regression"]


class FiniteRecord(Record):
    """A record whose numbers are all finite: what is not known is ``None``."""

    model_config = ConfigDict(allow_inf_nan=False)


class Splits(FiniteRecord):
    """Examples of each part; none is in two of them, unless the proof says ``forced``."""

    calibrate: int
    select: int
    verify: int


class Target(FiniteRecord):
    """What was asked for.

    Attributes:
        kind: ``agreement`` (at least ``value`` of the answers stay), ``parameters``, ``macs``, ``latency`` (at most
            ``value`` of what it was), or ``knee`` (nothing was asked for: the curve decides).
        value: a share; ``None`` for the knee.
    """

    kind: TargetKind
    value: float | None = None


class Gate(FiniteRecord):
    """What a network answers against the given one, on the same examples.

    Attributes:
        agreement: share of equal answers; of a regression 1 minus the relative squared error.
        agreement_low: one-sided 95 % Clopper-Pearson lower bound; ``None`` where answers are not right or wrong.
        examples: how many (answers, where there are several an example).
        max_abs_difference: largest difference of an output.
    """

    agreement: float
    agreement_low: float | None = None
    examples: int
    max_abs_difference: float | None = None


class PlanStep(FiniteRecord):
    """One step of the plan, in the order in which it was tried.

    Attributes:
        number: from 1.
        kind: what is done.
        tier: ``exact`` (the function stays what it is, by theorem) or ``approximate``.
        dimension: units that it takes away, by the name in ``graph.structure``; what else it acts on otherwise.
        units_before: of the dimension, before this step.
        removed: the units that go, counted in the given network.
        blocks: residual blocks that it drops or replaces.
        why: it was tried, in words.
        gate: on select examples after the step; ``None`` where it was not run.
        status: ``kept``, ``rolled back`` (tried, and it broke the tolerance) or ``refused`` (not tried).
        reason: of a step that was not kept, in words.
    """

    number: int
    kind: StepKind
    tier: Tier
    dimension: str
    units_before: int
    removed: tuple[int, ...] = ()
    blocks: tuple[str, ...] = ()
    why: str
    gate: Gate | None = None
    status: Literal["kept", "rolled back", "refused"]
    reason: str | None = None


class SiteSize(FiniteRecord):
    """Units of a site before and after."""

    name: str
    before: int
    after: int


class TradeOffPoint(FiniteRecord):
    """One network on the way from large to small, on select examples.

    Attributes:
        parameters, macs: of the network; multiply-adds are those of one example.
        agreement, agreement_low: as in ``Gate``.
        chosen: whether it is the one that was made; at most one is.
    """

    parameters: int
    macs: int
    agreement: float
    agreement_low: float | None = None
    chosen: bool = False


class Refusal(FiniteRecord):
    """Something that stays as it is, by name, with the reason."""

    what: str
    why: str


class ShrinkPlan(FiniteRecord):
    """What is done to a network to make it smaller: plain data, equal for equal weights, data and seed.

    Attributes:
        netcaliper: version that made it.
        model, model_fingerprint: the network that it fits, and no other one.
        data, data_fingerprint: what it was measured on.
        seed: of everything.
        splits: examples of each part.
        target: what was asked for.
        round_to: units that stay are a multiple of it, where that can be.
        tolerance: agreement on select examples that no step may fall below.
        steps: in order, those that were rolled back or refused included.
        removed: by dimension the units that go after all, ascending.
        dropped: residual blocks that go after all.
        sites: units before and after, in the order of the graph.
        curve: the trade-off, on select examples.
        refused: what stays as it is, with the reason.
        surgery: what else the surgery needs to make the small module again; written and read by it alone.
        why: this size, in words.
    """

    schema_version: int = PLAN_VERSION
    netcaliper: str = __version__
    model: str
    model_fingerprint: str
    data: str
    data_fingerprint: str
    seed: int
    splits: Splits
    target: Target
    round_to: int = 1
    tolerance: float
    steps: tuple[PlanStep, ...] = ()
    removed: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    sites: tuple[SiteSize, ...] = ()
    curve: tuple[TradeOffPoint, ...] = ()
    refused: tuple[Refusal, ...] = ()
    surgery: dict[str, JsonValue] = Field(default_factory=dict)
    why: str = ""


class ClassAgreement(FiniteRecord):
    """Verify examples that the given network puts into a class, and on how many of them the small one agrees."""

    agree: int
    examples: int


class TaskMetric(FiniteRecord):
    """How good both networks are on verify examples.

    Attributes:
        name: ``accuracy``; of tokens ``cross-entropy``, in nats; of a regression ``r2``.
        before, after: of the given and of the small network.
        difference: ``after - before``.
        low, high: its paired 95 % interval over examples.
    """

    name: Literal["accuracy", "cross-entropy", "r2"]
    before: float
    after: float
    difference: float
    low: float | None = None
    high: float | None = None


class Latency(FiniteRecord):
    """Measured time of the small network over that of the given one, in pairs of runs on the same inputs.

    Attributes:
        ratio: median over the pairs; below 1 the small one is faster.
        low, high: 95 % interval of the median.
        pairs: how many.
        before, after: median seconds of a call.
        batch: examples a call.
    """

    ratio: float
    low: float
    high: float
    pairs: int
    before: float | None = None
    after: float | None = None
    batch: int | None = None

    @property
    def faster(self) -> bool:
        """Whether the whole interval lies below 1."""
        return self.high < 1

    @property
    def slower(self) -> bool:
        """Whether the whole interval lies above 1."""
        return self.low > 1


class Memory(FiniteRecord):
    """Bytes of one network: of its weights and buffers, and the most that activations take in one call."""

    weights: int
    activations: int | None = None


class Baseline(FiniteRecord):
    """The same number of units of every site taken away by another rule, on the same verify examples.

    Attributes:
        name: ``random`` or ``magnitude`` (units of the smallest weights go).
        refitted: whether its consumers were fitted again as ours are.
        agreement, agreement_low: as in ``Gate``.
        metric: the task metric, if there is one.
    """

    name: Literal["random", "magnitude"]
    refitted: bool
    agreement: float
    agreement_low: float | None = None
    metric: float | None = None


class ShrinkProof(FiniteRecord):
    """What the small network answers against the given one on verify examples, which nothing was chosen on.

    Attributes:
        tier: ``proved`` (only exact steps were kept; ``float64_difference`` is the check) or ``verified``.
        verification_reads: how often verify examples were read: once, after the plan was frozen.
        task: what an answer is: a class, the next token, or a number (``agreement`` is 1 minus the relative squared
            error then).
        examples: verify examples (answers, where there are several an example).
        agreement: share of equal answers.
        agreement_low: one-sided 95 % Clopper-Pearson lower bound.
        disagreements: number of answers that differ.
        per_class: agreement by the class that the given network answers.
        max_abs_difference, mean_abs_difference: of the outputs (logits).
        float64_difference: largest difference of an output in float64 after the exact steps alone.
        metric: how good both are at the task, where labels are known.
        parameters_before, parameters_after, macs_before, macs_after: sizes; multiply-adds of one example.
        latency: measured in pairs.
        memory_before, memory_after: bytes.
        target_met: whether what was asked for is reached; with ``target_words``. The knee is always met.
        without_norm_statistics: the same network without statistics of BatchNorm estimated again, if they were.
        baselines: as many units taken away by another rule.
        forced: the verify examples were among those that the network was chosen on, because the user said so.
        device, threads, versions: where it was measured.
        command: that made it, if a command did.
        warnings: in words.
    """

    schema_version: int = PROOF_VERSION
    tier: Literal["proved", "verified"]
    verification_reads: int = 1
    task: Task = "classification"
    examples: int
    agreement: float
    agreement_low: float | None = None
    disagreements: int | None = None
    per_class: dict[str, ClassAgreement] = Field(default_factory=dict)
    max_abs_difference: float
    mean_abs_difference: float
    float64_difference: float | None = None
    metric: TaskMetric | None = None
    parameters_before: int
    parameters_after: int
    macs_before: int
    macs_after: int
    latency: Latency | None = None
    memory_before: Memory | None = None
    memory_after: Memory | None = None
    target_met: bool
    target_words: str
    without_norm_statistics: Gate | None = None
    baselines: tuple[Baseline, ...] = ()
    forced: bool = False
    device: str
    threads: int
    versions: dict[str, str]
    command: str | None = None
    warnings: tuple[str, ...] = ()


class ShrinkReading(FiniteRecord):
    """A plan with the proof of the network that it makes: what ``nc.load`` opens of a folder of a shrunk network."""

    plan: ShrinkPlan
    proof: ShrinkProof
