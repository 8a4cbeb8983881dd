"""One self-contained page: everything that a reading says, in one HTML file that asks for nothing from the network."""

import json
import os
import re
import tempfile
from dataclasses import dataclass
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any

import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

import netcaliper
from netcaliper.errors import OutputExists, ReadingError
from netcaliper.reading.headline import headline, network_verdict
from netcaliper.reading.left_open import all_warnings, reasons
from netcaliper.reading.numerals import MISSING, count, plural
from netcaliper.reading.reading import Reading
from netcaliper.reading.verdicts import verdict
from netcaliper.report import palette
from netcaliper.report.enough import enough
from netcaliper.report.figures import Figure, draw_all
from netcaliper.report.key_numbers import key_numbers
from netcaliper.report.site_table import site_table

SECTIONS = (
    ("partition", "What the units of each site are", ("partition",)),
    ("prunable", "How many units can be taken away at random", ("ablation", "prunable", "ablation_sites")),
    ("states", "What the units do", ("unit_states", "bending")),
    ("spectra", "How much is said twice", ("spectrum_covariance", "spectrum_correlation")),
    ("r2", "What each unit adds", ("r2",)),
)
MOST_NAMES = 3


@dataclass(frozen=True)
class Section:
    """Figures that belong together under one heading."""

    id: str
    title: str
    figures: tuple[Figure, ...]


def render(reading: Reading) -> str:
    """Render a reading as one HTML page without any outside reference.

    Every word of the reading is escaped. The chart library is inlined once, the charts are data.

    Args:
        reading: the record; a model is never needed.

    Returns:
        The page.
    """
    figures = {figure.name: figure for figure in draw_all(reading, "container")}
    sections = [
        Section(id, title, tuple(figures[name] for name in names if name in figures)) for id, title, names in SECTIONS
    ]
    table = site_table(reading)
    environment = Environment(
        loader=PackageLoader("netcaliper.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"breakable": _breakable, "together": _together}
    source = environment.loader
    assert source is not None
    style = source.get_source(environment, "page.css")[0].replace("{{ swatches }}", _swatches())
    return environment.get_template("page.html").render(
        reading=reading,
        version=netcaliper.__version__,
        headline=headline(reading),
        verdict=network_verdict(reading),
        keys=key_numbers(reading),
        enough=enough(reading.network.needed_at_97),
        warnings=all_warnings(reading),
        sections=[section for section in sections if section.figures],
        columns=table.heads,
        rows=table.rows,
        refusals=_refusals(reading),
        interval_note=_interval_note(reading),
        facts=_facts(reading),
        style=Markup(style),
        script=Markup(source.get_source(environment, "page.js")[0]),
        bundle=Markup(_bundle()) if figures else "",
        charts=Markup(script_json({name: figure.spec() for name, figure in figures.items()})) if figures else "",
    )


def write(reading: Reading, path: str | PathLike[str], *, replace: bool = False) -> Path:
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


def script_json(value: Any) -> str:
    """Write JSON that may stand inside a ``<script>`` element: no ``<``, ``>`` or ``&`` is left for a parser."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _breakable(name: str) -> Markup:
    """Let a long name break after its dots and underscores rather than anywhere; everything else is escaped."""
    return Markup(re.sub(r"([._])", r"\1<wbr>", str(escape(name))))


def _together(text: str) -> str:
    """Keep a number and its percent sign on one line."""
    return text.replace(" %", "\u00a0%")


@cache
def _bundle() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script that may stand inside a ``<script>`` element."""
    return (
        vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
        .replace("</script", "<\\/script")
        .replace("<!--", "<\\!--")
    )


def _swatches() -> str:
    return "\n".join(f"i.{name} {{ background: {color}; }}" for name, (_, color) in palette.PARTITION.items())


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
