"""The page of a linearization: how much of a network must bend, which units, and who loses."""

from dataclasses import dataclass

from netcaliper.reading.linearization import Core, LinearizationRecord
from netcaliper.reading.linearization_headline import all_warnings, headline, lead, quality
from netcaliper.reading.numerals import MISSING, count, decimal, percent, plural, short
from netcaliper.report.figures import draw_all
from netcaliper.report.figures.figure import Figure
from netcaliper.report.layers_tables import Table
from netcaliper.report.linearization_tables import (
    bounds,
    classes_table,
    epochs_table,
    failures,
    lengths_table,
    margin_words,
    points_table,
    sites_table,
)
from netcaliper.report.skeleton import fill

MOST_ROWS = 300
"""Rows of one table; the record has them all."""

SECTIONS: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    ("curve", "What it costs to bend less", ("linearization_curve",), "points"),
    ("core", "Which units still bend", ("bending_units", "alphas"), "sites"),
    ("lengths", "How long the paths are", ("path_lengths",), "lengths"),
    ("classes", "Who loses", ("class_losses",), "classes"),
    ("epochs", "When units became linear", ("active_over_epochs",), "epochs"),
)
"""Sections in order: (id, title, names of the figures, name of the table)."""


@dataclass(frozen=True)
class Part:
    """One section: figures, and the table that says the same.

    Attributes:
        id: for addresses.
        title: the heading.
        figures: in order.
        table: below them.
        said: sentences below the table.
    """

    id: str
    title: str
    figures: tuple[Figure, ...]
    table: Table | None
    said: tuple[str, ...]


def render(record: LinearizationRecord) -> str:
    """Render a linearization as one HTML page without any outside reference; every word of it is escaped."""
    figures = draw_all(record, "container")
    made = (
        points_table(record),
        sites_table(record),
        lengths_table(record),
        classes_table(record),
        epochs_table(record),
    )
    tables = {table.name: table for table in made if table is not None}
    parts = [
        Part(
            id,
            title,
            tuple(figure for figure in figures if figure.name in names),
            tables.get(table),
            tuple(failures(record)) if table == "points" else (),
        )
        for id, title, names, table in SECTIONS
    ]
    return fill(
        "linearization.html",
        figures,
        kind="linearization",
        title=record.name,
        data=record.origin.data,
        headline=headline(record),
        lead=lead(record),
        keys=_keys(record),
        warnings=all_warnings(record),
        parts=[part for part in parts if part.figures or part.table],
        most=MOST_ROWS,
        protocol=_protocol(record),
        missing=_missing(record),
        margin="the margin" if record.core is None else margin_words(record, record.core),
        shallow=any(point.kind == "shallow" for point in record.points),
        facts=_facts(record),
    )


def _keys(record: LinearizationRecord) -> list[dict[str, str]]:
    """Choose the numbers at the top."""
    units = sum(site.units for site in record.sites)
    core = record.core
    if core is None:
        return [_key("Units", count(units), f"at {plural(len(record.sites), 'site')}"), *_given(record)]
    point, reference = record.points[core.point], record.points[0]
    keys = [_key("Units that must bend", _at_most(core, percent(core.share)), _bracket(record, core))]
    if core.path_length is not None:
        before = decimal(reference.lengths.normalized)
        keys.append(_key("Path length", _at_most(core, decimal(core.path_length)), f"of {before} with all units"))
    if core.effective_width is not None:
        note = f"units a site; with all units {_tenth(reference.effective_width)}"
        keys.append(_key("Effective width", _tenth(core.effective_width), note))
    bend = f"with {percent(point.share)} of the units"
    name = f"{record.protocol.quality[:1].upper()}{record.protocol.quality[1:]}"
    keys += [
        _key(f"{name} of the core", _value(record, core.point), f"{_sure(record, core.point)}; {bend}"),
        _key(f"{name} unbent", _value(record, 0), _sure(record, 0)),
    ]
    if point.lost is not None and core.point:
        note = f"points; {100 * point.lost.low:.1f} to {100 * point.lost.high:.1f}, each one-sided 95 %"
        keys.append(_key("The core loses", f"{100 * point.lost.value:.1f}", note))
    if point.calls is not None and point.calls_before:
        note = f"of {short(point.calls_before)} an example; {bend}"
        keys.append(_key("Nonlinear calls", short(point.calls), note))
    if point.agreement is not None:
        keys.append(_key("Same answers", percent(point.agreement), "as the network that was given"))
    return keys + (_given(record) if len(keys) < 8 else [])


def _given(record: LinearizationRecord) -> list[dict[str, str]]:
    if record.original is None:
        return []
    found = record.original[1]
    return [
        _key("As it was given", quality(record, found.value), f"{record.protocol.quality} before any training here")
    ]


