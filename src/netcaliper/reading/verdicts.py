"""Verdicts in words: what a count means, and what it does not.

A verdict never says more than was measured. *Dead* means never active on the examples that were read, with the firing
rate that those examples still allow; *needed* is the rest after everything that is exactly removable and, where that
was judged, after what the consumers can absorb at tau = .01: an upper bound.
"""

from netcaliper.reading.left_open import left_open, reasons
from netcaliper.reading.numerals import count, decimal, interval, percent, plural, span, units
from netcaliper.reading.schema import Ablation, Share, SiteReading

PARTITION = ("dead", "constant", "duplicate", "dependent", "absorbable", "needed")
"""The classes of the partition, in order of precedence: every unit is counted in the first that holds."""

STANDS_IN = {"zero": "set to zero", "mean": "held at their mean", "noise": "disturbed by noise"}
"""What happens to units that are taken away, by perturbation."""


def removable(site: SiteReading) -> int | None:
    """Count the units of a site that can go; ``None`` if it was not judged."""
    return None if site.needed is None else site.units - site.needed


def judged_share(site: SiteReading) -> float | None:
    """Return ``needed / units`` of a site, ``None`` if it was not judged."""
    return None if site.needed is None or site.units == 0 else site.needed / site.units


def verdict(site: SiteReading) -> str:
    """Say in one phrase what was found at a site, short enough for a cell of a table.

    Args:
        site: one row of a reading.

    Returns:
        For instance ``"34 of 64 units are copies or combinations of others"``, ``"every unit bends; nothing exact to
        remove"`` or ``"too few rows (812 for 1,024 units): not judged"``.
    """
    if site.needed is None:
        return _not_judged(site)
    parts = _losses(site)
    if parts:
        (amount, predicate), *others = parts
        text = f"{count(amount)} of {units(site.units)} {'is' if amount == 1 else 'are'} {predicate}"
        return "; ".join([text, *(f"{count(number)} {words}" for number, words in others)])
    return f"{_bends(site)}{'nothing exact to remove' if site.absorbable is None else 'none can go'}"


def explain(site: SiteReading, twin: SiteReading | None = None, *, shuffled: bool = False) -> tuple[str, ...]:
    """Say in sentences what was found at a site and how sure it is; what was not measured is left out.

    Args:
        site: one row of a reading.
        twin: the same site of the twin, if there is one.
        shuffled: whether that twin has the network's own weights, shuffled.

    Returns:
        Sentences in the order in which a reader needs them; the verdict is not repeated.
    """
    said: list[str] = []
    if site.dead:
        bound = "" if site.firing_bound is None else f" ({_fires(site.firing_bound)})"
        said.append(f"Dead: {units(site.dead)} never active on {plural(site.examples, 'example')}{bound}.")
    if site.constant:
        said.append(f"Constant: {units(site.constant)} with one value on every row read.")
    if site.duplicate:
        said.append(f"Duplicate: {units(site.duplicate)} that repeat another unit up to scale and shift.")
    if site.dependent:
        said.append(f"Dependent: {units(site.dependent)} that are exact linear combinations of the units kept.")
    if site.unconfirmed:
        said.append(
            f"{units(site.unconfirmed)} looked removable on the calibrate rows and failed on the select rows: kept."
        )
    said += _absorbable(site)
    if site.prunable is not None and site.ablation is not None:
        said.append(f"Prunable: {prunable(site.prunable, site.ablation, site.units)}.")
    said += _untrained(twin, shuffled)
    if site.mixed is not None and site.always_on is not None and site.always_off is not None:
        said.append(
            f"States: {count(site.always_on)} always on, {count(site.mixed)} switch, "
            f"{count(site.always_off)} always off, over {plural(site.examples, 'example')}."
        )
    if site.linear_zone is not None:
        said.append(f"Exactly linear on {percent(site.linear_zone.value)} of the rows.")
    if site.bending_share is not None:
        said.append(f"Bending share {percent(site.bending_share.value)}: what a straight line leaves unexplained.")
    said += _secondary(site)
    if site.refused:
        said.append(f"Consumers not resolved: {site.refused.rstrip('.')}.")
    if site.reason and (site.needed is not None or len(reasons(site.reason)) > 1):
        said.append(f"Left open: {site.reason.rstrip('.')}.")
    return tuple(said)


def prunable(share: Share, ablation: Ablation, total: int) -> str:
    """Say how many units can be taken away, how that was found and how sure it is.

    Args:
        share: the mean over permutations with its t interval (in paper mode the largest, without one).
        ablation: how it was done.
        total: number of units that there are.

    Returns:
        A phrase without a full stop at its end.
    """
    ranges = [f"{interval(share)} over {ablation.permutations} orders"] if share.low is not None else []
    if ablation.bootstrap_low is not None:
        found = span(ablation.bootstrap_low, ablation.bootstrap_high)
        ranges.append(f"{found} over {plural(ablation.examples, 'example')}")
    sure = f" ({'; '.join(ranges)}; 95 %)" if ranges else ""
    if ablation.perturbation == "noise":
        said = f"noise of {decimal(share.value)} standard deviations{sure}, while {kept(ablation)}"
    else:
        order = "in random order" if ablation.order == "random" else "the most correlated with a random one first"
        said = (
            f"{percent(share.value)}{sure}, so {count(ablation.count)} of {units(total)} can be "
            f"{STANDS_IN[ablation.perturbation]}, {order}, while {kept(ablation)}"
        )
    return "; ".join([said, *(warning.rstrip(".") for warning in ablation.warnings)])


