"""Class selectivity: do units answer to one class? The class is chosen on calibrate rows and kept on select rows.

See ``stats/selectivity.py`` for the definition. All rows are read; the label of an example is that of its positions.
"""

import numpy as np
import torch

from netcaliper.feed.protocol import JACKKNIFE, Findings, Plan, Sight, too_few_folds
from netcaliper.reading.schema import Share
from netcaliper.stats.intervals import jackknife
from netcaliper.stats.sampling import CALIBRATE, FOLDS, VERIFY
from netcaliper.stats.selectivity import SELECTIVE, ClassRows, ClassSums, best_class, selectivity
from netcaliper.trace.batches import IGNORED
from netcaliper.trace.site import Site

FOLDED_SUMS = 2**18
"""Classes times units up to which the sums of every fold of select examples are kept."""

CLASSES = 4096
"""Classes up to which selectivity is judged."""


class SelectivityMeasure:
    """Mean class selectivity and the number of selective units."""

    name = "selectivity"

    def state(self, site: Site, plan: Plan, device: torch.device) -> "SelectivityState":
        """Return an empty state."""
        return SelectivityState(site.units, plan, device)

    def finish(self, site: Site, state: "SelectivityState", plan: Plan) -> Findings:
        """Judge the site."""
        if not state.labelled:
            return Findings(reason="no labels: selectivity needs one integer class an example")
        if state.refused:
            return Findings(reason="selectivity: some values are below 0, where the index has no bounds")
        if state.sums is None:
            return Findings(reason=f"selectivity: more than {CLASSES:,} classes")
        rows = state.sums.finish()
        folds = np.arange(1, state.sums.groups)
        calibrate, select = rows.of(np.array([0])), rows.of(folds)
        for name, part in (("calibrate", calibrate), ("select", select)):
            seen = np.count_nonzero(part.counts)
            if seen < 2:
                return Findings(reason=f"selectivity: the {name} examples have {seen} classes, two are needed")
        best = best_class(calibrate)
        found = selectivity(select, best)
        arrays = {
            "selectivity": found,
            "selectivity_calibrate": selectivity(calibrate, best),
            "selective_class": np.where(best < 0, -1, rows.labels[best]),
        }
        fields = {"selectivity": _share(rows, best, found), "selective": int(np.count_nonzero(found >= SELECTIVE))}
        unseen = int(np.count_nonzero((select.counts[best, 0] == 0) & (best >= 0)))
        warnings = (
            f"{unseen:,} units answer most to a class without select examples, and count as not selective; give more "
            "examples.",
        )
        return Findings(fields, arrays, warnings=warnings if unseen else ())


class SelectivityState:
    """Sums by class of the calibrate rows (group 0) and, by fold where that is affordable, of the select rows.

    The sums are given up, and their memory with them, once a value is negative or classes are too many.
    """

    def __init__(self, units: int, plan: Plan, device: torch.device) -> None:
        self.plan = plan
        self.units = units
        self.labelled = False
        self.refused = False
        self.sums: ClassSums | None = ClassSums(units, 1 + FOLDS, device)

    def update(self, sight: Sight) -> None:
        """Take in one batch; examples labelled -100 are left out."""
        if sight.labels is None or self.refused:
            return
        labels, split = sight.labels.cpu().numpy(), self.plan.split[sight.index]
        chosen = np.flatnonzero((labels != IGNORED) & (split != VERIFY))
        if not len(chosen):
            return
        self.labelled = True
        value, valid = sight.value, sight.valid
        if len(chosen) < len(labels):
            taken = torch.from_numpy(chosen).to(value.device)
            value, valid = value[taken], None if valid is None else valid[taken]
        negative = ~(value >= 0) if valid is None else ~(value >= 0) & valid[..., None]
        self.refused = bool(negative.any())  # NaN too
        if self.sums is not None and not self.refused:
            fold = self.plan.fold[sight.index[chosen]].astype(np.int64)
            group = np.where(split[chosen] == CALIBRATE, 0, 1 + fold % (self.sums.groups - 1))
            self.sums.update(value, labels[chosen], group, valid)
        self._settle()

    def merge(self, other: "SelectivityState") -> None:
        """Take in what another state has seen."""
        self.labelled |= other.labelled
        self.refused |= other.refused
        if self.sums is not None and other.sums is not None:
            self.sums.merge(other.sums)
        else:
            self.sums = None
        self._settle()

    def _settle(self) -> None:
        """Keep memory bounded."""
        if self.sums is None:
            return
        if self.refused or len(self.sums.row) > CLASSES:
            self.sums = None
        elif len(self.sums.row) * self.units > FOLDED_SUMS:
            self.sums.pool(1)


def _share(rows: ClassRows, best: np.ndarray, found: np.ndarray) -> Share:
    """Return the mean over units with its jackknife interval over the folds of select examples, for fixed classes."""
    value, counts = float(np.mean(found)), rows.counts.sum(0)
    sample = int(counts[1:].sum())
    if len(counts) == 2:
        sums = f"{len(rows.labels):,} classes times {len(best):,} units"
        over = f"no interval: {sums} (folds are kept up to {FOLDED_SUMS:,})"
        return Share(value=value, over=over, sample=sample)
    used = 1 + np.flatnonzero(counts[1:])
    left_out = [float(np.mean(selectivity(rows.of(used[used != fold]), best))) for fold in used]
    interval = jackknife(value, np.array(left_out), bounds=(-1.0, 1.0)) if len(used) > 1 else None
    if interval is None:
        return Share(value=value, over=too_few_folds(len(used)), sample=sample)
    return Share(value=value, low=interval[0], high=interval[1], over=JACKKNIFE, sample=sample)
