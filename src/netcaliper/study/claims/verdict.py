"""From an interval to a verdict: on the claimed side of the threshold, on the other side, or across it."""

from netcaliper.reading.study import Effect, Verdict
from netcaliper.study.claims.claim_schema import LOGARITHMIC, Claim
from netcaliper.study.claims.words import span_words


def verdict_of(claim: Claim, effect: Effect, twin: Effect | None, lacks: str = "") -> tuple[Verdict, str | None]:
    """Compare an interval with the threshold, and that beside the twin with no difference.

    Args:
        claim: names the threshold.
        effect: with an interval.
        twin: what the trained network shows beyond its twin, where the claim asks for it.
        lacks: why too little is known of the twin; a claim that is wrong without it is wrong all the same.

    Returns:
        The verdict, and the reason of one that is not plain from the interval.
    """
    holds, against = _lies(claim, effect)
    across = f"the interval {span_words(effect)} reaches across the threshold"
    if against:
        return "contradicted", None
    if not claim.beside_twin:
        return ("holds", None) if holds else ("undecided", across)
    if lacks or twin is None or twin.low is None:
        said = lacks or "there is no interval beside the twin"
        return "undecided", said if holds else f"{said}; {across}"
    neutral = 1.0 if claim.statistic in LOGARITHMIC else 0.0
    asked = Claim.model_copy(claim, update={"above": neutral} if claim.above is not None else {"below": neutral})
    more, less = _lies(asked, twin)
    if less:
        return "contradicted", f"the untrained twin shows it at least as much: beside it {span_words(twin)}"
    if not more:
        return "undecided", f"beside the untrained twin it is {span_words(twin)}, across {neutral:g}" + (
            "" if holds else f"; {across}"
        )
    return ("holds", None) if holds else ("undecided", across)


def _lies(claim: Claim, effect: Effect) -> tuple[bool, bool]:
    """Tell whether an interval lies wholly on the claimed side of the threshold, and wholly on the other."""
    assert effect.low is not None
    assert effect.high is not None
    if claim.above is not None:
        return effect.low > claim.above, effect.high <= claim.above
    if claim.below is not None:
        return effect.high < claim.below, effect.low >= claim.below
    assert claim.within is not None
    least, most = claim.within
    return least <= effect.low and effect.high <= most, effect.high < least or effect.low > most
