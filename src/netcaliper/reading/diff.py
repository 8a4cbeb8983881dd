"""What differs between two readings, site by site, as plain data.

Sites are matched by name. A difference is ``b - a``. Whether two readings may be compared at all is said in the notes:
another model, other data, another seed or mode make some differences meaningless, and the reader is told which.
"""

from math import isnan
from typing import TYPE_CHECKING

from netcaliper.reading.reading import Reading
from netcaliper.reading.schema import NetworkReading, Record, Share, SiteReading

if TYPE_CHECKING:
    import pandas as pd

NETWORK_COUNTS = ("parameters", "macs", "sites", "units", "needed_units")
NETWORK_SHARES = ("prunable", "redundant")
NETWORK_VALUES = ("agreement", "agreement_low", "path_length", "path_length_normalized")
SITE_COUNTS = (
    "units", "dead", "constant", "duplicate", "dependent", "absorbable", "needed", "always_on", "mixed", "always_off",
    "unconfirmed", "rows", "selective",
)  # fmt: skip
SITE_VALUES = ("correlated_neighbors", "mean_correlation")
SITE_SHARES = ("prunable", "redundant", "redundant_correlation", "linear_zone", "bending_share", "selectivity")
SITE_WORDS = ("kind", "op", "group", "refused", "reason")
ABLATION_WORDS = ("perturbation", "order", "task")
ABLATION_NUMBERS = ("threshold", "permutations", "censored", "count", "examples", "bootstrap_low", "bootstrap_high")
NEEDED_AT_WORDS = ("met", "reason")
NEEDED_AT_NUMBERS = (
    "target", "tau", "units", "units_before", "agreement", "agreement_low", "examples", "advantage", "advantage_low",
    "advantage_high",
)  # fmt: skip

_OWN_SHARES = frozenset(
    {
        *NETWORK_SHARES, *SITE_SHARES, "agreement", "agreement_low", "unexplained", "ablation.threshold",
        "ablation.bootstrap_low", "ablation.bootstrap_high", "needed_at_97.target", "needed_at_97.tau",
        "needed_at_97.agreement", "needed_at_97.agreement_low", "needed_at_97.advantage",
        "needed_at_97.advantage_low", "needed_at_97.advantage_high",
    }
)  # fmt: skip
SHARES = _OWN_SHARES | {f"twin_{name}" for name in _OWN_SHARES}
"""Fields that are shares, to be written as percentages, with differences in points."""


class Change(Record):
    """One number or word that differs.

    Attributes:
        field: its name in the reading; parts of a record inside as ``needed_at_97.units``, numbers of the twin as
            ``twin_needed``, and ``unexplained`` the largest over consumers.
        before, after: the values in a and in b; ``None`` where it was not measured.
        difference: ``after - before`` for numbers that both have.
        apart: for shares with intervals in both: whether the intervals are disjoint.
    """

    field: str
    before: bool | int | float | str | None
    after: bool | int | float | str | None
    difference: int | float | None = None
    apart: bool | None = None


class SiteDiff(Record):
    """The changes at one site that both readings have."""

    name: str
    changes: tuple[Change, ...]


class ReadingDiff(Record):
    """What differs between two readings.

    Attributes:
        before, after: the models' names.
        same: whether nothing at all differs in what was measured.
        notes: what makes the two hard to compare, in words.
        network: changes in the network's row.
        sites: the sites with changes, in the order of the first reading.
        unchanged: number of common sites without a change.
        added, removed: sites only in the second, only in the first.
    """

    before: str
    after: str
    same: bool
    notes: tuple[str, ...]
    network: tuple[Change, ...]
    sites: tuple[SiteDiff, ...]
    unchanged: int
    added: tuple[str, ...]
    removed: tuple[str, ...]

    def to_frame(self) -> "pd.DataFrame":
        """Return one row a change.

        Columns: scope (``network``, ``site``, ``added`` or ``removed``), site, field, before, after, difference, apart.
        """
        import pandas as pd

        columns = ["scope", "site", "field", "before", "after", "difference", "apart"]
        rows = [_row("network", None, change) for change in self.network]
        rows += [_row("site", site.name, change) for site in self.sites for change in site.changes]
        rows += [_row("added", name, None) for name in self.added] + [
            _row("removed", name, None) for name in self.removed
        ]
        frame = pd.DataFrame(rows, columns=columns, dtype="object")
        return frame.astype(
            {"scope": "string", "site": "string", "field": "string", "difference": "Float64", "apart": "boolean"}
        )


def diff(a: Reading, b: Reading) -> ReadingDiff:
    """Compare two readings site by site.

    Args:
        a: the reading before.
        b: the reading after.

    Returns:
        Every count, share and reason that differs, with notes on what makes the two hard to compare.
    """
    first = {site.name: site for site in a.sites}
    second = {site.name: site for site in b.sites}
    common = [name for name in first if name in second]
    ours, theirs = _twins(a), _twins(b)
    sites = [
        SiteDiff(
            name=name,
            changes=(
                *_site_changes(first[name], second[name]),
                *_of_twin(_site_changes(ours.get(name), theirs.get(name))),
            ),
        )
        for name in common
    ]
    changed = tuple(site for site in sites if site.changes)
    twins = _network_changes(a.twin and a.twin.network, b.twin and b.twin.network)
    network = (*_network_changes(a.network, b.network), *_of_twin(twins))
    added = tuple(name for name in second if name not in first)
    removed = tuple(name for name in first if name not in second)
    return ReadingDiff(
        before=a.provenance.model,
        after=b.provenance.model,
        same=not (network or changed or added or removed),
        notes=_notes(a, b),
        network=network,
        sites=changed,
        unchanged=len(common) - len(changed),
        added=added,
        removed=removed,
    )


