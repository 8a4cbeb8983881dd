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
from netcaliper.reading.numerals import MISSING, count, interval, percent, plural
from netcaliper.reading.reading import Reading
from netcaliper.reading.schema import Share, SiteReading
from netcaliper.reading.verdicts import PARTITION, explain, headline, judged_share, network_verdict, removable, verdict
from netcaliper.report import palette
from netcaliper.report.figures import Figure, draw_all

SECTIONS = (
    ("partition", "The units of each site", ("partition",)),
    ("states", "What the units do", ("unit_states", "bending")),
    ("spectra", "How much is said twice", ("spectrum_covariance", "spectrum_correlation")),
    ("r2", "What each unit adds", ("r2",)),
)
COLUMNS = (
    ("#", "number", "place in the graph"),
    ("site", "name", "module path, operation, call"),
    ("op", "word", "operation"),
    ("partition", "bar", "the partition of the units; sorts by the share needed"),
    ("units", "number", "nominal width"),
    ("needed", "number", "the rest, after everything that is exactly removable"),
    ("verdict", "verdict", "in words"),
    ("dead", "number", "never active on the examples read"),
    ("const.", "number", "one value on every row"),
    ("copies", "number", "copies of another unit, up to scale and shift"),
    ("comb.", "number", "exact linear combinations of the units kept"),
    ("on", "number", "always on"),
    ("off", "number", "always off"),
    ("linear", "number", "share of rows in the exactly linear zone"),
    ("redundant", "number", "share of components not needed for 95 % of the variance, covariance"),
    ("corr.", "number", "the same of the correlation"),
    ("rows", "number", "rows behind the covariance measures"),
)


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
    environment = Environment(
        loader=PackageLoader("netcaliper.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    source = environment.loader
    assert source is not None
    style = source.get_source(environment, "page.css")[0].replace("{{ swatches }}", _swatches())
    return environment.get_template("page.html").render(
        reading=reading,
        version=netcaliper.__version__,
        headline=headline(reading),
        verdict=network_verdict(reading),
        keys=_keys(reading),
        sections=[section for section in sections if section.figures],
        columns=[{"label": label, "kind": kind, "help": words} for label, kind, words in COLUMNS],
        rows=[_row(site) for site in reading.sites],
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


def _keys(reading: Reading) -> list[dict[str, str]]:
    """Choose the numbers that stand at the top, each with the sample behind it."""
    network = reading.network
    judged = sum(site.needed is not None for site in reading.sites)
    keys = [
        {"label": "Units on paper", "value": count(network.units), "note": f"at {plural(network.sites, 'site')}"},
        {
            "label": "Needed, at most",
            "value": count(network.needed_units),
            "note": f"{judged} of {plural(network.sites, 'site')} judged",
        },
    ]
    if network.needed_units is not None:
        gone = network.units - network.needed_units
        share = percent(gone / network.units) if network.units else MISSING
        keys.append(
            {"label": "Exactly removable", "value": share, "note": f"{plural(gone, 'unit')} of {count(network.units)}"}
        )
    for label, share in (("Redundant", network.redundant), ("Prunable", network.prunable)):
        if share is not None:
            keys.append({"label": label, "value": percent(share.value), "note": _sampled(share)})
    switching = [site for site in reading.sites if site.mixed is not None]
    if switching:
        units = sum(site.units for site in switching)
        mixed = sum(site.mixed or 0 for site in switching)
        rows = max(site.examples for site in switching)
        value = percent(mixed / units) if units else MISSING
        keys.append(
            {
                "label": "Units that switch",
                "value": value,
                "note": f"of {count(units)} piecewise linear, {plural(rows, 'example')}",
            }
        )
    if network.agreement is not None:
        low = f"at least {percent(network.agreement_low)} at 95 %" if network.agreement_low is not None else ""
        keys.append({"label": "Agreement", "value": percent(network.agreement), "note": low})
    if network.path_length is not None:
        keys.append(
            {"label": "Path length", "value": f"{network.path_length:.2f}", "note": "nonlinear units on a mean path"}
        )
    keys.append(
        {
            "label": "Parameters",
            "value": _short(network.parameters),
            "note": f"{_short(network.macs)} multiply-adds an example",
        }
    )
    return keys


def _row(site: SiteReading) -> dict[str, Any]:
    counts = (site.dead, site.constant, site.duplicate, site.dependent, site.always_on, site.always_off)
    numbers = [_number(number) for number in counts]
    for share in (site.linear_zone, site.redundant, site.redundant_correlation):
        numbers.append({"text": percent(share.value if share else None), "sort": "" if share is None else share.value})
    numbers.append(_number(site.rows))
    share = judged_share(site)
    return {
        "site": site,
        "share": "" if share is None else share,
        "parts": _parts(site),
        "first": [_number(site.units), _number(site.needed)],
        "numbers": numbers,
        "verdict": verdict(site),
        "sentences": explain(site),
        "facts": _site_facts(site),
    }


def _number(number: int | None) -> dict[str, Any]:
    return {"text": count(number), "sort": "" if number is None else number}


def _parts(site: SiteReading) -> list[dict[str, Any]]:
    if site.needed is None or not site.units:
        return []
    counts = ((name, getattr(site, name)) for name in PARTITION)
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
    for label, share in (
        ("redundant", site.redundant),
        ("correlation", site.redundant_correlation),
        ("linear zone", site.linear_zone),
        ("bending share", site.bending_share),
    ):
        if share is not None:
            facts.append((label, f"{percent(share.value)}, {_sampled(share)}"))
    for consumer in site.consumers:
        through = f", through {', '.join(consumer.through)}" if consumer.through else ""
        facts.append(("read by", f"{consumer.name} ({consumer.op}, {plural(consumer.columns, 'column')}{through})"))
    if site.readers:
        facts.append(("also read by", ", ".join(site.readers)))
    facts += [("barrier", barrier) for barrier in site.barriers]
    facts += [("warning", warning) for warning in site.warnings]
    return facts


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
    return found + [{"name": item.name, "outcome": "not read", "reason": item.reason} for item in reading.skipped]


def _interval_note(reading: Reading) -> str:
    shares = [
        share
        for site in reading.sites
        for share in (site.redundant, site.redundant_correlation, site.linear_zone, site.bending_share)
        if share is not None and share.over
    ]
    if reading.network.redundant is not None and reading.network.redundant.over:
        shares.insert(0, reading.network.redundant)
    kinds = list(dict.fromkeys(share.over for share in shares))
    if not kinds:
        return "None was computed in this run."
    return (
        "Taken over: "
        + "; ".join(kinds[:4])
        + ". It says how much the number would move with other examples, not with another training run."
    )


def _facts(reading: Reading) -> list[tuple[str, str]]:
    run, cost = reading.provenance, reading.cost
    splits = ", ".join(f"{count(number)} {split}" for split, number in run.examples.items())
    replay = ", ".join(f"{name}: {value:.2g}" for name, value in run.replay.items()) or MISSING
    facts = [
        ("Model", f"{run.model} (fingerprint {run.model_fingerprint[:16]})"),
        ("Data", f"{run.data} (fingerprint {run.data_fingerprint[:16]})"),
        ("Batch", run.batch),
        ("Examples", splits),
        (
            "Verify examples",
            "not read" if run.verification_reads == 0 else f"read {plural(run.verification_reads, 'time')}",
        ),
        ("Seed", str(run.seed)),
        ("Mode", run.mode),
        ("Device", f"{run.device}, {run.dtype}"),
        ("Graph against model", f"largest difference {replay}"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in sorted(run.versions.items()))),
        ("Schema", str(reading.schema_version)),
    ]
    if cost.seconds:
        phases = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in cost.seconds.items())
        facts.append(("Cost", f"{phases}; {cost.passes:.2f} forward passes"))
    return facts


def _sampled(share: Share) -> str:
    """Write the interval and the sample size of a share."""
    rows = f"n = {count(share.sample)}"
    return rows if share.low is None or share.high is None else f"{interval(share)}, {rows}"


def _short(number: int) -> str:
    """Write a large number with three digits and a unit, e.g. ``155 k``, ``12.3 M``."""
    for size, suffix in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.3g} {suffix}" if number / size < 999.5 else f"{number / size:.0f} {suffix}"
    return count(number)
