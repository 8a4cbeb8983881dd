"""Small hand-built readings: consistent records without a model, so that reports are tested without torch.

``small()`` holds one of each case that a report must survive; ``whole()`` everything that is measured by default, with
the twin; ``wide(sites)`` is as long as wanted.
"""

from typing import Any, TypeVar

import numpy as np

from netcaliper.reading.reading import Reading
from netcaliper.reading.schema import (
    Ablation,
    ConsumerRecord,
    Cost,
    NeededAt,
    NetworkReading,
    Provenance,
    Share,
    SiteReading,
    Skipped,
    Twin,
)
from netcaliper.stats.ablation_curve import PERMUTATIONS, STEPS, first_crossing, t_interval

HOSTILE = 'features.<script>alert(1)</script>"&relu'
PIECEWISE = frozenset({"relu", "hardswish", "leaky_relu"})


T = TypeVar("T")


def there(value: T | None) -> T:
    """Return what a hand-built reading is known to have."""
    assert value is not None
    return value


def share(value: float, sample: int, half: float = 0.02) -> Share:
    """Make a share with a symmetric interval, clipped to [0, 1]."""
    over = "95 % delete-one-fold jackknife over 10 folds of examples"
    return Share(value=value, low=max(value - half, 0.0), high=min(value + half, 1.0), over=over, sample=sample)


def site(
    name: str,
    *,
    units: int = 64,
    op: str = "relu",
    kind: str = "activation",
    losses: tuple[int, int, int, int] = (0, 0, 0, 0),
    absorbable: int | None = None,
    always: tuple[int, int] = (0, 0),
    positions: int = 1,
    examples: int = 1198,
    **more: Any,
) -> SiteReading:
    """Make a judged site.

    Args:
        losses: dead, constant, duplicate, dependent.
        absorbable: units that the consumers can absorb; ``None``: not judged.
        always: always on, always off.
    """
    dead, constant, duplicate, dependent = losses
    rows = more.pop("rows", min(examples * positions, max(20 * units, 4096)))
    fields: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "op": op,
        "units": units,
        "positions": positions,
        "examples": examples,
        "rows": rows,
        "select_rows": rows // 2,
        "consumers": (ConsumerRecord(name=f"{name}.next", op="linear", columns=units, units=units),),
        "dead": dead,
        "constant": constant,
        "duplicate": duplicate,
        "dependent": dependent,
        "absorbable": absorbable,
        "needed": units - sum(losses) - (absorbable or 0),
        "unexplained": {} if absorbable is None else {f"{name}.next": 0.0094 if absorbable else 0.0},
        "redundant": share(min(0.1 + (duplicate + dependent) / units, 1.0), rows),
        "redundant_correlation": share(min(0.05 + (duplicate + dependent) / units, 1.0), rows),
        "removable": {"1e-09": duplicate + dependent},
        "unconfirmed": 0,
    }
    if kind == "activation" and op in PIECEWISE:
        on, off = always
        fields |= {
            "always_on": on,
            "always_off": off,
            "mixed": units - on - off,
            "linear_zone": share((on + 0.4 * (units - on - off)) / max(units, 1), rows),
        }
    elif kind == "activation":
        fields |= {"bending_share": share(0.23, rows)}
    if dead:
        fields["firing_bound"] = 3.0 / examples
    return SiteReading.model_validate(fields | more)


def unjudged(name: str, reason: str, **more: Any) -> SiteReading:
    """Make a site whose partition was not judged."""
    nothing = dict.fromkeys(
        ("dead", "constant", "duplicate", "dependent", "absorbable", "needed", "redundant", "redundant_correlation",
         "unconfirmed", "always_on", "always_off", "mixed", "linear_zone", "bending_share")
    )  # fmt: skip
    return SiteReading.model_validate(
        site(name, **more).model_dump() | nothing | {"removable": {}, "unexplained": {}, "reason": reason}
    )


