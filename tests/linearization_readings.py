"""Small hand-built linearizations: consistent records without a model, so that reports are tested without torch.

``swept()`` holds one of each case: 20 sites, 7 penalties of which the strongest collapses and one more diverges, every
baseline, classes; ``bare()`` what is always there; ``coreless()`` a sweep whose reference is good for nothing;
``translated()`` one whose quality is no accuracy; ``wide(sites, units)`` is as large as wanted.
"""

from typing import Any

import numpy as np
from scipy.stats import binom

from netcaliper.reading.layers import Origin
from netcaliper.reading.linearization import BentSite, Core, Lengths, Lost, Point, Protocol, Quality
from netcaliper.reading.linearization_reading import LinearizationReading
from netcaliper.reading.schema import Cost, Skipped
from netcaliper.stats.intervals import clopper_pearson

HOSTILE = 'layer2.<script>alert(1)</script>"&relu'
VERIFY = 2500
CLASSES = 10
PENALIZED, FINETUNE = 10, 3
EPOCHS = PENALIZED + FINETUNE
OMEGAS = (0.0003, 0.0006, 0.001, 0.002, 0.004, 0.008, 0.03)
SHARES = (0.82, 0.61, 0.44, 0.27, 0.15, 0.07, 0.004)
ACCURACIES = (0.908, 0.91, 0.907, 0.905, 0.893, 0.851, 0.1)
REFERENCE = 0.909
CORE = 4
"""Index of the learned point that is the core: 27 % of the units bend."""


def quality(value: float, sample: int = VERIFY) -> Quality:
    """Make an accuracy with its exact interval."""
    right = round(value * sample)
    low, high = clopper_pearson(right, sample)
    over = f"95 % Clopper-Pearson over {sample:,} examples"
    return Quality(value=right / sample, low=low, high=high, over=over, sample=sample)


