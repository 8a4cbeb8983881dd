"""The page of a shrunk network: what is smaller, what it costs, and what stays as it is and why."""

from dataclasses import dataclass

from netcaliper.reading.numerals import MISSING, count, percent, plural, short, span
from netcaliper.reading.shrinking import Latency, PlanStep, ShrinkReading
from netcaliper.reading.shrinking_headline import (
    all_warnings,
    headline,
    kept,
    lead,
    metric_value,
    sizes,
    speed_words,
    target_words,
    tier_words,
)
from netcaliper.report.figures import draw_all
from netcaliper.report.layers_tables import Table
from netcaliper.report.shrinking_tables import (
    amount,
    baselines_table,
    classes_table,
    curve_table,
    sites_table,
    sizes_table,
    where,
)
from netcaliper.report.skeleton import fill

MOST_ROWS = 300
"""Rows of one table; the plan and the proof have them all."""


def render(reading: ShrinkReading) -> str:
    """Render a plan and its proof as one HTML page without any outside reference; every word of it is escaped."""
    figures, sites = draw_all(reading, "container"), sites_table(reading)
    return fill(
        "shrinking.html",
        figures,
        kind="shrunk network",
        title=reading.plan.model,
        data=reading.plan.data,
        headline=headline(reading),
        lead=lead(reading),
        keys=_keys(reading),
        warnings=all_warnings(reading),
        charts_of=figures,
        sizes=Barred(sizes_table(reading), _size_bars(reading)),
        sites=None if sites is None else Barred(sites, _site_bars(reading)),
        curve=curve_table(reading),
        baselines=baselines_table(reading),
        classes=classes_table(reading),
        steps=_steps(reading),
        kept=kept(reading.plan),
        refused=[{"name": item.what, "reason": item.why} for item in reading.plan.refused],
        apart=_apart(reading),
        commands=_commands(reading),
        most=MOST_ROWS,
        tolerance=percent(reading.plan.tolerance),
        speed=_speed(reading.proof.latency),
        facts=_facts(reading),
    )


def _keys(reading: ShrinkReading) -> list[dict[str, str]]:
    """Choose the numbers at the top."""
    proof = reading.proof
    stay = f"{count(proof.parameters_after)} of {count(proof.parameters_before)}"
    work = f"{short(proof.macs_after)} of {short(proof.macs_before)} an example"
    keys = [
        _key("Parameters that stay", _share(proof.parameters_after, proof.parameters_before), stay),
        _key("Multiply-adds that stay", _share(proof.macs_after, proof.macs_before), work),
    ]
    if proof.task == "regression":
        note = f"of its variance, {count(proof.examples)} verify examples"
        keys.append(_key("Output off by", percent(1 - proof.agreement), note))
    else:
        low = "" if proof.agreement_low is None else f"at least {percent(proof.agreement_low)} at 95 %; "
        differ = MISSING if proof.disagreements is None else count(proof.disagreements)
        note = f"{low}{differ} of {count(proof.examples)} differ"
        keys.append(_key("Same answers", percent(proof.agreement), note))
    time = proof.latency
    if time is not None:
        note = f"{span(time.low, time.high)}, {plural(time.pairs, 'pair')} of runs"
        if not time.faster:
            note += "; slower" if time.slower else "; NOT measurably faster"
        keys.append(_key("Time", percent(time.ratio), note))
    if proof.metric is not None:
        name = "R²" if proof.metric.name == "r2" else proof.metric.name.capitalize()
        note = f"before {metric_value(proof.metric, proof.metric.before)}"
        keys.append(_key(name, metric_value(proof.metric, proof.metric.after), note))
    by = f"mean {proof.mean_abs_difference:.2g}"
    keys.append(_key("Outputs off by, at most", f"{proof.max_abs_difference:.2g}", by))
    sites = reading.plan.sites
    if sites:
        before, after = (sum(getattr(site, which) for site in sites) for which in ("before", "after"))
        keys.append(_key("Units that stay", count(after), f"of {count(before)} at {plural(len(sites), 'site')}"))
    if reading.plan.dropped:
        keys.append(_key("Blocks that went", count(len(reading.plan.dropped)), "residual blocks"))
    return keys