def kept(ablation: Ablation) -> str:
    """Say what stays as it is while units are taken away."""
    if ablation.task == "regression":
        return f"the relative error stays within {percent(1 - ablation.threshold, digits=0)}"
    what = "next-token predictions" if ablation.task == "tokens" else "predictions"
    return f"{percent(ablation.threshold, digits=0)} of the {what} stay the same"


def _absorbable(site: SiteReading) -> list[str]:
    if site.absorbable is None:
        return []
    next_layer = "the next layer" if len(site.unexplained) <= 1 else "each of the next layers"
    if not site.absorbable:
        said = f"Absorbable: no unit; without one more, {next_layer} would lose more than 1 % of its variance"
    else:
        said = (
            f"Absorbable: {units(site.absorbable)} whose part {next_layer} can make up from the units that stay, at a "
            "loss of at most 1 % of its variance"
        )
    if site.unexplained:
        worst = max(sorted(site.unexplained), key=lambda name: site.unexplained[name])
        said += f" (largest loss {percent(site.unexplained[worst], digits=2)}, at {worst})"
    return [f"{said}."]


def _untrained(twin: SiteReading | None, shuffled: bool) -> list[str]:
    """Say what the same measures say of the twin."""
    if twin is None:
        return []
    said = []
    if twin.needed is not None:
        said.append(f"at most {count(twin.needed)} of {units(twin.units)} needed")
    if twin.prunable is not None:
        said.append(f"prunable {percent(twin.prunable.value)}")
    elif (left_open(twin.reason, "prunable") or "").startswith("undefined"):
        said.append("prunable undefined")
    if twin.redundant is not None:
        said.append(f"redundant {percent(twin.redundant.value)}")
    name = "Twin with shuffled weights" if shuffled else "Untrained twin"
    return [f"{name}: {', '.join(said)}."] if said else []


def _secondary(site: SiteReading) -> list[str]:
    """Say what the paper's secondary measures say."""
    said = []
    if site.selectivity is not None:
        some = "" if site.selective is None else f"; {count(site.selective)} of {units(site.units)} prefer a class"
        low, high = site.selectivity.low, site.selectivity.high
        sure = "" if low is None or high is None else f" ({decimal(low)} to {decimal(high)})"
        said.append(f"Class selectivity {decimal(site.selectivity.value)}{sure} on average{some}.")
    if site.correlated_neighbors is not None:
        mean = "" if site.mean_correlation is None else f"; mean |r| {decimal(site.mean_correlation)}"
        said.append(f"A unit has {site.correlated_neighbors:.1f} others with |r| of at least 0.5 on average{mean}.")
    return said


def _losses(site: SiteReading) -> list[tuple[int, str]]:
    """Pair every kind of removable unit that occurs with its predicate, the most telling first."""
    copies, combinations = site.duplicate or 0, site.dependent or 0
    words = {
        (True, True): "copies or combinations of others",
        (True, False): "copies of others" if copies != 1 else "a copy of another",
        (False, True): "combinations of others" if combinations != 1 else "a combination of others",
    }
    parts: list[tuple[int, str]] = []
    if copies or combinations:
        both = words[(copies > 0, combinations > 0)]
        parts.append((copies + combinations, both))
    if site.dead:
        parts.append((site.dead, "never active"))
    if site.constant:
        parts.append((site.constant, "constant"))
    if site.absorbable:
        parts.append((site.absorbable, f"absorbable by the next {'layers' if len(site.consumers) > 1 else 'layer'}"))
    return parts


def _not_judged(site: SiteReading) -> str:
    if site.reason:
        return f"{reasons(site.reason)[0].rstrip('.')}: not judged"
    if site.rows < site.units:
        return f"too few rows ({count(site.rows)} for {units(site.units)}): not judged"
    if site.refused:
        return f"not read: {site.refused.rstrip('.')}"
    return "not judged"


def _bends(site: SiteReading) -> str:
    if site.kind != "activation" or site.units == 0:
        return ""
    if site.mixed == site.units:
        return "every unit bends; "
    if site.always_on == site.units:
        return "every unit is always on, a linear layer; "
    if site.always_on:
        return f"{count(site.always_on)} of {units(site.units)} always on; "
    return ""


def _fires(bound: float) -> str:
    return f"fires on less than {percent(bound, digits=2)} of examples at 95 %"
