"""Redundant: how many units does a layer not need, since the others already say the same?

Spectra of covariance and correlation (the paper's share and a scale-free one), R2 of every unit on the others, affine
duplicates, the consistent removable set, and how correlated pairs of units are. Fitted on calibrate rows; a removal
counts only if it holds on select rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int

from netcaliper.feed.protocol import JACKKNIFE, ROWS_PER_UNIT, Findings, Plan, Sight, too_few_folds
from netcaliper.feed.ranks import uneven
from netcaliper.reading.schema import Share
from netcaliper.stats.correlated import correlated
from netcaliper.stats.covariance import Covariance, Moments
from netcaliper.stats.duplicates import EXACT, duplicate_of
from netcaliper.stats.elimination import TOLERANCES, eliminate, reconstruct, unexplained_share
from netcaliper.stats.intervals import jackknife
from netcaliper.stats.regression import r2_on_others
from netcaliper.stats.sampling import CALIBRATE, FOLDS, SELECT
from netcaliper.stats.spectrum import paper_redundant_share, redundant_share, smooth_redundant_share, spectrum
from netcaliper.trace.site import Site

FOLDED_UNITS = 512
"""Widest site that keeps a covariance for every fold (memory ``8 n^2`` bytes a fold)."""


class RedundantMeasure:
    """Redundant shares, duplicates, dependents and the removable set."""

    name = "redundant"

    def state(self, site: Site, plan: Plan, device: torch.device) -> "RedundantState":
        """Return an empty state."""
        return RedundantState(site.units, plan, device)

    def finish(self, site: Site, state: "RedundantState", plan: Plan) -> Findings:
        """Judge the site."""
        if state.skipped is not None:
            return Findings({"rows": state.skipped}, reason=_too_few(site.units, state.skipped))
        calibrate, select = state.calibrate.finish(), state.select.finish()
        fields: dict[str, object] = {"rows": calibrate.count, "select_rows": select.count}
        arrays = {"spectrum": spectrum(calibrate.covariance)}
        arrays["correlation_spectrum"] = spectrum(calibrate.correlation)
        reason = _too_few(site.units, calibrate.count)
        without, left_out = state.without_each(), {}
        if plan.mode == "paper" or reason is None:
            rule = _PAPER if plan.mode == "paper" else _COVARIANCE
            fields["redundant"], left_out["redundant"] = _share(state, rule, calibrate, without)
            alike = correlated(calibrate.correlation)
            # the paper's code counts all units and takes off one for the unit itself, which a constant one lacks
            arrays["neighbors"] = np.full(site.units, -1 if plan.mode == "paper" else 0)
            arrays["neighbors"][calibrate.live] = alike.neighbors
            arrays["correlation_pairs"] = alike.pairs
            fields["correlated_neighbors"] = float(arrays["neighbors"].mean())
            fields["mean_correlation"] = alike.mean
        if reason is not None:
            return Findings(fields, arrays, left_out=left_out, reason=reason)
        fields["redundant_correlation"], _ = _share(state, _CORRELATION, calibrate, without)
        arrays["r2"] = r2_on_others(calibrate)
        sets = _removable(calibrate, select)
        fields["removable"] = {str(tolerance): int(gone.sum()) for tolerance, gone in sets.confirmed.items()}
        fields["unconfirmed"] = sets.unconfirmed
        arrays["duplicate_of"] = sets.duplicate_of
        marks = {"removed": sets.confirmed[EXACT], "duplicate": sets.duplicate_of >= 0}
        return Findings(fields, arrays, marks, left_out, _warnings(site.units, state, calibrate))


class RedundantState:
    """Covariances of the sampled calibrate rows (by fold where that is affordable) and of the sampled select rows.

    Where a wide site will not have more rows than units, by the positions of the first batch, nothing is accumulated:
    nothing could be judged, and the memory is that of many sites that can.

    Attributes:
        skipped: the number of rows expected, if they are too few to be accumulated.
    """

    def __init__(self, units: int, plan: Plan, device: torch.device) -> None:
        self.plan = plan
        self.units = units
        self.device = device
        self.folds = [Covariance(units, device) for _ in range(FOLDS if units <= FOLDED_UNITS else 1)]
        self.select = Covariance(units, device)
        self.examples = 0
        self.skipped: int | None = None

    def update(self, sight: Sight) -> None:
        """Take in one batch."""
        width = sight.value.shape[1]
        if self.examples == 0 and not accumulated(self.plan, self.units, width):
            self.skipped = self.plan.expected_rows(self.units, width)
        if self.skipped is not None:
            return
        example, position = self.plan.sample(sight.index, CALIBRATE, self.units, width, sight.valid)
        self.examples += len(np.unique(example))
        fold = self.plan.fold[sight.index[example]] % len(self.folds)
        order = np.argsort(fold, kind="stable")
        rows = _rows(sight, example[order], position[order])
        ends = np.cumsum(np.bincount(fold, minlength=len(self.folds)))
        for state, start, end in zip(self.folds, [0, *ends[:-1]], ends, strict=True):
            state.update(rows[start:end])
        self.select.update(_rows(sight, *self.plan.sample(sight.index, SELECT, self.units, width, sight.valid)))

    def merge(self, other: "RedundantState") -> None:
        """Take in what another state has seen.

        Raises:
            DataError: by the first batch of one there will be enough rows, by that of the other there will not.
        """
        if (self.skipped is not None and other.examples) or (other.skipped is not None and self.examples):
            raise uneven(f"a site of {self.units:,} units")
        for mine, theirs in zip(self.folds, other.folds, strict=True):
            mine.merge(theirs)
        self.select.merge(other.select)
        self.examples += other.examples
        self.skipped = other.skipped if self.skipped is None else self.skipped

    @property
    def calibrate(self) -> Covariance:
        """The covariance of all calibrate rows."""
        return self._without(None)

    def without_each(self) -> list[Moments | None]:
        """Return the moments without each fold, ``None`` for a fold that holds no rows or all of them."""
        used = [state.count > 0 for state in self.folds]
        return [self._without(k).finish() if held and sum(used) > 1 else None for k, held in enumerate(used)]

    def _without(self, fold: int | None) -> Covariance:
        """Return the covariance of all folds but one."""
        total = Covariance(self.units, self.device)
        for number, state in enumerate(self.folds):
            if number != fold:
                total.merge(state)
        return total


def accumulated(plan: Plan, units: int, width: int) -> bool:
    """Tell whether covariances are taken of a site whose examples have ``width`` positions."""
    return units <= FOLDED_UNITS or plan.mode == "paper" or plan.expected_rows(units, width) > units + 1


def _rows(sight: Sight, example: Int[np.ndarray, " rows"], position: Int[np.ndarray, " rows"]) -> torch.Tensor:
    """Gather rows; the value itself may be a strided view and is not copied."""
    device = sight.value.device
    return sight.value[torch.from_numpy(example).to(device), torch.from_numpy(position).to(device)]


@dataclass(frozen=True)
class _Sets:
    """Removable sets of one site.

    Attributes:
        confirmed: for every tolerance the units that the others replace, on select rows too.
        unconfirmed: units that are replaced at the exact tolerance on calibrate rows but not on select rows.
        duplicate_of: representatives of the confirmed duplicates.
    """

    confirmed: dict[float, Bool[np.ndarray, " units"]]
    unconfirmed: int
    duplicate_of: Int[np.ndarray, " units"]


def _removable(calibrate: Moments, select: Moments) -> _Sets:
    """Find the consistent sets on the calibrate moments and keep of them what the select moments confirm.

    A unit that fails goes back to the kept ones; the others stay explained, since their fits never used it.
    """
    live, units = calibrate.live, len(calibrate.mean)
    local = duplicate_of(calibrate.correlation)
    repeats = np.full(units, -1, dtype=np.int64)
    repeats[live] = np.where(local >= 0, live[local], -1)
    path = eliminate(calibrate.correlation, TOLERANCES, local)
    confirmed, unconfirmed = {}, 0
    for tolerance in TOLERANCES:
        fit = reconstruct(calibrate, live[path.kept(tolerance)], live[path.removed(tolerance)])
        holds = unexplained_share(fit, calibrate, select) <= tolerance
        confirmed[tolerance] = np.zeros(units, dtype=bool)
        confirmed[tolerance][fit.removed[holds]] = True
        if tolerance == EXACT:
            unconfirmed = int(np.count_nonzero(~holds))
    repeats[~confirmed[EXACT]] = -1
    return _Sets(confirmed, unconfirmed, repeats)


def _too_few(units: int, rows: int) -> str | None:
    """Say why there are too few rows, if there are."""
    if rows > units + 1:
        return None
    return (
        f"too few rows ({rows:,} for {units:,} units): with units + 1 rows or fewer every unit looks like a "
        f"combination of the others; give more examples ({ROWS_PER_UNIT * units:,} rows are enough)"
    )


def _warnings(units: int, state: RedundantState, calibrate: Moments) -> tuple[str, ...]:
    """Say in words what makes the numbers less sure."""
    said = []
    if calibrate.count < ROWS_PER_UNIT * units:
        said.append(
            f"{calibrate.count:,} rows for {units:,} units is fewer than {ROWS_PER_UNIT} rows a unit: redundancy and "
            "R2 come out too high; give more examples."
        )
    elif state.examples < units:
        said.append(
            f"the {calibrate.count:,} rows come from {state.examples:,} examples for {units:,} units; positions of one "
            "example are correlated, so redundancy and R2 may come out too high; give more examples."
        )
    return tuple(said)


@dataclass(frozen=True)
class _Rule:
    """A redundant share by definition.

    Attributes:
        share: of moments.
        smooth: the same without the jumps of a count, for the interval.
    """

    share: Callable[[Moments], float]
    smooth: Callable[[Moments], float]


_COVARIANCE = _Rule(
    lambda moments: redundant_share(spectrum(moments.covariance)),
    lambda moments: smooth_redundant_share(spectrum(moments.covariance)),
)
_PAPER = _Rule(lambda moments: paper_redundant_share(moments.covariance), _COVARIANCE.smooth)
_CORRELATION = _Rule(  # units that do not vary are redundant
    lambda moments: redundant_share(spectrum(moments.correlation), len(moments.mean)),
    lambda moments: smooth_redundant_share(spectrum(moments.correlation), len(moments.mean)),
)


def _share(
    state: RedundantState, rule: _Rule, calibrate: Moments, without: Sequence[Moments | None]
) -> tuple[Share, Float64[np.ndarray, " folds"]]:
    """Return a share with its jackknife interval, or with why there is none; and the values without each fold."""
    value = rule.share(calibrate)
    left_out = np.array([np.nan if moments is None else rule.smooth(moments) for moments in without])
    interval = jackknife(value, left_out[np.isfinite(left_out)])
    if interval is not None:
        return Share(value=value, low=interval[0], high=interval[1], over=JACKKNIFE, sample=calibrate.count), left_out
    if len(state.folds) == 1:
        over = f"no interval: {state.units:,} units (folds are kept up to {FOLDED_UNITS:,})"
    else:
        over = too_few_folds(sum(covariance.count > 0 for covariance in state.folds))
    return Share(value=value, over=over, sample=calibrate.count), left_out