def arrays(index: int, record: SiteReading, seed: int) -> dict[str, np.ndarray]:
    """Make arrays that agree with the counts of a judged site."""
    draw = np.random.default_rng((seed, index))
    if record.needed is None:
        return {}
    counts = (record.dead, record.constant, record.duplicate, record.dependent, record.absorbable, record.needed)
    verdict = np.repeat(np.arange(6, dtype=np.int8), [count or 0 for count in counts])
    degenerate = np.isin(verdict, (0, 1))
    r2 = np.where(np.isin(verdict, (2, 3)), 1.0, 1 - draw.beta(1.5, 3, record.units) ** 2)
    rank = max(int((verdict >= 4).sum()), 1)
    spectrum = np.zeros(record.units)
    spectrum[:rank] = np.exp(-np.arange(rank) / (rank / 4 + 1)) * (2 + draw.random())
    made = {
        "verdict": verdict,
        "r2": np.where(degenerate, np.nan, r2),
        "mean": draw.normal(size=record.units),
        "std": np.where(degenerate, 0.0, draw.random(record.units) + 0.1),
        "spectrum": spectrum,
        "correlation_spectrum": np.sort(spectrum[: int((~degenerate).sum())] ** 0.7)[::-1],
        "duplicate_of": np.where(verdict == 2, record.units - 1, -1),
    }
    if record.linear_zone is not None:
        made["linear_share"] = draw.beta(2, 2, record.units)
    if record.bending_share is not None:
        made["bending"] = np.where(degenerate, np.nan, draw.beta(2, 6, record.units))
    return {f"{index}/{name}": array for name, array in made.items()}


def assemble(sites: tuple[SiteReading, ...], *, seed: int = 0, **more: Any) -> Reading:
    """Make a reading of these sites with matching network row, arrays and provenance."""
    inner = [record for record in sites if record.group is None]
    groups = {record.group: record for record in sites if record.group is not None}
    counted = [*inner, *groups.values()]
    total = sum(record.units for record in counted)
    judged = bool(counted) and all(record.needed is not None for record in counted)
    fields: dict[str, Any] = {
        "provenance": Provenance(
            model="zoo:cnn(widths=[64,64,128])",
            model_fingerprint="5f0c" * 16,
            data="digits",
            data_fingerprint="a1b2" * 16,
            seed=seed,
            mode="default",
            device="cpu",
            dtype="float32",
            batch="1 x 8 x 8",
            examples={"calibrate": 799, "select": 399, "verify": 599},
            verification_reads=0,
            replay={"batch 1": 0.0, "batch 2": 0.0, "batch 5": 1.2e-7},
            versions={"netcaliper": "0.1.0", "torch": "2.13.0", "numpy": "2.4.6"},
        ),
        "network": NetworkReading(
            parameters=154_762,
            macs=12_345_678,
            sites=len(sites),
            units=total,
            needed_units=sum(record.needed or 0 for record in counted) if judged else None,
            redundant=share(0.37, 4096) if judged else None,
        ),
        "sites": sites,
        "cost": Cost(seconds={"trace": 1.25, "read": 3.5, "measure": 0.75}, passes=1.02),
        "arrays": {
            key: array for index, record in enumerate(sites) for key, array in arrays(index, record, seed).items()
        },
    }
    return Reading.model_validate(fields | more)


