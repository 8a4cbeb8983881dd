"""Unit states: which units are dead, constant, always on or off, and how much do they bend?

All calibrate and select rows are read. See ``stats/unit_states.py`` for the definitions.
"""

import numpy as np
import torch

from netcaliper.errors import DataError
from netcaliper.feed.protocol import JACKKNIFE, Findings, Plan, Sight, too_few_folds
from netcaliper.reading.schema import Share
from netcaliper.stats.intervals import jackknife, zero_event_bound
from netcaliper.stats.unit_states import UnitFacts, UnitStates, pieces_of
from netcaliper.trace.site import Site

CONSTANT, LINEAR, BENDS = 0, 1, 2
"""Codes of the array ``unit_state``: a unit that carries nothing, one that is exactly linear on every row, the rest."""


class UnitStatesMeasure:
    """Dead, constant, always-on, always-off and mixed units, the share of exactly linear rows and the bending share."""

    name = "unit_states"

    def state(self, site: Site, plan: Plan, device: torch.device) -> "UnitStatesState":
        """Return an empty state; pre-activations are read where the site applies one scalar function."""
        return UnitStatesState(site, device)

    def finish(self, site: Site, state: "UnitStatesState", plan: Plan) -> Findings:
        """Judge every unit."""
        activation = site.activation
        pieces = activation and pieces_of(activation.zone, activation.flat, activation.pieces)
        facts = state.states.finish(pieces)
        mean, std = facts.moments()
        fields: dict[str, object] = {"dead": int(facts.dead.sum()), "constant": int(facts.constant.sum())}
        arrays = {"mean": mean, "std": std}
        if facts.dead.any():
            # positions of one example are correlated: the bound counts examples, not rows
            fields["firing_bound"] = zero_event_bound(facts.examples)
        on, off = facts.always_on, facts.always_off
        if on is not None and off is not None:
            fields |= {"always_on": int(on.sum()), "always_off": int(off.sum()), "mixed": int((~on & ~off).sum())}
            arrays["linear_share"] = facts.linear_share()
            fields["linear_zone"] = _share(facts, "linear_share")
        idle = facts.dead | facts.constant
        arrays["unit_state"] = np.where(idle, CONSTANT, BENDS).astype(np.int8)
        if on is not None and off is not None:
            arrays["unit_state"][(on | off) & ~idle] = LINEAR
        if facts.bends:
            arrays["bending"] = facts.bending()
            if np.isfinite(arrays["bending"]).any():
                fields["bending_share"] = _share(facts, "bending")
        return Findings(fields, arrays, {"dead": facts.dead, "constant": facts.constant})


class UnitStatesState:
    """Feeds ``UnitStates`` from the taps of one site."""

    def __init__(self, site: Site, device: torch.device) -> None:
        self.site = site
        activation = site.activation
        self.states = UnitStates(
            site.units,
            zone=activation.zone if activation else None,
            # a piecewise-linear function with a zone of slope one is told by that zone, all others by how they bend
            bending=activation is not None and (activation.zone is None or activation.pieces is None),
            device=device,
        )

    def update(self, sight: Sight) -> None:
        """Take in one batch.

        Raises:
            DataError: a value is NaN or infinite.
        """
        z = sight.inputs[0] if self.site.activation is not None and len(sight.inputs) == 1 else None
        self.states.update(sight.value, sight.fold, z, sight.valid)
        # minimum and maximum pass NaN on, so two sums over the units find every value that is not finite
        if not bool(torch.isfinite(self.states.low.sum() + self.states.high.sum())):
            raise DataError(
                f"site `{self.site.name}` must have finite values, got NaN or infinity in examples "
                f"{sight.index[0]} to {sight.index[-1]}; look for NaN in the weights, or overflow before this site."
            )

    def merge(self, other: "UnitStatesState") -> None:
        """Take in what another state has seen."""
        self.states.merge(other.states)


def _share(facts: UnitFacts, what: str) -> Share:
    """Return the mean over units of a share, with its jackknife interval."""
    per_unit = getattr(facts, what)

    def mean(values: np.ndarray) -> float:
        return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")

    value = mean(per_unit())
    interval = (
        jackknife(value, np.array([mean(per_unit(fold)) for fold in facts.folds])) if len(facts.folds) > 1 else None
    )
    low, high = interval or (None, None)
    over = JACKKNIFE if interval else too_few_folds(len(facts.folds))
    return Share(value=value, low=low, high=high, over=over, sample=facts.rows)
