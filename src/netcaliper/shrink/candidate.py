"""Candidates: smaller networks on the way down, as a state of the original graph, fitted and judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from torch import Tensor

from netcaliper.shrink.blocks import BlockPath, inside_blocks
from netcaliper.shrink.calls import Call
from netcaliper.shrink.descent import Place
from netcaliper.shrink.exact import Exact
from netcaliper.shrink.held import Held
from netcaliper.shrink.judge import Judge, Judgment, without
from netcaliper.shrink.norms import over_kept
from netcaliper.shrink.paths import Path, UnitPath, gone_columns
from netcaliper.shrink.refit import Fits, refit
from netcaliper.surgery.masking import Removed, masked
from netcaliper.trace.graph import Graph


@dataclass(frozen=True, eq=False)
class Candidate:
    """A smaller network.

    Attributes:
        place: on the way down.
        removed: by dimension the units that go.
        dropped: residual blocks that go.
        state: of the original graph, at full size.
        judgment: on select examples.
        fitted: calls that were fitted again, with their lambda.
        kept: calls whose input changed and that were not, with the reason.
    """

    place: Place
    removed: dict[str, Bool[np.ndarray, " units"]]
    dropped: tuple[BlockPath, ...]
    state: dict[str, Tensor]
    judgment: Judgment
    fitted: Mapping[str, float]
    kept: Mapping[str, str]

    @property
    def branches(self) -> tuple[str, ...]:
        """Nodes that are 0."""
        return tuple(path.block.branch for path in self.dropped)


class Candidates:
    """Makes candidates, each once.

    Args:
        graph: the original network.
        exact: what the weights prove.
        calls: of the original network.
        paths: in the order of the places' steps.
        held: examples to fit on.
        judge: holds the select examples.
    """

    def __init__(
        self, graph: Graph, exact: Exact, calls: Sequence[Call], paths: Sequence[Path], held: Held, judge: Judge
    ) -> None:
        self.graph, self.exact, self.calls, self.paths, self.held, self.judge = graph, exact, calls, paths, held, judge
        self._made: dict[tuple[int, ...], Candidate] = {}

    @property
    def made(self) -> list[Candidate]:
        """All candidates so far, the largest network first."""
        return sorted(self._made.values(), key=lambda c: -c.place.parameters)

    def removed(self, place: Place) -> tuple[dict[str, Bool[np.ndarray, " units"]], tuple[BlockPath, ...]]:
        """Return the units and the blocks that have gone at a place."""
        both = list(zip(self.paths, place.steps, strict=True))
        dropped = tuple(path for path, steps in both if isinstance(path, BlockPath) and steps)
        units = [path for path in self.paths if isinstance(path, UnitPath)]
        nothing_left = inside_blocks(units, dropped)
        removed = dict(self.exact.removed)
        for path, steps in both:
            if isinstance(path, UnitPath) and steps and path.name not in nothing_left:
                removed[path.name] = path.removed(steps)
        return {name: gone for name, gone in removed.items() if name not in nothing_left}, dropped

    def at(self, place: Place) -> Candidate:
        """Return the network at a place, fitted and judged."""
        if place.steps not in self._made:
            self._made[place.steps] = self._make(place)
        return self._made[place.steps]

    def fit(self, state: Mapping[str, Tensor], removed: Removed, branches: Sequence[str]) -> Fits:
        """Take units out of a state and fit the calls again.

        Args:
            state: of the network before.
            removed: units by dimension.
            branches: nodes that are 0.
        """
        by_node = {call.node: call for call in self.calls}
        gone = gone_columns(self.graph.structure.dimensions, by_node, removed)
        smaller = over_kept(self.graph.with_state(masked(state, self.graph.structure, removed)), removed)
        return refit(self.graph, self.calls, smaller, gone, self.held, branches)

    def with_units(self, place: Place, removed: Removed, dropped: tuple[BlockPath, ...]) -> Candidate:
        """Return the network without these units and blocks; nothing is fitted if only exact steps are in it."""
        branches = [path.block.branch for path in dropped]
        proved = self.exact.removed
        more = dropped or any((gone & ~proved.get(name, False)).any() for name, gone in removed.items())
        fits = self.fit(self.exact.state, removed, branches) if more else Fits(self.exact.state)
        smaller = over_kept(self.graph.with_state(fits.state), removed)
        judgment = self.judge.judge(without(smaller, branches))
        return Candidate(place, dict(removed), dropped, fits.state, judgment, fits.fitted, fits.kept)

    def _make(self, place: Place) -> Candidate:
        return self.with_units(place, *self.removed(place))
