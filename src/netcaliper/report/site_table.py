"""The table of sites on the page: what is in its columns, and what a row unfolds to."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from netcaliper.reading.headline import twin_name
from netcaliper.reading.numerals import count, decimal, percent, plural, sampled
from netcaliper.reading.reading import Reading
from netcaliper.reading.schema import Share, SiteReading
from netcaliper.reading.verdicts import PARTITION, explain, judged_share, removable, verdict

FIRST_COLUMNS = (
    ("#", "number", "place in the graph"),
    ("site", "name", "module path, operation, call"),
    ("op", "word", "operation"),
    ("partition", "bar", "the partition of the units; sorts by the share needed"),
)


ALWAYS = frozenset({"units", "needed"})


@dataclass(frozen=True)
class Column:
    """Numbers of the table of sites, by site.

    Attributes:
        label, help: what stands at its head, and what is shown when one points there.
        cells: by site the text and what it sorts by (empty where nothing was measured).
    """

    label: str
    help: str
    cells: tuple[tuple[str, int | float | str], ...]

    def measured(self) -> bool:
        """Whether any site has a number in it."""
        return any(sort != "" for _, sort in self.cells)


@dataclass(frozen=True)
class SiteTable:
    """The table, ready for the page.

    Attributes:
        heads: ``label``, ``kind`` and ``help`` of every column.
        rows: what ``page.html`` writes for every site.
    """

    heads: list[dict[str, str]]
    rows: list[dict[str, Any]]


def site_table(reading: Reading) -> SiteTable:
    """Lay out every site; columns in which nothing was measured are left out."""
    numbers = [column for column in _columns(reading) if column.measured() or column.label in ALWAYS]
    return SiteTable(_heads(numbers), [_row(reading, index, numbers) for index in range(len(reading.sites))])


def _columns(reading: Reading) -> list[Column]:
    """Lay out the numbers of all sites, those of the twin beside the network's."""
    sites = reading.sites
    twins: tuple[SiteReading | None, ...] = reading.twin.sites if reading.twin else (None,) * len(sites)
    name = twin_name(reading.twin) if reading.twin else ""
    stay = reading.network.needed_at_97.by_site if reading.network.needed_at_97 else {}
    at = percent(reading.network.needed_at_97.target, digits=0) if reading.network.needed_at_97 else ""

    def counts(label: str, field: str, words: str) -> Column:
        return Column(label, words, tuple(_count(getattr(site, field)) for site in sites))

    def shares(label: str, field: str, words: str) -> Column:
        return Column(label, words, tuple(_share(getattr(site, field)) for site in sites))

    def twin(field: str, kind: Callable[[Any], tuple[str, int | float | str]], words: str) -> Column:
        return Column("twin", f"{words}, {name}", tuple(kind(getattr(other, field, None)) for other in twins))

    return [
        counts("units", "units", "nominal width"),
        counts("needed", "needed", "at most: after everything that is exactly removable and, where judged, absorbable"),
        twin("needed", _count, "needed, at most"),
        Column(f"at {at}", f"units that stay when {at} of the answers are kept, one tau for all sites",
               tuple(_count(stay.get(site.name)) for site in sites)),
        counts("absorb.", "absorbable", "that the next layer can absorb at a loss of 1 % of its variance"),
        counts("dead", "dead", "never active on the examples read"),
        counts("const.", "constant", "one value on every row"),
        counts("copies", "duplicate", "copies of another unit, up to scale and shift"),
        counts("comb.", "dependent", "exact linear combinations of the units kept"),
        shares("prunable", "prunable", "share of random units of this site alone that can be taken away"),
        twin("prunable", _share, "prunable"),
        counts("on", "always_on", "always on"),
        counts("off", "always_off", "always off"),
        shares("linear", "linear_zone", "share of rows in the exactly linear zone"),
        shares("redundant", "redundant", "share of components not needed for 95 % of the variance, covariance"),
        twin("redundant", _share, "redundant"),
        shares("corr.", "redundant_correlation", "the same of the correlation"),
        Column("select.", "mean class selectivity of the units, on select rows",
               tuple(_index(site.selectivity.value if site.selectivity else None) for site in sites)),
        Column("neighb.", "other units with |r| of at least 0.5, on average over the units",
               tuple(_index(site.correlated_neighbors) for site in sites)),
        counts("rows", "rows", "rows behind the covariance measures"),
    ]  # fmt: skip


