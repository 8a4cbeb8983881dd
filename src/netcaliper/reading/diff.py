"""What differs between two readings, site by site, as plain data.

Sites are matched by name. A difference is ``b - a``. Whether two readings may be compared at all is said in the notes:
another model, other data, another seed or mode make some differences meaningless, and the reader is told which.
"""

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
    "unconfirmed", "rows",
)  # fmt: skip
SITE_SHARES = ("redundant", "redundant_correlation", "linear_zone", "bending_share")
SITE_WORDS = ("kind", "op", "group", "refused", "reason")


class Change(Record):
    """One number or word that differs.

    Attributes:
        field: its name in the reading.
        before, after: the values in a and in b; ``None`` where it was not measured.
        difference: ``after - before`` for numbers that both have.
        apart: for shares with intervals in both: whether the intervals are disjoint.
    """

    field: str
    before: int | float | str | None
    after: int | float | str | None
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
    sites = [SiteDiff(name=name, changes=_site_changes(first[name], second[name])) for name in common]
    changed = tuple(site for site in sites if site.changes)
    network = _network_changes(a.network, b.network)
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


def _site_changes(a: SiteReading, b: SiteReading) -> tuple[Change, ...]:
    return _changes(a, b, words=SITE_WORDS, counts=SITE_COUNTS, shares=SITE_SHARES)


def _network_changes(a: NetworkReading, b: NetworkReading) -> tuple[Change, ...]:
    return _changes(a, b, words=(), counts=(*NETWORK_COUNTS, *NETWORK_VALUES), shares=NETWORK_SHARES)


def _changes(
    a: Record, b: Record, *, words: tuple[str, ...], counts: tuple[str, ...], shares: tuple[str, ...]
) -> tuple[Change, ...]:
    found = []
    for field in (*words, *counts):
        before, after = getattr(a, field), getattr(b, field)
        if before == after:
            continue
        change = Change(field=field, before=before, after=after)
        if field in counts and before is not None and after is not None:
            change = change.model_copy(update={"difference": after - before})
        found.append(change)
    for field in shares:
        before, after = getattr(a, field), getattr(b, field)
        if _value(before) == _value(after):
            continue
        change = Change(field=field, before=_value(before), after=_value(after))
        if before is not None and after is not None:
            difference = after.value - before.value
            change = change.model_copy(update={"difference": difference, "apart": _apart(before, after)})
        found.append(change)
    return tuple(found)


def _apart(a: Share, b: Share) -> bool | None:
    if a.low is None or a.high is None or b.low is None or b.high is None:
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


def _value(share: Share | None) -> float | None:
    return None if share is None else share.value


def _row(scope: str, site: str | None, change: Change | None) -> dict[str, object]:
    fields = {} if change is None else change.model_dump()
    return {"scope": scope, "site": site, **fields}
