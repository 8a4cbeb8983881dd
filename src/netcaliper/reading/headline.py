"""How wide the network really is, in words: one sentence for the headline, a few more for what is behind it."""

from collections import Counter
from collections.abc import Sequence

from netcaliper.reading.left_open import undefined, why_not_prunable
from netcaliper.reading.numerals import count, interval, percent, plural, points, units
from netcaliper.reading.schema import NeededAt, NetworkReading, ReadingRecord, SiteReading, Twin
from netcaliper.reading.verdicts import STANDS_IN, kept

STILL = 0.97
"""From this agreement on, a network with its spare units taken over *still* gives the same answers; below it, *only*
on so many examples. The target of ``needed_at_97``."""


def headline(reading: ReadingRecord) -> str:
    """Say in one sentence how wide the network is on paper, how wide really, and how wide it would be untrained.

    The count is an upper bound. The sentence says whether it was verified by taking all other units away at once, and
    on how many sites it rests; what the untrained twin shows just as well is no finding about training.
    """
    paper = f"{units(reading.network.units)} on paper"
    found = _needed(reading)
    if found is None:
        return f"{paper}; none of it could be judged."
    left, total, where = found
    if left >= total:
        return f"{paper}{where}{_nothing(reading)}{_beside(reading, left, total)}."
    notes = [percent(left / total) if total else "", *_caveats(reading)]
    if where:
        counted = f"{where}, with at most {count(left)} of {units(total)} needed"
    else:
        agreement = reading.network.agreement
        alone = "layer by layer, " if agreement is not None and agreement < STILL else ""
        counted = f"; {alone}at most {count(left)} of them {'is' if left == 1 else 'are'} needed"
    return f"{paper}{counted} ({', '.join(notes)}){_agrees(reading)}{_beside(reading, left, total)}."


def network_verdict(reading: ReadingRecord) -> str:
    """Say in a few sentences what the network is made of, on which examples, and what was left open."""
    network = reading.network
    examples = sum(number for split, number in reading.provenance.examples.items() if split != "verify")
    where = f"At {plural(network.sites, 'site')}, on {plural(examples, 'example')}"
    said: list[str] = []
    found = _needed(reading)
    if found is None:
        said.append(f"{where}, no site had enough rows or a resolved structure to be judged.")
    else:
        left, total, partly = found
        judged = [site for site in reading.sites if site.needed is not None]
        if left >= total:
            said.append(f"{where}, no unit is dead, constant, a copy or a combination of others{_nor(reading)}.")
        elif partly:
            most = f"{count(left)} of {units(total)} of the {plural(len(judged), 'site')} that could be judged"
            said.append(f"{where}, at most {most} are needed{_mix(judged, total - left)}.")
        else:
            # The units of a coupled group show at several sites and are counted once elsewhere.
            shown = Counter(site.group for site in reading.sites)
            inner = [site for site in judged if site.group is None or shown[site.group] == 1]
            said.append(f"{where}, at most {count(left)} of {units(total)} are needed{_mix(inner, total - left)}.")
    said += _needed_at(network.needed_at_97)
    said += _prunable(network, reading.twin, reading.warnings)
    open_sites = [site for site in reading.sites if site.needed is None]
    if open_sites:
        total = sum(site.units for site in open_sites)
        said.append(f"Not judged: {plural(len(open_sites), 'site')} with {units(total)}.")
    if reading.skipped:
        said.append(f"Not read: {plural(len(reading.skipped), 'part')} of the network.")
    return " ".join(said)


def twin_name(twin: Twin) -> str:
    """Name a twin by how it was made."""
    return "with its weights shuffled" if twin.kind == "shuffled" else "untrained"


def _needed(reading: ReadingRecord) -> tuple[int, int, str] | None:
    """Count needed units of all units; of the judged sites, and how many these are, where some were not judged."""
    network = reading.network
    if network.needed_units is not None:
        return network.needed_units, network.units, ""
    judged = [site for site in reading.sites if site.needed is not None]
    if not judged:
        return None
    left = sum(site.needed or 0 for site in judged)
    where = f"; {count(len(judged))} of {plural(len(reading.sites), 'site')} could be judged"
    return left, sum(site.units for site in judged), where


def _absorption(reading: ReadingRecord) -> tuple[int, int]:
    """Count the sites where absorption was judged, and all that were judged."""
    judged = [site for site in reading.sites if site.needed is not None]
    return sum(site.absorbable is not None for site in judged), len(judged)


def _caveats(reading: ReadingRecord) -> list[str]:
    """Say what makes the count less than it sounds."""
    absorbed, judged = _absorption(reading)
    said = []
    if not absorbed:
        said.append("after everything that is exactly removable")
    elif absorbed < judged:
        said.append(f"what the next layer can absorb was judged at {absorbed} of {plural(judged, 'site')}")
    if absorbed and reading.network.agreement is None and any(site.absorbable for site in reading.sites):
        said.append("not verified on held-back examples")
    return said


def _nothing(reading: ReadingRecord) -> str:
    """Say that no unit was found that can go, and how far that was looked for."""
    absorbed, judged = _absorption(reading)
    if not absorbed:
        return ", and nothing is exactly removable"
    partly = f" (what the next layer can absorb was judged at {absorbed} of {plural(judged, 'site')})"
    return f", and no unit was found that can go{partly if absorbed < judged else ''}"