def _count(number: int | None) -> tuple[str, int | float | str]:
    return count(number), "" if number is None else number


def _share(share: Share | None) -> tuple[str, int | float | str]:
    return percent(share.value if share else None), "" if share is None else share.value


def _index(value: float | None) -> tuple[str, int | float | str]:
    return decimal(value), "" if value is None else value


def _heads(numbers: list[Column]) -> list[dict[str, str]]:
    """Lay out the heads of the table, as ``_row`` lays out its rows."""
    heads = [{"label": label, "kind": kind, "help": words} for label, kind, words in FIRST_COLUMNS]
    heads += [{"label": column.label, "kind": "number", "help": column.help} for column in numbers]
    heads.insert(len(FIRST_COLUMNS) + _before(numbers), {"label": "verdict", "kind": "verdict", "help": "in words"})
    return heads


def _before(numbers: list[Column]) -> int:
    """Count the numbers that stand before the verdict: up to those that can be absorbed."""
    return next((place for place, column in enumerate(numbers) if column.label == "dead"), len(numbers))


def _row(reading: Reading, index: int, numbers: list[Column]) -> dict[str, Any]:
    site, twin = reading.sites[index], reading.twin
    share = judged_share(site)
    cells = [{"text": text, "sort": sort} for text, sort in (column.cells[index] for column in numbers)]
    before = _before(numbers)
    other = twin.sites[index] if twin else None
    return {
        "site": site,
        "share": "" if share is None else share,
        "parts": _parts(site),
        "first": cells[:before],
        "numbers": cells[before:],
        "verdict": verdict(site),
        "sentences": explain(site, other, shuffled=twin is not None and twin.kind == "shuffled"),
        "facts": _site_facts(site),
    }


def _parts(site: SiteReading) -> list[dict[str, Any]]:
    if site.needed is None or not site.units:
        return []
    counts = ((name, getattr(site, name)) for name in reversed(PARTITION))
    return [{"name": name, "width": round(100 * number / site.units, 3)} for name, number in counts if number]


def _site_facts(site: SiteReading) -> list[tuple[str, str]]:
    facts = [("kind", site.kind)]
    if site.group:
        facts.append(("group", site.group))
    facts.append(("rows", f"{count(site.rows)} calibrate, {count(site.select_rows)} select"))
    facts.append(("layout", f"{plural(site.examples, 'example')}, {plural(site.positions, 'position')} each"))
    gone = removable(site)
    if gone is not None:
        facts.append(("removable", f"{count(gone)} of {count(site.units)}"))
    facts += [(f"at tolerance {key}", count(number)) for key, number in sorted(site.removable.items())]
    facts += [("loss", f"{percent(site.unexplained[name], digits=2)} at {name}") for name in sorted(site.unexplained)]
    if site.prunable is not None and site.prunable.over:
        facts.append(("prunable over", site.prunable.over))
    for label, share in (
        ("redundant", site.redundant),
        ("correlation", site.redundant_correlation),
        ("linear zone", site.linear_zone),
        ("bending share", site.bending_share),
    ):
        if share is not None:
            facts.append((label, f"{percent(share.value)}, {sampled(share)}"))
    for consumer in site.consumers:
        through = f", through {', '.join(consumer.through)}" if consumer.through else ""
        facts.append(("read by", f"{consumer.name} ({consumer.op}, {plural(consumer.columns, 'column')}{through})"))
    if site.readers:
        facts.append(("also read by", ", ".join(site.readers)))
    facts += [("barrier", barrier) for barrier in site.barriers]
    facts += [("warning", warning) for warning in site.warnings]
    return facts
