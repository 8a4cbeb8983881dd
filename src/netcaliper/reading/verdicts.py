"""Verdicts in words: what a count means, and what it does not.

A verdict never says more than was measured. *Dead* means never active on the examples that were read, with the firing
rate that those examples still allow; *needed* is the rest after everything exactly removable, so it is an upper bound.
"""

from netcaliper.reading.numerals import count, percent, plural, units
from netcaliper.reading.schema import ReadingRecord, SiteReading

PARTITION = ("dead", "constant", "duplicate", "dependent", "absorbable", "needed")
"""The classes of the partition, in order of precedence: every unit is counted in the first that holds."""


def removable(site: SiteReading) -> int | None:
    """Count the units of a site that can go without a change on the rows read; ``None`` if it was not judged."""
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
    return f"{_bends(site)}nothing exact to remove"


def explain(site: SiteReading) -> tuple[str, ...]:
    """Say in sentences what was found at a site and how sure it is; what was not measured is left out.

    Args:
        site: one row of a reading.

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
    if site.mixed is not None and site.always_on is not None and site.always_off is not None:
        said.append(
            f"States: {count(site.always_on)} always on, {count(site.mixed)} switch, "
            f"{count(site.always_off)} always off, over {plural(site.examples, 'example')}."
        )
    if site.linear_zone is not None:
        said.append(f"Exactly linear on {percent(site.linear_zone.value)} of the rows.")
    if site.bending_share is not None:
        said.append(f"Bending share {percent(site.bending_share.value)}: what a straight line leaves unexplained.")
    if site.refused:
        said.append(f"Consumers not resolved: {site.refused.rstrip('.')}.")
    return tuple(said)


def headline(reading: ReadingRecord) -> str:
    """Say in one sentence how wide the network is on paper and how much of that is exactly removable."""
    network = reading.network
    if network.needed_units is None:
        return f"{units(network.units)} on paper; none of it could be judged."
    gone = network.units - network.needed_units
    if gone <= 0:
        return f"{units(network.units)} on paper, and nothing is exactly removable."
    share = percent(gone / network.units)
    return f"{units(network.units)} on paper, {count(gone)} of them exactly removable ({share})."


def network_verdict(reading: ReadingRecord) -> str:
    """Say in a few sentences what the network is made of, on which examples, and what was left open."""
    network = reading.network
    examples = sum(number for split, number in reading.provenance.examples.items() if split != "verify")
    where = f"At {plural(network.sites, 'site')}, on {plural(examples, 'example')}"
    said: list[str] = []
    if network.needed_units is None:
        said.append(f"{where}, no site had enough rows or a resolved structure to be judged.")
    else:
        gone = network.units - network.needed_units
        if gone <= 0:
            said.append(f"{where}, no unit is dead, constant, a copy or a combination of others.")
        else:
            most = f"{count(network.needed_units)} of {units(network.units)}"
            said.append(f"{where}, at most {most} are needed{_mix(reading, gone)}.")
    open_sites = [site for site in reading.sites if site.needed is None]
    if open_sites:
        total = sum(site.units for site in open_sites)
        said.append(f"Not judged: {plural(len(open_sites), 'site')} with {units(total)}.")
    if reading.skipped:
        said.append(f"Not read: {plural(len(reading.skipped), 'part')} of the network.")
    return " ".join(said)


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
        parts.append((site.absorbable, "absorbable"))
    return parts


def _mix(reading: ReadingRecord, gone: int) -> str:
    """List what the removable units are, if the inner sites account for all (a group is counted once, elsewhere)."""
    inner = [site for site in reading.sites if site.group is None and site.needed is not None]
    names = {
        "dead": "never active",
        "constant": "constant",
        "duplicate": "copies",
        "dependent": "combinations of others",
        "absorbable": "absorbable",
    }
    totals = {name: sum(getattr(site, name) or 0 for site in inner) for name in names}
    if sum(totals.values()) != gone:
        return ""
    return ": " + ", ".join(f"{count(total)} {names[name]}" for name, total in totals.items() if total) + " can go"


def _not_judged(site: SiteReading) -> str:
    if site.reason:
        return f"{site.reason.rstrip('.')}: not judged"
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