def small(*, seed: int = 0) -> Reading:
    """One of each: every kind of removable unit, smooth, gate, stream, refused, too few rows, a hostile name."""
    sites = (
        site("conv1.relu", units=64, losses=(5, 2, 10, 24), always=(3, 5), positions=64),
        site("conv2.relu", units=64, always=(0, 0), positions=16),
        site(HOSTILE, units=32, losses=(0, 0, 1, 0), always=(1, 0), positions=16),
        site("blocks.0.mlp.act", units=96, op="gelu", losses=(0, 0, 0, 7), positions=16),
        site("blocks.1.mlp.act_fn_mul", units=48, op="swiglu", kind="gate", losses=(1, 0, 0, 0), positions=16),
        site("blocks.0.add", units=40, op="add", kind="stream", group="stream 1", losses=(0, 0, 0, 0), positions=16),
        site("blocks.1.add", units=40, op="add", kind="stream", group="stream 1", losses=(0, 0, 0, 0), positions=16),
        unjudged(
            "head.deep.hidden_layers.12.activation",
            "too few rows (812 for 1,024 units)",
            units=1024,
            rows=812,
            warnings=("812 rows for 1,024 units: spectra are biased, see the page on rows",),
        ),
        site("mixer.relu", units=16, always=(16, 0), consumers=(), barriers=("softmax mixes the units",),
             refused="aten.softmax mixes the units before a weight reads them"),
    )  # fmt: skip
    return assemble(
        sites,
        seed=seed,
        skipped=(
            Skipped(name="lstm", reason="the operation aten.lstm has no rule"),
            Skipped(name="<img src=x onerror=alert(2)>", reason="not reached by the example"),
        ),
        warnings=("head.deep.hidden_layers.12.activation: fewer rows than units, not judged",),
    )


def ablated(units: int, near: float, *, seed: int = 0, **more: Any) -> tuple[Share, Ablation, dict[str, np.ndarray]]:
    """Make the ablation of some units whose curves cross the threshold near a share; 1 and more: none crosses."""
    draw = np.random.default_rng((seed, units))
    levels = np.arange(STEPS + 1) / STEPS
    crossings = np.clip(near * (1 + 0.08 * draw.standard_normal(PERMUTATIONS)), 0.02, 0.98)[:, None]
    power = np.log(2 / 9) / np.log(crossings)
    agreement = 1 - (0.9 if near < 1 else 0.15) * levels**power
    shares, censored = first_crossing(agreement, 0.8)
    low, high = t_interval(shares) or (None, None)
    over = f"95 % t interval over {PERMUTATIONS} permutations"
    value = float(shares.mean())
    fields = {
        "perturbation": "mean",
        "order": "random",
        "task": "classification",
        "threshold": 0.8,
        "permutations": PERMUTATIONS,
        "censored": int(censored.sum()),
        "warnings": (
            f"{censored.sum()} of {PERMUTATIONS} permutations never fell below the threshold; they count as 1.",
        )
        * bool(censored.any()),
        "count": int(value * units),
        "examples": 399,
        "bootstrap_low": max(value - 0.03, 0.0),
        "bootstrap_high": min(value + 0.03, 1.0),
    }
    made = {
        "levels": levels,
        "agreement": agreement,
        "kappa": (agreement - 0.1) / 0.9,
        "divergence": 2 * (1 - agreement),
    }
    return (
        Share(value=value, low=low, high=high, over=over, sample=PERMUTATIONS),
        Ablation.model_validate(fields | more),
        {f"ablation_{name}": array for name, array in made.items()},
    )


LOPSIDED = "undefined: one class holds 93.0% of the predictions of the untouched network"


def network_of(sites: tuple[SiteReading, ...], **more: Any) -> NetworkReading:
    """Make the network's row of inner sites that were all judged."""
    return NetworkReading(
        parameters=154_762,
        macs=12_345_678,
        sites=len(sites),
        units=sum(record.units for record in sites),
        needed_units=sum(record.needed or 0 for record in sites),
        redundant=share(0.37, 4096),
        **more,
    )


