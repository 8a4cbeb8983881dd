"""What was found at one site, entered into its row of the reading."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from netcaliper.feed.protocol import Findings
from netcaliper.measure.needed_answer import Needed
from netcaliper.measure.partition import counts, partition
from netcaliper.reading.schema import ConsumerRecord, SiteReading
from netcaliper.trace.site import Site

PARTITION_MEASURES = ("unit_states", "redundant", "needed")
"""The measures that the partition of the units takes; a site's row says which of them were left out."""


@dataclass(frozen=True)
class SiteAnswer:
    """Everything about one site.

    Attributes:
        record: its row.
        arrays: by name.
        left_out: for shares that the network sums up, the value without each fold of examples.
    """

    record: SiteReading
    arrays: Mapping[str, np.ndarray]
    left_out: Mapping[str, np.ndarray]


def idle_first(findings: Mapping[str, Findings], units: int) -> Int[np.ndarray, " units"]:
    """Return the stage of each unit for block elimination: 0 for what other measures found to be idle, else 1.

    So the classes that come first in the partition go first, and what goes besides is absorbable.
    """
    idle = np.zeros(units, dtype=bool)
    for found in findings.values():
        for mark in ("dead", "constant", "removed"):
            if mark in found.marks:
                idle |= found.marks[mark]
    return (~idle).astype(np.int64)


def needed_findings(found: Needed) -> Findings:
    """Return what block elimination found at a site, as findings."""
    if found.order is None or found.final is None:
        return Findings(reason=f"absorbable units not judged: {found.reason}")
    return Findings(
        fields={"unexplained": dict(found.final)},
        arrays={"absorb_order": found.order},
        marks={"absorbed": found.removed()},
        warnings=found.warnings,
    )


def site_answer(site: Site, findings: Mapping[str, Findings], *, examples: int, positions: int) -> SiteAnswer:
    """Enter the findings of all measures.

    Args:
        site: the site.
        findings: by measure.
        examples: number of examples that were read.
        positions: positions of an example.
    """
    fields: dict[str, Any] = {"rows": 0, "select_rows": 0}
    arrays: dict[str, np.ndarray] = {}
    marks: dict[str, np.ndarray] = {}
    left_out: dict[str, np.ndarray] = {}
    reasons: list[str] = []
    warnings: list[str] = []
    for found in findings.values():
        fields |= found.fields
        arrays |= found.arrays
        marks |= found.marks
        left_out |= found.left_out
        reasons += [found.reason] if found.reason else []
        warnings += found.warnings
    if "dead" in marks:
        verdict = partition(
            marks["dead"], marks["constant"], marks.get("removed"), marks.get("duplicate"), marks.get("absorbed")
        )
        arrays["verdict"] = verdict
        fields |= counts(verdict, absorbed="absorbed" in marks)
        warnings += _rare(marks, arrays)
    missing = [name for name in PARTITION_MEASURES if name not in findings]
    if missing:
        reasons.append(f"not measured: {', '.join(missing)}")
    record = SiteReading(
        name=site.name,
        kind=site.kind,
        op=site.op,
        units=site.units,
        positions=positions,
        examples=examples,
        group=site.group,
        consumers=tuple(
            ConsumerRecord(
                name=c.name,
                op=c.op,
                columns=int(np.count_nonzero(c.unit_of_column >= 0)),
                units=len(np.unique(c.unit_of_column[c.unit_of_column >= 0])),
                through=c.through,
            )
            for c in site.consumers
        ),
        readers=site.readers,
        barriers=site.barriers,
        refused=site.refused,
        reason="; ".join(reasons) or None,
        warnings=tuple(warnings),
        **fields,
    )
    return SiteAnswer(record, arrays, left_out)


def _rare(marks: Mapping[str, np.ndarray], arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Warn about units that vary on some row but on none of the rows that the covariance read."""
    if "r2" not in arrays:
        return []
    rare = int(np.count_nonzero(np.isnan(arrays["r2"]) & ~marks["dead"] & ~marks["constant"]))
    if not rare:
        return []
    return [f"{rare:,} units vary too rarely to be judged on the sampled rows and count as needed; give more examples."]
