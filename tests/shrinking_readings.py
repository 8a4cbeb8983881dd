"""Hand-built plans and proofs of shrunk networks: consistent, and without a model, so that reports need no torch.

``halved()`` is a ResNet-20 on CIFAR-10 at half its parameters with one of each case; ``proved()`` one of which only
exact steps were kept; ``bare()`` what is always there, of a regression whose target is not met; ``untouched()`` one
from which nothing could be taken; ``wide(sites, units)`` is as large as wanted.
"""

from typing import Any, Literal

from netcaliper.reading.shrinking import (
    Baseline,
    ClassAgreement,
    Gate,
    Latency,
    Memory,
    PlanStep,
    Refusal,
    ShrinkPlan,
    ShrinkProof,
    ShrinkReading,
    SiteSize,
    Splits,
    Target,
    TaskMetric,
    TradeOffPoint,
)
from netcaliper.stats.intervals import clopper_pearson_lower

HOSTILE = 'layer2.<script>alert(1)</script>"&relu1'
SELECT, VERIFY = 2500, 5000
PARAMETERS, MACS = 272_474, 40_812_032
DISAGREE = 61
CHEAP = "least agreement lost per parameter"


def gate(differ: int, examples: int = SELECT, off: float | None = 1.9) -> Gate:
    return Gate(
        agreement=1 - differ / examples,
        agreement_low=clopper_pearson_lower(examples - differ, examples),
        examples=examples,
        max_abs_difference=off,
    )


def names() -> list[str]:
    """The inner sites of a ResNet-20 and its streams; one has a hostile name."""
    inner = [f"layer{stage}.{block}.relu1" for stage in (1, 2, 3) for block in range(3)]
    inner[4] = HOSTILE
    return ["relu", *inner, "layer2.stream", "layer3.stream"]


def sites() -> tuple[SiteSize, ...]:
    before = [16, *[16 << stage for stage in range(3) for _ in range(3)], 32, 64]
    after = [16, 8, 16, 8, 24, 16, 16, 32, 24, 16, 32, 56]
    return tuple(SiteSize(name=n, before=b, after=a) for n, b, a in zip(names(), before, after, strict=True))


def steps() -> tuple[PlanStep, ...]:
    at = names()
    return (
        PlanStep(number=1, kind="dead", tier="exact", dimension=at[1], units_before=16, removed=(3, 11),
                 why="never active on any calibrate example", gate=gate(0, off=0.0), status="kept"),
        PlanStep(number=2, kind="duplicate", tier="exact", dimension=at[7], units_before=64, removed=(5,),
                 why="a copy of unit 2 up to scale", gate=gate(0, off=2.4e-6), status="kept"),
        PlanStep(number=3, kind="absorb", tier="approximate", dimension=at[1], units_before=14,
                 removed=(0, 2, 4, 9, 12, 15), why=CHEAP, gate=gate(9), status="kept"),
        PlanStep(number=4, kind="absorb", tier="approximate", dimension=HOSTILE, units_before=32,
                 removed=tuple(range(0, 16, 2)), why=CHEAP, gate=gate(17), status="kept"),
        PlanStep(number=5, kind="absorb", tier="approximate", dimension=at[8], units_before=64,
                 removed=tuple(range(0, 40)), why=CHEAP, gate=gate(24), status="kept"),
        PlanStep(number=6, kind="drop block", tier="approximate", dimension="layer1.1", units_before=16,
                 blocks=("layer1.1",), why="idle under deletion in the reading of layers", gate=gate(212, off=7.1),
                 status="rolled back", reason="the agreement 91.5 % is below the tolerance 98.0 %"),
        PlanStep(number=7, kind="stream", tier="approximate", dimension=at[11], units_before=64,
                 removed=tuple(range(1, 17, 2)), why=CHEAP, gate=gate(27), status="kept"),
        PlanStep(number=8, kind="stream", tier="approximate", dimension=at[0], units_before=16, why="its turn",
                 status="refused", reason="its channels are read by a padded shortcut, whose zeros have no weights"),
        PlanStep(number=9, kind="norm statistics", tier="approximate", dimension="19 BatchNorms", units_before=0,
                 why="their inputs have changed", gate=gate(22), status="kept"),
    )  # fmt: skip


def curve() -> tuple[TradeOffPoint, ...]:
    found = []
    for k in range(24):
        share = 1 - 0.031 * k
        differ = round(22 * 1.37 ** (k - 16))
        made = gate(min(differ, SELECT))
        found.append(
            TradeOffPoint(
                parameters=round(PARAMETERS * share),
                macs=round(MACS * (1 - 0.026 * k)),
                agreement=made.agreement,
                agreement_low=made.agreement_low,
                chosen=k == 16,
            )
        )
    return tuple(found)


def plan(**more: Any) -> ShrinkPlan:
    fields: dict[str, Any] = {
        "model": "resnet20",
        "model_fingerprint": "a" * 64,
        "data": "cifar10:data (test)",
        "data_fingerprint": "d" * 64,
        "seed": 0,
        "splits": Splits(calibrate=2500, select=SELECT, verify=VERIFY),
        "target": Target(kind="parameters", value=0.51),
        "round_to": 8,
        "tolerance": 0.98,
        "steps": steps(),
        "removed": {
            names()[1]: (0, 2, 3, 4, 9, 11, 12, 15), HOSTILE: tuple(range(0, 16, 2)), names()[7]: (5,),
            names()[8]: tuple(range(0, 40)), names()[11]: tuple(range(1, 17, 2)),
        },
        "sites": sites(),
        "curve": curve(),
        "refused": (
            Refusal(what="relu", why="its channels are read by a padded shortcut, whose zeros have no weights"),
            Refusal(what="fc.<b>out", why="its units are the answers of the network"),
        ),
        "surgery": {"order": ["layer1.0.conv1"], "scale": 0.5},
        "why": "the largest network on the way that has at most 51 % of the parameters",
    }  # fmt: skip
    return ShrinkPlan(**(fields | more))