def whole(sites: int = 4, *, seed: int = 0, lopsided: bool = False) -> Reading:
    """Everything that is measured by default, on a plain network of inner sites, with the untrained twin.

    Args:
        sites: how many.
        seed: of the numbers.
        lopsided: the untrained twin predicts one class nearly always, so its prunable share is undefined.
    """
    draw = np.random.default_rng((seed, sites))
    network: list[SiteReading] = []
    twin: list[SiteReading] = []
    made: dict[str, np.ndarray] = {}
    for index in range(sites):
        units = 32 * 2 ** (3 * index // max(sites - 1, 1))
        name = f"features.{index}.relu" if index < sites - 1 else "head.relu"
        losses = (units // 8, index % 2, units // 16, units // 16 + index % 3)
        absorbable = int(units * draw.uniform(0.2, 0.45))
        near, near_twin = draw.uniform(0.25, 0.7, 2)
        trained = site(name, units=units, losses=losses, absorbable=absorbable, always=(1, 0), positions=16)
        raw = site(name, units=units, losses=(index % 3, 0, 0, 0), absorbable=units // 5, always=(2, 1), positions=16)
        extra = {
            "correlated_neighbors": 1.5 + index,
            "mean_correlation": 0.12,
            "selectivity": share(0.32, 399),
            "selective": units - units // 4,
        }
        prunable, ablation, curves = ablated(units, near, seed=seed)
        network.append(trained.model_copy(update={"prunable": prunable, "ablation": ablation, **extra}))
        made |= {f"{index}/{key}": array for key, array in curves.items()}
        prunable, ablation, curves = ablated(units, near_twin, seed=seed + 1)
        if lopsided:
            prunable, ablation, curves = None, None, {}
            raw = raw.model_copy(update={"reason": f"prunable: {LOPSIDED}"})
        twin.append(raw.model_copy(update={"prunable": prunable, "ablation": ablation, **extra}))
        made |= {f"twin/{index}/{key}": array for key, array in (curves | _plain(arrays(index, raw, seed + 1))).items()}
    total = sum(record.units for record in network)
    prunable, ablation, curves = ablated(total, 0.41, seed=seed)
    made |= {f"network/{key}": array for key, array in curves.items()}
    stay = {record.name: int(0.9 * (record.needed or 0)) for record in network}
    at_97 = NeededAt(
        target=0.97, tau=0.0143, units=sum(stay.values()), units_before=total, by_site=stay, agreement=0.9866,
        agreement_low=0.9741, met=True, examples=599, random=(0.612, 0.581, 0.634), advantage=0.377,
        advantage_low=0.334, advantage_high=0.42,
    )  # fmt: skip
    row = network_of(
        tuple(network), prunable=prunable, ablation=ablation, agreement=0.9933, agreement_low=0.9847, needed_at_97=at_97
    )
    prunable, ablation, curves = ablated(total, 0.58, seed=seed + 1)
    warnings = ()
    if lopsided:
        prunable, ablation, curves = None, None, {}
        warnings = (f"network: prunable: {LOPSIDED}.",)
    made |= {f"twin/network/{key}": array for key, array in curves.items()}
    beside = network_of(
        tuple(twin), prunable=prunable, ablation=ablation,
    )  # fmt: skip
    plain = assemble(tuple(network), seed=seed)
    return plain.model_copy(
        update={
            "network": row,
            "twin": Twin(kind="factory", seed=seed + 1, network=beside, sites=tuple(twin), warnings=warnings),
            "arrays": plain.arrays | made,
            "provenance": plain.provenance.model_copy(update={"verification_reads": 1}),
            "cost": Cost(seconds={"trace": 1.25, "read": 3.5, "needed": 12.0, "prunable": 20.5}, passes=48.5),
        }
    )


def _plain(keyed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Drop the site from the keys."""
    return {key.split("/")[1]: array for key, array in keyed.items()}


def wide(sites: int = 240, *, seed: int = 0) -> Reading:
    """A deep network: many sites of growing width."""
    made = []
    for index in range(sites):
        units = 32 * 2 ** (4 * index // sites)
        losses = (index % 3, 0, index % 5, (index * 7) % (units // 2))
        made.append(
            site(
                f"layers.{index // 8}.block.{index % 8}.relu",
                units=units,
                losses=losses,
                always=(2, index % 3),
                positions=4,
            )
        )
    return assemble(tuple(made), seed=seed)


def assert_same(a: Reading, b: Reading) -> None:
    assert a.model_dump() == b.model_dump()
    assert a.cost == b.cost
    assert a.arrays.keys() == b.arrays.keys()
    for key, array in a.arrays.items():
        assert array.dtype == b.arrays[key].dtype
        np.testing.assert_array_equal(array, b.arrays[key])