def _twins(reading: Reading) -> dict[str, SiteReading]:
    return {} if reading.twin is None else {site.name: site for site in reading.twin.sites}


def _of_twin(changes: tuple[Change, ...]) -> tuple[Change, ...]:
    return tuple(change.model_copy(update={"field": f"twin_{change.field}"}) for change in changes)


def _site_changes(a: SiteReading | None, b: SiteReading | None) -> tuple[Change, ...]:
    before, after = (None if site is None else max(site.unexplained.values(), default=None) for site in (a, b))
    return (
        *_changes(a, b, words=SITE_WORDS, numbers=(*SITE_COUNTS, *SITE_VALUES), shares=SITE_SHARES),
        *_change("unexplained", before, after),
        *_ablation_changes(a, b),
    )


def _network_changes(a: NetworkReading | None, b: NetworkReading | None) -> tuple[Change, ...]:
    before, after = (None if network is None else network.needed_at_97 for network in (a, b))
    return (
        *_changes(a, b, numbers=(*NETWORK_COUNTS, *NETWORK_VALUES), shares=NETWORK_SHARES),
        *_ablation_changes(a, b),
        *_changes(before, after, words=NEEDED_AT_WORDS, numbers=NEEDED_AT_NUMBERS, inside="needed_at_97."),
    )


def _ablation_changes(
    a: SiteReading | NetworkReading | None, b: SiteReading | NetworkReading | None
) -> tuple[Change, ...]:
    before, after = (None if record is None else record.ablation for record in (a, b))
    return _changes(before, after, words=ABLATION_WORDS, numbers=ABLATION_NUMBERS, inside="ablation.")


def _changes(
    a: Record | None,
    b: Record | None,
    *,
    words: tuple[str, ...] = (),
    numbers: tuple[str, ...] = (),
    shares: tuple[str, ...] = (),
    inside: str = "",
) -> tuple[Change, ...]:
    """Compare two records field by field; one that is not there has nothing measured."""
    found: list[Change] = []
    for field in (*words, *numbers):
        found += _change(f"{inside}{field}", getattr(a, field, None), getattr(b, field, None))
    for field in shares:
        before: Share | None = getattr(a, field, None)
        after: Share | None = getattr(b, field, None)
        for change in _change(f"{inside}{field}", _value(before), _value(after)):
            found.append(change.model_copy(update={"apart": _apart(before, after)}))
    return tuple(found)


def _change(
    field: str, before: bool | int | float | str | None, after: bool | int | float | str | None
) -> tuple[Change, ...]:
    """Return the change of one field, if there is one."""
    if before == after or (isinstance(before, float) and isinstance(after, float) and isnan(before) and isnan(after)):
        return ()
    difference = None
    if isinstance(before, int | float) and isinstance(after, int | float) and not isinstance(after, bool):
        difference = after - before
    return (Change(field=field, before=before, after=after, difference=difference),)


def _apart(a: Share | None, b: Share | None) -> bool | None:
    if a is None or b is None or a.low is None or a.high is None or b.low is None or b.high is None:
        return None
    return a.high < b.low or b.high < a.low


def _notes(a: Reading, b: Reading) -> tuple[str, ...]:
    """Say what differs in how the two readings came about."""
    said = []
    facts = (
        ("model_fingerprint", "two different models or weights"),
        ("data_fingerprint", "different data: differences are of model and data together"),
        ("seed", "different seeds: other examples were drawn"),
        ("mode", "different modes: definitions differ, shares are not comparable"),
        ("examples", "different sample sizes: dead units and duplicates depend on them"),
        ("dtype", "different number formats: exact verdicts may differ by rounding"),
        ("device", "different devices: last digits may differ"),
    )  # fmt: skip
    for field, meaning in facts:
        before, after = getattr(a.provenance, field), getattr(b.provenance, field)
        if before != after:
            said.append(f"{meaning} ({_short(before)} and {_short(after)})")
    made = [None if reading.twin is None else (reading.twin.kind, reading.twin.seed) for reading in (a, b)]
    if made[0] != made[1]:
        said.append(f"different twins ({_short_twin(made[0])} and {_short_twin(made[1])})")
    if a.schema_version != b.schema_version:
        said.append(f"different schema versions ({a.schema_version} and {b.schema_version})")
    ours, theirs = a.provenance.versions, b.provenance.versions
    moved = [
        f"{key} {ours.get(key, 'none')} and {theirs.get(key, 'none')}"
        for key in sorted(ours | theirs)
        if ours.get(key) != theirs.get(key)
    ]
    if moved:
        said.append(f"different versions: {', '.join(moved)}")
    return tuple(said)


def _short(value: object) -> str:
    if isinstance(value, dict):
        return " + ".join(f"{number} {split}" for split, number in value.items())
    text = str(value)
    return text if len(text) <= 20 else f"{text[:16]}…"


def _short_twin(made: tuple[str, int] | None) -> str:
    return "none" if made is None else f"{made[0]} of seed {made[1]}"


def _value(share: Share | None) -> float | None:
    return None if share is None else share.value


def _row(scope: str, site: str | None, change: Change | None) -> dict[str, object]:
    fields = {} if change is None else change.model_dump()
    return {"scope": scope, "site": site, **fields}
