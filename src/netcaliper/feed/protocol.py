"""What all measures share: the plan of a run, what a tap saw, and the shape of an answer.

A measure answers one question about every site. For each site that it applies to it gives a *state*, which is fed
while the network runs and holds sufficient statistics only, and it turns the finished state into *findings*. Measures
do not know each other and never know which model they look at.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int8
from torch import Tensor

from netcaliper.errors import DataError
from netcaliper.stats.sampling import CALIBRATE, FOLDS, SELECT, SPLITS, VERIFY, folds, positions, splits
from netcaliper.trace.site import Site

Mode = Literal["default", "paper"]

ROWS_PER_UNIT = 20
"""Rows a unit that covariance measures read, and below which they warn."""

MINIMUM_ROWS = 4096
PAPER_ROWS = 50_000


def rows_wanted(columns: int) -> int:
    """Return how many rows a covariance over some columns should read: ``max(20 columns, 4096)``."""
    return max(ROWS_PER_UNIT * columns, MINIMUM_ROWS)


@dataclass(frozen=True)
class Plan:
    """What is read of the data, fixed by (seed, example index) before the first batch.

    Attributes:
        examples: number of examples in the data.
        seed: of the run.
        mode: ``"default"``, or ``"paper"`` for the published definitions.
    """

    examples: int
    seed: int
    mode: Mode = "default"

    @cached_property
    def split(self) -> Int8[np.ndarray, " examples"]:
        """Split of every example."""
        return splits(np.arange(self.examples), self.seed)

    @cached_property
    def fold(self) -> Int8[np.ndarray, " examples"]:
        """Fold of every example."""
        return folds(np.arange(self.examples), self.seed)

    @cached_property
    def rank(self) -> Int[np.ndarray, " examples"]:
        """Rank of every example within its split."""
        rank = np.zeros(self.examples, dtype=np.int64)
        for part in (CALIBRATE, SELECT, VERIFY):
            rank[self.split == part] = np.arange(np.count_nonzero(self.split == part))
        return rank

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Number of examples in every split, by name."""
        return {name: int(np.count_nonzero(self.split == part)) for part, name in enumerate(SPLITS)}

    def check(self) -> None:
        """Refuse data that leave nothing to calibrate on or to confirm with.

        Raises:
            DataError: fewer than two calibrate examples, or no select example.
        """
        calibrate, select = self.sizes["calibrate"], self.sizes["select"]
        if calibrate < 2 or select < 1:
            raise DataError(
                f"`data` must give at least 2 calibrate and 1 select examples, got {calibrate} and {select} of "
                f"{self.examples} (split by example index); give more examples, 100 or more for useful numbers."
            )

    def row_cap(self, units: int) -> int:
        """Return how many calibrate rows of a site covariance measures read at most.

        ``max(20 units, 4096)``; in paper mode at least the paper's 50,000.
        """
        cap = rows_wanted(units)
        return max(cap, PAPER_ROWS) if self.mode == "paper" else cap

    def expected_rows(self, columns: int, width: int) -> int:
        """Return how many calibrate rows a covariance will read where an example has ``width`` positions."""
        return min(self.row_cap(columns), self.sizes["calibrate"] * width)

    def sample(
        self,
        index: Int[np.ndarray, " examples"],
        part: int,
        units: int,
        width: int,
        valid: Bool[Tensor, "examples positions"] | None = None,
    ) -> tuple[Int[np.ndarray, " rows"], Int[np.ndarray, " rows"]]:
        """Choose the rows of one split that covariance measures read; every split is sampled at the calibrate rate.

        Args:
            index: indices of a batch's examples in the data; those of other splits give no row.
            part: ``CALIBRATE`` or ``SELECT``.
            units: units of the site.
            width: positions of an example.
            valid: those that may be chosen, as ``positions`` does; ``None`` for all.

        Returns:
            For every row the example within the batch and the position.
        """
        inside = np.flatnonzero(self.split[index] == part)
        total, calibrate = self.sizes[SPLITS[part]], self.sizes["calibrate"]
        rows = self.row_cap(units) * total // max(calibrate, 1)
        example, position = positions(
            index[inside],
            self.rank[index[inside]],
            total=max(total, 1),
            rows=rows,
            width=width,
            seed=self.seed,
            valid=None if valid is None else valid.cpu().numpy()[inside],
        )
        return inside[example], position


@dataclass(frozen=True)
class Sight:
    """What a tap saw of one batch at one site, in the canonical layout.

    Attributes:
        value: the site's value.
        inputs: its pre-activations, as many as the site has.
        index: index of every example in the data (on the host).
        fold: fold of every example (on the device).
        labels: class of every example, ``None`` if the data have no such labels.
        valid: positions that are no padding, at least one of every example; ``None`` for all.
    """

    value: Float[Tensor, "examples positions units"]
    inputs: tuple[Tensor, ...]
    index: Int[np.ndarray, " examples"]
    fold: Int[Tensor, " examples"]
    labels: Int[Tensor, " examples"] | None = None
    valid: Bool[Tensor, "examples positions"] | None = None


@dataclass(frozen=True)
class Findings:
    """The answer of one measure at one site.

    Attributes:
        fields: values of fields of ``SiteReading``.
        arrays: arrays of the reading.
        marks: facts about single units for the partition, ``[units]`` each.
        left_out: for shares that the network sums up, the value without each fold of examples, ``[folds]``.
        warnings: in words.
        reason: why something was not judged, in words.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    marks: Mapping[str, np.ndarray] = field(default_factory=dict)
    left_out: Mapping[str, np.ndarray] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    reason: str | None = None


@runtime_checkable
class SiteState(Protocol):
    """Accumulates what one measure needs of one site."""

    def update(self, sight: Sight) -> None:
        """Take in one batch."""
        ...

    def merge(self, other: Any) -> None:
        """Take in what another state of the same site has seen."""
        ...


@runtime_checkable
class Measure(Protocol):
    """One question about every site."""

    name: str

    def state(self, site: Site, plan: Plan, device: torch.device) -> SiteState:
        """Return an empty state for a site."""
        ...

    def finish(self, site: Site, state: Any, plan: Plan) -> Findings:
        """Answer from a finished state."""
        ...


JACKKNIFE = f"95 % delete-one-fold jackknife over {FOLDS} folds of examples"


def too_few_folds(used: int) -> str:
    """Say why there is no interval."""
    return f"no interval: examples in {used} of {FOLDS} folds"