def sites(number: int = 20, units: int | None = None) -> tuple[BentSite, ...]:
    """Make the sites of a residual network; its sixth has a hostile name."""
    found = []
    for place in range(number):
        stage = min(3 * place // number, 2)
        name = HOSTILE if place == 5 else f"layer{stage + 1}.{place // 2}.relu{place % 2 + 1}"
        size = (32 >> stage) ** 2
        found.append(BentSite(name=name, op="relu", kind="activation", units=units or 16 << stage, positions=size))
    return tuple(found)


def bent(at: tuple[BentSite, ...], share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw alphas and what is active: late sites keep more, as published."""
    rng = np.random.default_rng(seed)
    alphas = []
    for place, site in enumerate(at):
        keep = np.clip(share * (0.25 + 1.5 * place / max(len(at) - 1, 1)), 0, 1)
        bends = np.zeros(site.units, bool)
        bends[rng.permutation(site.units)[: round(keep * site.units)]] = True
        alphas.append(np.where(bends, rng.normal(0.25, 0.3, site.units).clip(-0.9, 0.95), 1.0))
    alpha = np.concatenate(alphas).astype(np.float32)
    return alpha, alpha != 1


def sized(at: tuple[BentSite, ...], active: np.ndarray) -> dict[str, Any]:
    """Count what bends."""
    ends = np.cumsum([site.units for site in at])[:-1]
    counts = np.array([part.sum() for part in np.split(active, ends)])
    there = counts[counts > 0]
    shares = counts / [site.units for site in at]
    return {
        "units": len(active),
        "active": int(active.sum()),
        "share": float(active.mean()),
        "calls": int(sum(n * (site.positions or 0) for n, site in zip(counts, at, strict=True))),
        "calls_before": sum(site.units * (site.positions or 0) for site in at),
        "lengths": Lengths(mean=float(0.9 * shares.sum()), normalized=float(0.55 * shares.sum())),
        "effective_width": float(there.mean()) if len(there) else None,
        "effective_layers": float(there.sum() ** 2 / (there**2).sum()) if len(there) else None,
    }


def judged(value: float) -> dict[str, Any]:
    lost = REFERENCE - value
    return {
        "select": quality(value + 0.002),
        "verify": quality(value),
        "lost": Lost(value=lost, low=lost - 0.006, high=lost + 0.006),
        "agreement": max(0.97 - 2 * lost, 0.1),
    }


def by_class(value: float, seed: int) -> np.ndarray:
    """Make accuracies by class around a mean; the fourth class loses most, the last one has no example."""
    rng = np.random.default_rng(seed)
    found = np.clip(value + rng.normal(0, 0.01, CLASSES + 1), 0, 1)
    found[3] = max(value - 4 * (REFERENCE - value) - 0.1, 0)
    found[CLASSES] = np.nan
    return np.round(found * VERIFY / CLASSES) / (VERIFY / CLASSES)


def protocol(**more: Any) -> Protocol:
    fields: dict[str, Any] = {
        "granularity": "channel", "proximal": False, "schedule": "late", "penalized": PENALIZED, "finetune": FINETUNE,
        "optimizer": "sgd", "learning_rate": 0.01, "momentum": 0.9, "weight_decay": 5e-4, "rate": "cosine",
        "augment": "crop_flip", "precision": "float32", "quality": "accuracy", "chance": 0.1, "select": VERIFY,
        "verify": VERIFY, "seed": 0,
    }  # fmt: skip
    return Protocol(**(fields | more))


def assemble(points: list[Point], arrays: dict[str, np.ndarray], **more: Any) -> LinearizationReading:
    fields: dict[str, Any] = {
        "name": "resnet38",
        "fingerprint": "a" * 64,
        "origin": Origin(
            data="cifar10 (train)",
            data_fingerprint="d" * 64,
            seed=0,
            device="cpu",
            versions={"netcaliper": "0.1.0", "torch": "2.13.0"},
        ),
        "protocol": protocol(),
        "sites": sites(),
        "original": (quality(0.911), quality(0.906)),
        "points": tuple(points),
        "arrays": arrays,
        "cost": Cost(seconds={point.name: 60.0 for point in points}),
    }
    return LinearizationReading(**(fields | more))


def point(kind: str, name: str, value: float, facts: dict[str, Any], **more: Any) -> Point:
    """Make one training of 13 epochs."""
    fields = {"kind": kind, "name": name, "seed": 0, "epochs": EPOCHS, "parameters": 561_000}
    return Point(**(fields | facts | judged(value) | more))


def trained(share: float, seed: int, penalized: bool) -> dict[str, np.ndarray]:
    """Make the curves of a training."""
    epochs = np.arange(1, EPOCHS + 1)
    fall = 1 / (1 + np.exp(1.2 * (epochs - 5 - 2 * share)))
    curve = np.where(epochs > PENALIZED, share, share + (1 - share) * fall) if penalized else np.full(EPOCHS, share)
    return {"curve": curve, "loss": 0.3 + np.random.default_rng(seed).uniform(0, 0.05, EPOCHS)}


def swept(at: tuple[BentSite, ...] | None = None) -> LinearizationReading:
    """Make a whole sweep with every baseline."""
    where = sites() if at is None else at
    total = sum(site.units for site in where)
    whole = np.ones(total, bool)
    points = [point("unbent", "unbent reference", REFERENCE, sized(where, whole))]
    own: list[dict[str, np.ndarray]] = [
        {"alphas": np.zeros(total, np.float32), "active": whole} | trained(1.0, 0, penalized=False)
    ]
    for k, (omega, share, value) in enumerate(zip(OMEGAS, SHARES, ACCURACIES, strict=True)):
        alphas, active = bent(where, share, k)
        collapsed = value < 0.2
        why: dict[str, Any] = {}
        if collapsed:
            reason = (
                "the accuracy on select examples, 10.2 %, is no better than the 10.0 % of one constant answer; the "
                "weights after epoch 6, the last good ones, are kept"
            )
            why = {"status": "collapsed", "kept_epoch": 6, "reason": reason}
        name = f"learned, omega {omega:g}"
        facts = sized(where, active) | why
        points.append(point("learned", name, value, facts, omega=omega, penalized=PENALIZED))
        own.append({"alphas": alphas, "active": active} | trained(float(active.mean()), k, penalized=True))
    for k, (share, value) in enumerate(zip(SHARES[:6], ACCURACIES[:6], strict=True)):
        alphas, active = bent(where, share, k + 20)
        worse = value - 0.01 - 0.09 * (1 - share) ** 3
        name = f"random, as many as {OMEGAS[k]:g}"
        points.append(point("random", name, worse, sized(where, active), like=k + 1))
        own.append({"alphas": np.where(active, 0, 1).astype(np.float32), "active": active} | trained(share, k, False))
    for k in (2, 4):
        alphas, active = bent(where, SHARES[k], k + 40)
        name = f"one-shot, as many as {OMEGAS[k]:g}"
        points.append(point("one_shot", name, ACCURACIES[k] - 0.018, sized(where, active), like=k + 1))
        own.append({"alphas": np.where(active, 0, 1).astype(np.float32), "active": active})
    for omega, last, value in ((0.02, 14, 0.9), (0.06, 8, 0.872)):
        active = np.concatenate([np.full(site.units, place < last) for place, site in enumerate(where)])
        facts = sized(where, active)
        points.append(point("layer", f"layer, omega {omega:g}", value, facts, omega=omega, penalized=PENALIZED))
        curves = trained(float(active.mean()), 5, penalized=True)
        own.append({"alphas": np.where(active, 0.2, 1).astype(np.float32), "active": active} | curves)
    small = {"units": total // 3, "active": total // 3, "share": 1.0, "lengths": Lengths(normalized=3.2, mean=3.4)}
    points.append(point("shallow", "shallow 1", 0.878, small, parameters=558_000, epochs=EPOCHS, agreement=None))
    own.append({"loss": np.linspace(2, 0.4, EPOCHS)})
    reason = "`learning_rate` 0.01 makes the loss nan in epoch 3; the state after epoch 2 is kept in 19/state"
    fields = {"kind": "learned", "name": "learned, omega 0.3", "omega": 0.3, "seed": 0, "epochs": 2, "penalized": 2}
    points.append(Point(**fields, status="diverged", reason=reason, parameters=561_000, units=total))
    own.append({})
    for k, (found, arrays) in enumerate(zip(points, own, strict=True)):
        if found.verify is not None:
            arrays["class_accuracy"] = by_class(found.verify.value, k)
            arrays["class_examples"] = np.array([VERIFY // CLASSES] * CLASSES + [0])
        if found.lengths.normalized is not None and found.kind != "shallow":
            arrays["histogram"] = binom.pmf(
                np.arange(len(where) + 1), len(where), found.lengths.normalized / len(where)
            )
    found, smaller = points[CORE], points[CORE + 1]
    assert found.share is not None
    assert smaller.share is not None
    part = 0.6
    core = Core(
        point=CORE,
        next=CORE + 1,
        margin=0.01,
        share=found.share + part * (smaller.share - found.share),
        path_length=(found.lengths.normalized or 0) * (1 - part) + part * (smaller.lengths.normalized or 0),
        effective_width=(found.effective_width or 0) * (1 - part) + part * (smaller.effective_width or 0),
    )
    return assemble(
        points,
        {f"point/{k}/{name}": array for k, arrays in enumerate(own) for name, array in arrays.items()},
        sites=where,
        core=core,
        skipped=(Skipped(name="head.<b>gate", reason="hand-written x * sigmoid(x): write it as F.silu(x)"),),
        left_out=(Skipped(name="random, as many as 0.03", reason="none of the units bend"),),
        warnings=("learned, omega 0.3: the loss was not finite.",),
    )


def wide(number: int, units: int) -> LinearizationReading:
    return swept(sites(number, units))


def bare() -> LinearizationReading:
    """Make what is always there: the reference and one training, no walk, no classes, nothing smaller tried."""
    where = tuple(site.model_copy(update={"positions": None}) for site in sites(2))
    none = {"calls": None, "calls_before": None, "lengths": Lengths(reason="`graph` has an operation `fft`")}
    total = sum(site.units for site in where)
    whole = np.ones(total, bool)
    alphas, active = bent(where, 0.5, 1)
    points = [
        point("unbent", "unbent reference", REFERENCE, sized(where, whole) | none),
        point("learned", "learned, omega 0.001", 0.905, sized(where, active) | none, omega=0.001, penalized=PENALIZED),
    ]
    arrays = {"point/0/active": whole, "point/1/active": active, "point/1/alphas": alphas}
    core = Core(point=1, margin=0.01, share=float(active.mean()))
    return assemble(points, arrays, sites=where, core=core, original=None)


def coreless() -> LinearizationReading:
    """Make a sweep whose reference diverged."""
    facts = {"kind": "unbent", "name": "unbent reference", "seed": 0, "epochs": 0, "parameters": 10, "units": 112}
    reason = "`learning_rate` 9 makes the loss nan in epoch 1; no epoch was finished, so that no state is kept"
    reference = Point(**facts, status="diverged", reason=reason)
    return assemble(
        [reference],
        {},
        sites=sites(3),
        original=None,
        warnings=("There is no core network: the unbent reference diverged.",),
    )


def translated() -> LinearizationReading:
    """Make a sweep whose quality is BLEU: no interval, no classes, no answers that are right or wrong."""
    reading = swept()
    points = tuple(
        found.model_copy(
            update={
                "select": found.select and Quality(value=40 * found.select.value, sample=500),
                "verify": found.verify and Quality(value=40 * found.verify.value, sample=500),
                "lost": None,
                "agreement": None,
            }
        )
        for found in reading.points
    )
    core = reading.core
    assert core is not None
    return reading.model_copy(
        update={
            "points": points,
            "protocol": protocol(quality="BLEU", chance=None, select=500, verify=500),
            "core": core.model_copy(update={"margin": 0.5}),
            "arrays": {key: array for key, array in reading.arrays.items() if "class" not in key},
            "original": None,
        }
    )