def _agrees(reading: ReadingRecord) -> str:
    """Say what became of the answers when all units that can go went at once."""
    network = reading.network
    if network.agreement is None:
        return ""
    held_back = plural(reading.provenance.examples.get("verify", 0), "held-back example")
    still = network.agreement >= STILL
    joined, yet, only = ("and", "still ", "") if still else ("but", "", "only ")
    said = f", {joined} with all others taken over {'' if still else 'at once '}by these the network "
    if network.agreement_low is None:  # a regression has an error, and no bound
        return f"{said}is off by {percent(1 - network.agreement)} of the variance of its output on {held_back}"
    low = f" (at least {percent(network.agreement_low)} at 95 %)"
    if network.ablation is not None and network.ablation.task == "tokens":
        said += (
            f"{yet}gives the same next token in {only}{percent(network.agreement)} of the cases, on {held_back}{low}"
        )
    else:
        said += f"{yet}gives the same answer on {only}{percent(network.agreement)} of {held_back}{low}"
    target = network.needed_at_97
    if not still and target is not None and target.met and target.units is not None:
        said += f", while {count(target.units)} of {count(target.units_before)} keep {_target(target)} of its answers"
    return said


def _beside(reading: ReadingRecord, left: int, total: int) -> str:
    """Put the twin's count beside the network's."""
    if reading.twin is None:
        return ""
    if reading.network.needed_units is None:
        both = zip(reading.sites, reading.twin.sites, strict=True)
        counts = [twin.needed for site, twin in both if site.needed is not None]
        other = None if None in counts else sum(number or 0 for number in counts)
    else:
        other = reading.twin.network.needed_units
    if other is None:
        return ""
    number = {1: count(other), 0: "just as many", -1: f"even fewer, {count(other)}"}[(other > left) - (other < left)]
    why = ", so training is not what made it narrow" if other <= left < total else ""
    return f"; {twin_name(reading.twin)}, the same network needs {number}{why}"


def _mix(sites: Sequence[SiteReading], gone: int) -> str:
    """List what the removable units are, if these sites account for all of them."""
    names = {
        "dead": "never active",
        "constant": "constant",
        "duplicate": "copies",
        "dependent": "combinations of others",
        "absorbable": "that the next layer can absorb",
    }
    totals = {name: sum(getattr(site, name) or 0 for site in sites) for name in names}
    if sum(totals.values()) != gone:
        return ""
    *most, last = [f"{count(total)} {names[name]}" for name, total in totals.items() if total]
    return f"; the others are {', '.join(most)}{' and ' if most else ''}{last}"


def _nor(reading: ReadingRecord) -> str:
    absorbed, judged = _absorption(reading)
    return ", or absorbable by the next layer" if absorbed == judged else ""


def _prunable(network: NetworkReading, twin: Twin | None, warnings: Sequence[str]) -> list[str]:
    """Say how many random units can be taken away, in both networks."""
    share, ablation = network.prunable, network.ablation
    beside = ""
    if twin is not None and twin.network.prunable is not None:
        beside = f"; {twin_name(twin)}, {percent(twin.network.prunable.value)}"
    elif twin is not None and undefined(twin.warnings):
        beside = f"; {twin_name(twin)}, it is undefined"
    if share is None or ablation is None:
        why = why_not_prunable(warnings)
        return (
            [] if why is None else [f"The prunable share is {why if undefined(warnings) else f'open: {why}'}{beside}."]
        )
    sure = "" if share.low is None else f" ({interval(share)} over {ablation.permutations} orders)"
    order = "in random order" if ablation.order == "random" else "with the most correlated first"
    how = f"{STANDS_IN[ablation.perturbation]} {order}".capitalize()
    never = ""
    if ablation.censored:
        never = f"; with {count(ablation.censored)} of {ablation.permutations} orders that holds to the end"
    return [f"{how}, {percent(share.value)} of the units{sure} can go while {kept(ablation)}{never}{beside}."]


def _needed_at(found: NeededAt | None) -> list[str]:
    """Say how few units keep the target, and whether that beats chance."""
    if found is None:
        return []
    target = _target(found)
    if found.units is None or found.agreement is None:
        why = f": {found.reason.rstrip('.')}" if found.reason else ""
        return [f"How few units keep {target} of the answers is open{why}."]
    regression = found.agreement_low is None
    what = f"{target} of the variance of the output" if regression else f"{target} of the answers"
    low = "" if found.agreement_low is None else f", at least {percent(found.agreement_low)} at 95 %"
    shown = f"{percent(found.agreement)} of {plural(found.examples, 'held-back example')}{low}"
    if regression:
        shown = f"{percent(found.agreement)} on {plural(found.examples, 'held-back example')}"
    counts = f"{count(found.units)} of {units(found.units_before or found.units)}"
    if found.met:
        said = [f"To keep {what}, {counts} are enough ({shown})."]
    else:
        said = [f"On select examples {counts} keep {what}; this was not confirmed ({shown})."]
    if found.random:
        mean = sum(found.random) / len(found.random)
        beats = "" if found.advantage is None else f": the choice is worth {points(found.advantage)} points"
        if found.advantage is not None and found.advantage_low is not None and found.advantage_high is not None:
            beats += f" ({points(found.advantage_low, found.advantage_high)})"
            if found.advantage_low <= 0 <= found.advantage_high:
                beats += ", which is no clear difference"
        said.append(f"As many units chosen at random keep {percent(mean)}{beats}.")
    return said


def _target(found: NeededAt) -> str:
    return percent(found.target, digits=0)
