"""In which way a plan or a proof does not fit together: both are files that people edit and compare."""

from collections.abc import Iterable

from netcaliper.reading.shrinking import ShrinkPlan, ShrinkProof

ROUNDING = 1e-9


def plan_contradiction(plan: ShrinkPlan) -> str | None:
    """Return the first contradiction in words, ``None`` if there is none."""
    if not 0 <= plan.tolerance <= 1:
        return f"`tolerance` must be in [0, 1], got {plan.tolerance}"
    if (plan.target.value is None) != (plan.target.kind == "knee"):
        return f"`target` {plan.target.kind} has the value {plan.target.value}: only a knee has none"
    for place, step in enumerate(plan.steps):
        if step.number != place + 1:
            return f"`steps`: number {step.number} stands where {place + 1} is expected"
        if not _ascending(step.removed) or len(step.removed) > step.units_before:
            return f"`steps` {step.number} must remove units of {step.units_before}, each once, in ascending order"
    for name, units in plan.removed.items():
        if not _ascending(units):
            return f"`removed` {name!r} must hold each unit once, in ascending order"
    for site in plan.sites:
        if not 0 <= site.after <= site.before:
            return f"`sites` {site.name!r} has {site.after} units of {site.before}"
    chosen = sum(point.chosen for point in plan.curve)
    return f"`curve` has {chosen} chosen points, where one is the most" if chosen > 1 else None


def proof_contradiction(proof: ShrinkProof) -> str | None:
    """Return the first contradiction in words, ``None`` if there is none."""
    if proof.agreement_low is not None and proof.agreement_low > proof.agreement:
        return f"`agreement_low` {proof.agreement_low} is above `agreement` {proof.agreement}"
    if proof.disagreements is not None:
        if not 0 <= proof.disagreements <= proof.examples:
            return f"`disagreements` {proof.disagreements} of {proof.examples} examples"
        found = 1 - proof.disagreements / max(proof.examples, 1)
        if abs(found - proof.agreement) > ROUNDING:
            return (
                f"`agreement` {proof.agreement} is not what {proof.disagreements} disagreements of {proof.examples} "
                "examples leave"
            )
    for name, found in proof.per_class.items():
        if not 0 <= found.agree <= found.examples:
            return f"`per_class` {name!r} has {found.agree} agreements on {found.examples} examples"
    if proof.latency is not None and not proof.latency.low <= proof.latency.ratio <= proof.latency.high:
        return f"`latency` {proof.latency.ratio} lies outside of {proof.latency.low} to {proof.latency.high}"
    return None


def _ascending(units: Iterable[int]) -> bool:
    """Whether indices are at least 0 and strictly ascending."""
    last = -1
    for unit in units:
        if unit <= last:
            return False
        last = unit
    return True
