"""What a plan and its proof say, in sentences: how much smaller, how much the same, and whether it is faster."""

from netcaliper.reading.numerals import MISSING, byte_size, count, percent, plural, short
from netcaliper.reading.shrinking import Latency, ShrinkPlan, ShrinkProof, ShrinkReading, Target, TaskMetric

TARGET_WORDS = {
    "agreement": "at least {} of the answers stay",
    "parameters": "at most {} of the parameters",
    "macs": "at most {} of the multiply-adds",
    "latency": "at most {} of the time",
}


def headline(reading: ShrinkReading) -> str:
    """Say in one sentence what is smaller, how much stays the same, and whether it is faster."""
    plan, proof = reading.plan, reading.proof
    smaller = proof.parameters_before - proof.parameters_after
    if smaller == 0 and not any(step.status == "kept" for step in plan.steps):
        return f"{plan.model}: nothing could be taken away; it is what it was."
    fewer = percent(abs(smaller) / proof.parameters_before if proof.parameters_before else None)
    size = _from_to(proof.parameters_before, proof.parameters_after)
    said = f"{plan.model}: {fewer} {'fewer' if smaller >= 0 else 'more'} parameters ({size})"
    but = "" if proof.latency is None or proof.latency.faster else "but "
    return f"{said}, {same_words(proof)}, {but}{speed_words(proof.latency)}."


def lead(reading: ShrinkReading) -> str:
    """Say what stands below the headline: the tier, the target, why this size, the task, and the baselines."""
    plan, proof = reading.plan, reading.proof
    parts = [tier_words(proof)]
    met = "met" if proof.target_met else "NOT met"
    if plan.target.kind == "knee":
        parts.append("No size was asked for.")
    else:
        parts.append(f"Asked for: {target_words(plan.target)}; {met}: {proof.target_words.rstrip('.')}.")
    if plan.why:
        parts.append(f"{plan.why[:1].upper()}{plan.why[1:].rstrip('.')}.")
    if proof.metric is not None:
        parts.append(f"{metric_words(proof.metric)}.")
    best = max((found.agreement for found in proof.baselines), default=None)
    if best is not None:
        parts.append(f"Of as many units taken away by another rule, the best has an agreement of {percent(best)}.")
    return " ".join(parts)


def same_words(proof: ShrinkProof) -> str:
    """Say how much is the same on verify examples, with the lower bound."""
    if proof.task == "regression" or proof.disagreements is None:
        return f"its output off by {percent(1 - proof.agreement)} of its variance on {_examples(proof)}"
    what = "the same next token" if proof.task == "tokens" else "the same answer"
    low = "" if proof.agreement_low is None else f" (at least {percent(proof.agreement_low)} at 95 %)"
    if proof.disagreements == 0:
        return f"{what} on all {_examples(proof)}{low}"
    return f"{what} on {count(proof.examples - proof.disagreements)} of {_examples(proof)}{low}"


def speed_words(latency: Latency | None) -> str:
    """Say whether the small network is faster: only if the whole interval says so."""
    if latency is None:
        return "its time not measured"
    if latency.faster:
        return f"{1 / latency.ratio:.2f} times as fast"
    time = f"{latency.ratio:.2f} times the time, {latency.low:.2f} to {latency.high:.2f}"
    return f"slower ({time})" if latency.slower else f"NOT measurably faster ({time})"


def tier_words(proof: ShrinkProof) -> str:
    """Say how sure it is, and on what."""
    reads = {0: "never read", 1: "read once, after the plan was frozen"}
    read = reads.get(proof.verification_reads, f"read {plural(proof.verification_reads, 'time')}")
    held = "examples that it was also chosen on (forced)" if proof.forced else f"held-back examples ({read})"
    if proof.tier == "proved":
        off = "" if proof.float64_difference is None else f" (off by {proof.float64_difference:.1g} in float64)"
        return f"Proved: every step is exact{off}, and checked on {held}."
    return f"Verified on {held}."


def target_words(target: Target) -> str:
    """Say what was asked for."""
    if target.value is None or target.kind == "knee":
        return "the knee of the curve"
    return TARGET_WORDS[target.kind].format(f"{100 * target.value:g} %")


def metric_words(metric: TaskMetric) -> str:
    """Say how good both networks are, with the paired interval of the difference."""
    name = "R²" if metric.name == "r2" else metric.name
    before, after = metric_value(metric, metric.before), metric_value(metric, metric.after)
    bounds = (
        "" if metric.low is None or metric.high is None else f", {_change(metric, metric.low, metric.high)} at 95 %"
    )
    return (
        f"{name[:1].upper()}{name[1:]} {before} before and {after} after ({_change(metric, metric.difference)}{bounds})"
    )


def metric_value(metric: TaskMetric, value: float | None) -> str:
    """Write a value of the task metric: accuracy as a percentage, others as they are."""
    if value is None:
        return MISSING
    return percent(value, digits=2) if metric.name == "accuracy" else f"{value:.4g}"


def sizes(proof: ShrinkProof) -> list[tuple[str, int, int, str, str]]:
    """List what is measured before and after: (what, before, after, before in words, after in words)."""
    found: list[tuple[str, int, int, str, str]] = [
        (what, before, after, count(before), count(after))
        for what, before, after in (
            ("parameters", proof.parameters_before, proof.parameters_after),
            ("multiply-adds an example", proof.macs_before, proof.macs_after),
        )
    ]
    if proof.memory_before is not None and proof.memory_after is not None:
        found += [
            (what, before, after, byte_size(before), byte_size(after))
            for what, before, after in (
                ("memory of the weights", proof.memory_before.weights, proof.memory_after.weights),
                ("most memory of activations", proof.memory_before.activations, proof.memory_after.activations),
            )
            if before is not None and after is not None
        ]
    return found


def kept(plan: ShrinkPlan) -> str:
    """Count the steps by what became of them, e.g. ``12 steps: 9 kept, 2 rolled back, 1 refused``."""
    counts = {
        status: sum(step.status == status for step in plan.steps) for status in ("kept", "rolled back", "refused")
    }
    said = ", ".join(f"{number} {status}" for status, number in counts.items() if number)
    return f"{plural(len(plan.steps), 'step')}{f': {said}' if said else ''}"


def all_warnings(reading: ShrinkReading) -> list[str]:
    """Return every warning, with those that follow from the record itself first."""
    plan, proof = reading.plan, reading.proof
    found = []
    if not proof.target_met:
        found.append(f"The target is not met ({target_words(plan.target)}): {proof.target_words.rstrip('.')}.")
    if proof.forced:
        found.append("The verify examples are among those that the network was chosen on, because it was forced.")
    if proof.verification_reads > 1:
        found.append(f"The verify examples were read {plural(proof.verification_reads, 'time')}.")
    return list(dict.fromkeys([*found, *proof.warnings]))


def _from_to(before: int, after: int) -> str:
    """Write two counts, in full where three digits would not tell them apart."""
    write = count if short(before) == short(after) else short
    return f"{write(before)} to {write(after)}"


def _examples(proof: ShrinkProof) -> str:
    return plural(proof.examples, "verify example")


def _change(metric: TaskMetric, low: float, high: float | None = None) -> str:
    scale, form, unit = (100, "+.2f", " points") if metric.name == "accuracy" else (1, "+.3g", "")
    said = f"{scale * low:{form}}"
    return f"{said}{unit}" if high is None else f"{said} to {scale * high:{form}}"