def _speed(latency: Latency | None) -> str:
    """Say where the time was measured, and whether it is less."""
    if latency is None:
        return "The time was not measured"
    return f"Measured side by side on this machine: {speed_words(latency)}"


def _share(after: int, before: int) -> str:
    return percent(after / before if before else None)


def _key(label: str, value: str, note: str) -> dict[str, str]:
    return {"label": label, "value": value, "note": note}


@dataclass(frozen=True)
class Barred:
    """A table with a bar in every row.

    Attributes:
        table: of text.
        bars: by row (length of the whole bar, part of it that stays), both in percent.
    """

    table: Table
    bars: list[tuple[float, float]]


def _size_bars(reading: ShrinkReading) -> list[tuple[float, float]]:
    found = [(100.0, _part(after, before)) for _, before, after, _, _ in sizes(reading.proof)]
    time = reading.proof.latency
    return found if time is None else [*found, (100.0, _part(time.ratio, 1))]


def _site_bars(reading: ShrinkReading) -> list[tuple[float, float]]:
    most = max((site.before for site in reading.plan.sites), default=1)
    return [(max(_part(site.before, most), 2.0), _part(site.after, site.before)) for site in reading.plan.sites]


def _part(part: int | float, whole: int | float) -> float:
    return round(min(100 * part / whole, 100.0), 2) if whole else 0.0


def _steps(reading: ShrinkReading) -> list[dict[str, str]]:
    return [
        {
            "number": str(step.number),
            "kind": step.kind,
            "tier": step.tier,
            "where": where(step),
            "status": step.status,
            "amount": amount(step),
            "agreement": percent(step.gate.agreement if step.gate else None, digits=2),
            "low": percent(step.gate.agreement_low if step.gate else None, digits=2),
            "why": _why(step),
        }
        for step in reading.plan.steps
    ]


def _why(step: PlanStep) -> str:
    """Say why a step was tried, and why it was not kept."""
    if step.reason is None:
        return step.why
    return f"{step.why.rstrip('.')}. {step.status.capitalize()}: {step.reason}"


def _apart(reading: ShrinkReading) -> str:
    """Say what the network is without estimating the statistics of BatchNorm again."""
    without = reading.proof.without_norm_statistics
    if without is None:
        return ""
    low = "" if without.agreement_low is None else f" (at least {percent(without.agreement_low)} at 95 %)"
    return (
        f"The statistics of BatchNorm were estimated again, which is reported apart: without that the same network has "
        f"an agreement of {percent(without.agreement)}{low}, with it {percent(reading.proof.agreement)}."
    )


def _commands(reading: ShrinkReading) -> list[tuple[str, str]]:
    """Give what made the network, and what makes it again from the plan."""
    again = ("Again, from the plan", "netcaliper apply MODEL plan.json --data DATA -o NEW")
    made = reading.proof.command
    return [again] if made is None else [("Made by", made), again]


def _facts(reading: ShrinkReading) -> list[tuple[str, str]]:
    plan, proof = reading.plan, reading.proof
    parts = plan.splits
    return [
        ("Model", f"{plan.model} (fingerprint {plan.model_fingerprint[:16]})"),
        ("Data", f"{plan.data} (fingerprint {plan.data_fingerprint[:16]})"),
        ("Examples", f"{count(parts.calibrate)} calibrate, {count(parts.select)} select, {count(parts.verify)} verify"),
        ("How sure", tier_words(proof)),
        ("Asked for", target_words(plan.target)),
        ("Rounded to", plural(plan.round_to, "unit")),
        ("Seed", str(plan.seed)),
        ("Device", f"{proof.device}, {plural(proof.threads, 'thread')}"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in sorted(proof.versions.items()))),
        ("Schema", f"plan {plan.schema_version}, proof {proof.schema_version}"),
    ]
