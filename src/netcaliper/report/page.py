"""One self-contained page: everything that a reading says, in one HTML file that asks for nothing from the network."""

import os
import tempfile
from os import PathLike
from pathlib import Path

from netcaliper.errors import OutputExists, ReadingError
from netcaliper.reading.headline import headline, network_verdict
from netcaliper.reading.layers_reading import LayersReading
from netcaliper.reading.left_open import all_warnings, reasons
from netcaliper.reading.linearization import LinearizationRecord
from netcaliper.reading.numerals import MISSING, count, plural
from netcaliper.reading.reading import Reading
from netcaliper.reading.shrinking import ShrinkReading
from netcaliper.reading.verdicts import verdict
from netcaliper.report import layers_page, linearization_page, shrinking_page
from netcaliper.report.enough import enough
from netcaliper.report.figures import draw_all
from netcaliper.report.key_numbers import key_numbers
from netcaliper.report.site_table import site_table
from netcaliper.report.skeleton import Layout, Section, fill

SECTIONS: tuple[tuple[str, str, Layout, tuple[str, ...]], ...] = (
    ("partition", "What the units of each site are", "stack", ("partition",)),
    ("prunable", "How many units can be taken away at random", "stack", ("ablation", "prunable", "ablation_sites")),
    ("states", "What the units do", "stack", ("unit_states", "bending")),
    ("paths", "How many nonlinear units lie on the way", "stack", ("path_length",)),
    ("spectra", "How much is said twice", "pair", ("spectrum_covariance", "spectrum_correlation")),
    ("r2", "What each unit adds", "stack", ("r2",)),
)
MOST_NAMES = 3


def render(reading: Reading | LayersReading | LinearizationRecord | ShrinkReading) -> str:
    """Render a reading as one HTML page without any outside reference.

    Every word of the reading is escaped. The chart library is inlined once, the charts are data.

    Args:
        reading: the record, of units, of layers, of a linearization or of a shrunk network; a model is never needed.

    Returns:
        The page.
    """
    if isinstance(reading, ShrinkReading):
        return shrinking_page.render(reading)
    if isinstance(reading, LinearizationRecord):
        return linearization_page.render(reading)
    return layers_page.render(reading) if isinstance(reading, LayersReading) else _units(reading)


def _units(reading: Reading) -> str:
    figures = {figure.name: figure for figure in draw_all(reading, "container")}
    sections = [
        Section(id, title, tuple(figures[name] for name in names if name in figures), layout)
        for id, title, layout, names in SECTIONS
    ]
    table = site_table(reading)
    return fill(
        "page.html",
        figures.values(),
        reading=reading,
        kind="reading",
        title=reading.provenance.model,
        data=reading.provenance.data,
        headline=headline(reading),
        lead=network_verdict(reading),
        keys=key_numbers(reading),
        enough=enough(reading.network.needed_at_97),
        warnings=all_warnings(reading),
        sections=[section for section in sections if section.figures],
        columns=table.heads,
        rows=table.rows,
        refusals=_refusals(reading),
        interval_note=_interval_note(reading),
        facts=_facts(reading),
    )


def write(
    reading: Reading | LayersReading | LinearizationRecord | ShrinkReading,
    path: str | PathLike[str],
    *,
    replace: bool = False,
) -> Path:
    """Write the page of a reading, all or nothing.

    Args:
        reading: the record.
        path: the HTML file; parents are made.
        replace: overwrite a file that is already there.

    Returns:
        The path.

    Raises:
        OutputExists: ``path`` exists and ``replace`` is false, or it is a folder.
        ReadingError: the disk refused.
    """
    target = Path(path)
    if target.is_dir():
        raise OutputExists(
            f"`path` must be a file, but {target} is a folder; name a file, such as {target / 'report.html'}."
        )
    if os.path.lexists(target) and not replace:
        raise OutputExists(f"`path` must not exist yet, but {target} does; choose another name, or pass replace=True.")
    content = render(reading).encode("utf-8", "replace")
    aside = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(aside, 0o644)
        os.replace(aside, target)
        aside = None
    except OSError as error:
        why = error.strerror or str(error)
        raise ReadingError(
            f"`path` {target} could not be written: {why}; nothing was changed there; "
            "free some space or choose another place."
        ) from error
    finally:
        if aside is not None:
            Path(aside).unlink(missing_ok=True)
    return target


def _refusals(reading: Reading) -> list[dict[str, str]]:
    found = [
        {"name": site.name, "outcome": "not judged", "reason": site.reason or verdict(site)}
        for site in reading.sites
        if site.needed is None
    ]
    found += [
        {"name": site.name, "outcome": "consumers not resolved", "reason": site.refused}
        for site in reading.sites
        if site.refused
    ]
    found += [{"name": item.name, "outcome": "not read", "reason": item.reason} for item in reading.skipped]
    return found + _left_open(reading)


def _left_open(reading: Reading) -> list[dict[str, str]]:
    """List what was left open at sites that were judged, sites with one reason together."""
    by_reason: dict[str, list[str]] = {}
    for site in reading.sites:
        for reason in reasons(site.reason) if site.needed is not None else ():
            by_reason.setdefault(reason, []).append(site.name)
    return [
        {
            "name": ", ".join(names) if len(names) <= MOST_NAMES else plural(len(names), "site"),
            "outcome": "left open",
            "reason": reason,
        }
        for reason, names in by_reason.items()
    ]


def _interval_note(reading: Reading) -> str:
    shares = [
        share
        for site in reading.sites
        for share in (
            site.prunable, site.redundant, site.redundant_correlation, site.linear_zone, site.bending_share,
            site.selectivity,
        )
    ]  # fmt: skip
    shares = [reading.network.prunable, reading.network.redundant, *shares]
    kinds = list(dict.fromkeys(share.over for share in shares if share is not None and share.over))
    if not kinds:
        return "None was computed in this run."
    return (
        "Taken over: "
        + "; ".join(kinds[:4])
        + ". It says how much the number would move with other examples or another order of the units, not with "
        "another training run."
    )


def _facts(reading: Reading) -> list[tuple[str, str]]:
    run, cost = reading.provenance, reading.cost
    reads = run.verification_reads
    splits = ", ".join(f"{count(number)} {split}" for split, number in run.examples.items())
    replay = ", ".join(f"{name}: {value:.2g}" for name, value in run.replay.items()) or MISSING
    facts = [
        ("Model", f"{run.model} (fingerprint {run.model_fingerprint[:16]})"),
        ("Data", f"{run.data} (fingerprint {run.data_fingerprint[:16]})"),
        ("Batch", run.batch),
        ("Examples", splits),
        ("Verify examples", {0: "not read", 1: "read once"}.get(reads, f"read {plural(reads, 'time')}")),
        ("Seed", str(run.seed)),
        *_twin_facts(reading),
        ("Mode", run.mode),
        ("Device", f"{run.device}, {run.dtype}"),
        ("Graph against model", f"largest difference {replay}"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in sorted(run.versions.items()))),
        ("Schema", str(reading.schema_version)),
    ]
    if cost.seconds:
        phases = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in sorted(cost.seconds.items()))
        facts.append(("Cost", f"{phases}; {cost.passes:.2f} forward passes"))
    return facts


def _twin_facts(reading: Reading) -> list[tuple[str, str]]:
    """Say how the twin was made."""
    twin = reading.twin
    if twin is None:
        return []
    made = "built anew by the model's own factory" if twin.kind == "factory" else "the model's own weights, shuffled"
    return [("Untrained twin", f"{made}, seed {twin.seed}")]
