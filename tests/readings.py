"""Small hand-built readings: consistent records without a model, so that reports are tested without torch.

``small()`` holds one of each case that a report must survive; ``wide(sites)`` is as long as wanted.
"""

from typing import Any

import numpy as np

from netcaliper.reading.reading import Reading
from netcaliper.reading.schema import (
    ConsumerRecord,
    Cost,
    NetworkReading,
    Provenance,
    Share,
    SiteReading,
    Skipped,
)

HOSTILE = 'features.<script>alert(1)</script>"&relu'
PIECEWISE = frozenset({"relu", "hardswish", "leaky_relu"})


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
    always: tuple[int, int] = (0, 0),
    positions: int = 1,
    examples: int = 1198,
    **more: Any,
) -> SiteReading:
    """Make a judged site; ``losses``: (dead, constant, duplicate, dependent), ``always``: (always on, always off)."""
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
        "needed": units - sum(losses),
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
        ("dead", "constant", "duplicate", "dependent", "needed", "redundant", "redundant_correlation", "unconfirmed",
         "always_on", "always_off", "mixed", "linear_zone", "bending_share")
    )  # fmt: skip
    return SiteReading.model_validate(site(name, **more).model_dump() | nothing | {"removable": {}, "reason": reason})


def arrays(index: int, record: SiteReading, seed: int) -> dict[str, np.ndarray]:
    """Make arrays that agree with the counts of a judged site."""
    draw = np.random.default_rng((seed, index))
    if record.needed is None:
        return {}
    counts = (record.dead, record.constant, record.duplicate, record.dependent, 0, record.needed)
    verdict = np.repeat(np.arange(6, dtype=np.int8), [count or 0 for count in counts])
    degenerate = np.isin(verdict, (0, 1))
    r2 = np.where(np.isin(verdict, (2, 3)), 1.0, 1 - draw.beta(1.5, 3, record.units) ** 2)
    rank = max(int((verdict == 5).sum()), 1)
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
    needed = sum(record.units if record.needed is None else record.needed for record in counted)
    judged = any(record.needed is not None for record in counted)
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
            needed_units=needed if judged else None,
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