def proof(**more: Any) -> ShrinkProof:
    kinds: tuple[tuple[Literal["random", "magnitude"], bool, float], ...]
    kinds = (("random", False, 0.31), ("random", True, 0.944), ("magnitude", False, 0.412), ("magnitude", True, 0.951))
    fields: dict[str, Any] = {
        "tier": "verified",
        "examples": VERIFY,
        "agreement": 1 - DISAGREE / VERIFY,
        "agreement_low": clopper_pearson_lower(VERIFY - DISAGREE, VERIFY),
        "disagreements": DISAGREE,
        "per_class": {
            str(k): ClassAgreement(agree=500 - differ, examples=500)
            for k, differ in enumerate((4, 3, 9, 17, 7, 10, 4, 3, 2, 2))
        },
        "max_abs_difference": 3.41,
        "mean_abs_difference": 0.182,
        "float64_difference": 3.2e-14,
        "metric": TaskMetric(
            name="accuracy", before=0.9204, after=0.9186, difference=-0.0018, low=-0.0041, high=0.0005
        ),
        "parameters_before": PARAMETERS,
        "parameters_after": 137_210,
        "macs_before": MACS,
        "macs_after": 23_834_112,
        "latency": Latency(ratio=0.74, low=0.71, high=0.78, pairs=41, before=0.0412, after=0.0305, batch=64),
        "memory_before": Memory(weights=1_102_000, activations=50_331_648),
        "memory_after": Memory(weights=553_000, activations=38_797_312),
        "target_met": True,
        "target_words": "137,210 parameters are 50.4 %",
        "without_norm_statistics": gate(97, VERIFY),
        "baselines": tuple(
            Baseline(
                name=name, refitted=refitted, agreement=value, agreement_low=clopper_pearson_lower(
                    round(value * VERIFY), VERIFY
                ), metric=value - 0.05,
            )
            for name, refitted, value in kinds
        ),
        "device": "cpu",
        "threads": 2,
        "versions": {"netcaliper": "0.1.0", "torch": "2.13.0"},
        "command": "netcaliper shrink resnet20 --data cifar10:data --split test --parameters 0.51 --round-to 8 -o s",
    }  # fmt: skip
    return ShrinkProof(**(fields | more))


def halved() -> ShrinkReading:
    """Make a ResNet-20 at half its parameters."""
    return ShrinkReading(plan=plan(), proof=proof())


def proved() -> ShrinkReading:
    """Make one of which only exact steps were kept; its time did not change."""
    exact = steps()[:2]
    before = proof()
    return ShrinkReading(
        plan=plan(target=Target(kind="knee"), steps=exact, removed={}, sites=sites()[:3], curve=(), refused=(), why=""),
        proof=proof(
            tier="proved", agreement=1.0, agreement_low=clopper_pearson_lower(VERIFY, VERIFY), disagreements=0,
            per_class={}, baselines=(), without_norm_statistics=None, parameters_after=before.parameters_before - 873,
            macs_after=MACS - 590_000, latency=Latency(ratio=0.99, low=0.96, high=1.03, pairs=41),
            max_abs_difference=2.4e-6, mean_abs_difference=3e-7, metric=None, command=None,
        ),
    )  # fmt: skip


def bare() -> ShrinkReading:
    """Make a regression with nothing optional, forced, whose target is not met."""
    return ShrinkReading(
        plan=ShrinkPlan(
            model="mlp", model_fingerprint="b" * 64, data="teacher", data_fingerprint="c" * 64, seed=1,
            splits=Splits(calibrate=100, select=50, verify=50), target=Target(kind="latency", value=0.3), tolerance=0.9,
            steps=(PlanStep(number=1, kind="absorb", tier="approximate", dimension="hidden.0.act", units_before=8,
                            removed=(1,), why="least lost", status="kept"),),
        ),
        proof=ShrinkProof(
            tier="verified", task="regression", examples=50, agreement=0.982, max_abs_difference=0.4,
            mean_abs_difference=0.1, parameters_before=97, parameters_after=85, macs_before=88, macs_after=77,
            target_met=False, target_words="the smallest network that keeps the tolerance takes 0.81 of the time",
            forced=True, device="cpu", threads=1, versions={}, warnings=("an epoch of data is small",),
        ),
    )  # fmt: skip


def untouched() -> ShrinkReading:
    """Make one from which nothing could be taken away."""
    same = {"parameters_before": 97, "parameters_after": 97, "macs_before": 88, "macs_after": 88}
    made = bare()
    return ShrinkReading(
        plan=made.plan.model_copy(update={"steps": (), "refused": (Refusal(what="act", why="its reader is unknown"),)}),
        proof=made.proof.model_copy(update=same | {"agreement": 1.0}),
    )


def wide(number: int, units: int) -> ShrinkReading:
    """Make one with so many sites of so many units, a step each."""
    at = tuple(SiteSize(name=f"layers.{k}.mlp.act", before=units, after=units // 2) for k in range(number))
    gone = tuple(range(0, units, 2))
    done = tuple(
        PlanStep(
            number=k + 1, kind="absorb", tier="approximate", dimension=site.name, units_before=units, removed=gone,
            why=CHEAP, gate=gate(k), status="kept",
        )
        for k, site in enumerate(at)
    )  # fmt: skip
    return ShrinkReading(plan=plan(sites=at, steps=done, removed={site.name: gone for site in at}), proof=proof())