def _key(label: str, value: str, note: str) -> dict[str, str]:
    return {"label": label, "value": value, "note": note}


def _at_most(core: Core, value: str) -> str:
    """Mark an upper bound: nothing smaller was tried."""
    return f"≤ {value}" if core.next is None else value


def _bracket(record: LinearizationRecord, core: Core) -> str:
    """Say between which two trainings the share lies."""
    units = f"of {plural(sum(site.units for site in record.sites), 'unit')}"
    if core.next is None:
        return f"{units}; no smaller network was tried"
    enough, less = record.points[core.point].share, record.points[core.next].share
    return f"{units}; {percent(less)} were too few, {percent(enough)} enough"


def _sure(record: LinearizationRecord, place: int) -> str:
    """Write the interval of a point on verify examples, and the sample."""
    found = record.points[place].verify
    if found is None:
        return ""
    sample = plural(found.sample, "verify example") if found.sample else "verify examples"
    return sample if found.low is None else f"{bounds(record, found)}, {sample}"


def _value(record: LinearizationRecord, place: int) -> str:
    found = record.points[place].verify
    return quality(record, None if found is None else found.value)


def _tenth(value: float | None) -> str:
    return MISSING if value is None else f"{value:.1f}"


def _protocol(record: LinearizationRecord) -> list[tuple[str, str]]:
    """Say how the trainings were made."""
    made = record.protocol
    epochs = {point.epochs for point in record.points if point.kind != "shallow" and point.status != "diverged"}
    equal = (
        f"every training of the network had {plural(min(epochs), 'epoch')}"
        if len(epochs) == 1
        else "the trainings differ in their epochs: see the table"
    )
    start = (
        "the network was trained before it was given (late)"
        if made.schedule == "late"
        else f"{plural(made.start_epoch or 0, 'plain epoch')} before, the same for all trainings (early)"
    )
    strength = (
        "the penalty acts through half-thresholding" if made.proximal else "the penalty acts through its gradient"
    )
    targets = [
        f"it rose until {words}"
        for value, words in (
            (made.target_active, f"at most {percent(made.target_active)} of the units bent"),
            (made.target_path_length, f"the path length was at most {decimal(made.target_path_length)}"),
        )
        if value is not None
    ]
    return [
        (
            "Three parts",
            f"Training data ({record.origin.data}); {count(made.select)} select examples chose the core network; "
            f"{count(made.verify)} verify examples gave every other number. No example is in two of them.",
        ),
        (
            "Epochs",
            f"{made.penalized} with the penalty, then {made.finetune} with the alphas frozen; {equal}; {start}.",
        ),
        (
            "Penalty",
            f"omega times the sum of |1 − alpha|^½, one alpha a {made.granularity}; "
            f"{'; '.join([strength, *targets])}. Alphas within 0.01 of 1 are set to exactly 1 and stay there.",
        ),
        (
            "Optimizer",
            f"{made.optimizer}, learning rate {made.learning_rate:g} ({made.rate}), momentum {made.momentum:g}, weight "
            f"decay {made.weight_decay:g} (none on alphas), augmentation {made.augment}, {made.precision}.",
        ),
        ("Seed", f"{made.seed}, one training a point: intervals are over examples, not over trainings."),
    ]


def _missing(record: LinearizationRecord) -> list[dict[str, str]]:
    """List what was left as it is, and what was not made."""
    found = [{"name": item.name, "outcome": "left as it is", "reason": item.reason} for item in record.skipped]
    found += [{"name": item.name, "outcome": "not trained", "reason": item.reason} for item in record.left_out]
    lengths: dict[str, list[str]] = {}
    for point in record.points:
        if point.lengths.reason:
            lengths.setdefault(point.lengths.reason, []).append(point.name)
    return found + [
        {
            "name": names[0] if len(names) == 1 else plural(len(names), "training"),
            "outcome": "path length",
            "reason": reason,
        }
        for reason, names in lengths.items()
    ]


def _facts(record: LinearizationRecord) -> list[tuple[str, str]]:
    origin = record.origin
    facts = [
        ("Network", f"{record.name} (fingerprint {record.fingerprint[:16]})"),
        ("Data", f"{origin.data} (fingerprint {origin.data_fingerprint[:16]})"),
        ("Seed", str(origin.seed)),
        ("Device", origin.device),
        ("Versions", ", ".join(f"{name} {version}" for name, version in sorted(origin.versions.items()))),
        ("Schema", str(record.schema_version)),
    ]
    if record.cost.seconds:
        total = sum(record.cost.seconds.values())
        facts.append(("Cost", f"{total:,.0f} s for {plural(len(record.cost.seconds), 'training')}"))
    return facts
