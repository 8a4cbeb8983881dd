"""The numbers at the top of the page, each with the sample behind it and the twin's beside it."""

from collections.abc import Sequence

from netcaliper.reading.headline import twin_name
from netcaliper.reading.left_open import undefined
from netcaliper.reading.numerals import MISSING, count, interval, percent, plural, sampled, short
from netcaliper.reading.reading import Reading
from netcaliper.reading.schema import NetworkReading


def key_numbers(reading: Reading) -> list[dict[str, str]]:
    """Choose the numbers that were measured.

    Returns:
        ``label``, ``value`` and ``note`` of each, in the order of the page.
    """
    network = reading.network
    other = reading.twin.network if reading.twin else None
    judged = sum(site.needed is not None for site in reading.sites)
    needed = f"{judged} of {plural(network.sites, 'site')} judged"
    if network.needed_units is not None and network.units:
        needed = f"{percent(network.needed_units / network.units)} of all"
    keys = [
        _key("Units on paper", count(network.units), f"at {plural(network.sites, 'site')}"),
        _key("Needed, at most", count(network.needed_units), needed, *_beside(reading, other and other.needed_units)),
    ]
    if network.agreement is not None:
        held_back = f"{count(reading.provenance.examples.get('verify', 0))} held-back examples"
        if network.agreement_low is None:
            keys.append(
                _key("Output off by, with only these", percent(1 - network.agreement), "of its variance", held_back)
            )
        else:
            low = f"at least {percent(network.agreement_low)} at 95 %"
            keys.append(_key("Same answers with only these", percent(network.agreement), low, held_back))
    at = network.needed_at_97
    if at is not None and at.met:
        label = f"Enough for {percent(at.target, digits=0)} of {'answers' if at.agreement_low else 'the variance'}"
        keys.append(_key(label, count(at.units), f"of {count(at.units_before)}"))
    beside = _prunable(other, reading.twin.warnings)[0] if other and reading.twin else None
    value, note = _prunable(network, reading.warnings)
    if value is not None:
        keys.append(_key("Prunable at random", value, note, *_beside(reading, beside)))
    if network.redundant is not None:
        theirs = percent(other.redundant.value) if other and other.redundant else None
        found = (percent(network.redundant.value), sampled(network.redundant))
        keys.append(_key("Redundant", *found, *_beside(reading, theirs)))
    switching = [site for site in reading.sites if site.mixed is not None]
    if switching:
        total = sum(site.units for site in switching)
        mixed = sum(site.mixed or 0 for site in switching)
        rows = max(site.examples for site in switching)
        value = percent(mixed / total) if total else MISSING
        keys.append(_key("Units that switch", value, f"of {count(total)} piecewise linear, {plural(rows, 'example')}"))
    if network.path_length is not None and network.path_length_normalized is not None:
        what = "nonlinear units on a random walk from input to output"
        paper = network.paths.nominal_normalized if network.paths else None
        theirs = other.path_length_normalized if other else None
        keys.append(
            _key(
                "Path length",
                f"{network.path_length_normalized:.2f}",
                what if paper is None else f"{what}, {paper:.2f} on paper",
                f"{network.path_length:.2f} if every path weighs the same",
                *_beside(reading, None if theirs is None else f"{theirs:.2f}"),
            )
        )
    macs = f"{short(network.macs)} multiply-adds an example"
    return [*keys, _key("Parameters", short(network.parameters), macs)]


def _key(label: str, value: str, *notes: str) -> dict[str, str]:
    return {"label": label, "value": value, "note": "; ".join(note for note in notes if note)}


def _beside(reading: Reading, value: int | str | None) -> list[str]:
    """Write what the twin has, if it has it."""
    if reading.twin is None or value is None:
        return []
    return [f"{twin_name(reading.twin)} {count(value) if isinstance(value, int) else value}"]


def _prunable(network: NetworkReading, warnings: Sequence[str]) -> tuple[str | None, str]:
    """Write the prunable share and its interval, or that it is undefined."""
    share, ablation = network.prunable, network.ablation
    why = undefined(warnings)
    if share is None or ablation is None:
        return (None, "") if why is None else ("undefined", why.removeprefix("undefined: "))
    return percent(
        share.value
    ), "" if share.low is None else f"{interval(share)}, {plural(ablation.permutations, 'order')}"
