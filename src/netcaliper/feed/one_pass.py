"""One pass over the calibrate and select examples, with a tap on every site and on every consumer's input."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from netcaliper.errors import DataError
from netcaliper.feed.fingerprint import DataFingerprint
from netcaliper.feed.labels import check_labels, class_labels
from netcaliper.feed.protocol import Measure, Plan, Sight
from netcaliper.feed.ranks import ALONE, Ranks
from netcaliper.stats.sampling import VERIFY
from netcaliper.trace.batches import Batch, batches, regrouped
from netcaliper.trace.graph import Graph, Tap
from netcaliper.trace.site import Site

Tell = Callable[[str, int, int], None]
"""Called with a phase in words, the examples done and the examples in all."""


@runtime_checkable
class ConsumerStates(Protocol):
    """Accumulates what is needed of the inputs of consumers; one state serves all sites that a consumer reads."""

    def taps(self, batch: Batch) -> dict[str, Tap]:
        """Return what feeds the states, by node, for a batch."""
        ...

    def pool(self, ranks: Ranks) -> None:
        """Merge what several processes saw."""
        ...


class OnePass:
    """What one pass over the data leaves behind.

    Args:
        graph: the network.
        sites: the sites to tap.
        measures: what is fed there.
        at_consumers: what is fed at the inputs of consumers.
        plan: what is read of the data.
        look: called with every batch and what the network returned for it.
        ranks: the processes that share the batches.

    Attributes:
        states: by site, by measure; after the pass of the sites that this process is to judge.
        positions: by site the positions of an example (the most seen, without padding).
        unread: by site why padding cannot be told there; such a site is not read.
        fingerprint: of the data.
    """

    def __init__(
        self,
        graph: Graph,
        sites: Sequence[Site],
        measures: Sequence[Measure],
        at_consumers: ConsumerStates | None,
        plan: Plan,
        look: Callable[[Batch, Any], None] | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.graph, self.sites, self.at_consumers, self.plan, self.look = graph, sites, at_consumers, plan, look
        self.ranks = ranks
        self.fingerprint = DataFingerprint()
        self.positions = {site.name: 0 for site in sites}
        self.unread: dict[str, str] = {}
        self.states = {site.name: {m.name: m.state(site, plan, graph.device) for m in measures} for site in sites}
        self._fold = torch.from_numpy(plan.fold).to(graph.device)

    def run(self, data: Iterable[Any], size: int, tell: Tell) -> None:
        """Run all calibrate and select examples, ``size`` at a time if the graph takes any number.

        Raises:
            DataError: the data hold another number of examples than were counted, or labels that do not fit.
        """
        size = size if self.graph.dynamic_batch else self.graph.traced_batch
        for number, batch in enumerate(regrouped(self._wanted(data, tell), size)):
            if not self.ranks.runs(number):
                continue
            labels = class_labels(batch)
            taps = {site.name: self._tap(site, batch, labels) for site in self.sites}
            if self.at_consumers is not None:
                taps |= self.at_consumers.taps(batch)
            output = self.graph.run(batch, taps=taps).output
            check_labels(batch, output)
            if self.look is not None:
                self.look(batch, output)
        self._pool()

    def _pool(self) -> None:
        """Bring together what several processes saw; the states of a site are merged where it is going to be judged."""
        self.ranks.agree("data (by their fingerprint)", self.fingerprint.finish())
        self.positions, self.unread = self.ranks.merged((self.positions, self.unread), _pooled)
        for number, site in enumerate(self.sites):
            whole = {
                name: self.ranks.gathered(state, self.ranks.owner(number), shared=(site, self.plan))
                for name, state in self.states.pop(site.name).items()
            }
            self.states[site.name] = {name: state for name, state in whole.items() if state is not None}
        if self.at_consumers is not None:
            self.at_consumers.pool(self.ranks)

    def _wanted(self, data: Iterable[Any], tell: Tell) -> Iterator[Batch]:
        """Give the calibrate and select examples of every batch."""
        seen = 0
        for batch in batches(data, form=self.graph.form):
            self.fingerprint.update(batch)
            seen += batch.size
            if seen > self.plan.examples:
                break
            wanted = np.flatnonzero(self.plan.split[batch.indices.numpy()] != VERIFY)
            yield batch.take(torch.from_numpy(wanted))
            tell("reading", seen, self.plan.examples)
        if seen != self.plan.examples:
            raise DataError(
                f"`data` must give the same {self.plan.examples:,} examples on every pass, got "
                f"{'more' if seen > self.plan.examples else f'only {seen:,}'} on the second; make it a list of batches "
                "or a DataLoader over a fixed data set."
            )

    def _tap(self, site: Site, batch: Batch, labels: Tensor | None) -> Tap:
        """Return the function that feeds the states of a site."""
        index = batch.indices.numpy()
        fold = self._fold[batch.indices.to(self._fold.device)]

        def tap(value: Tensor, *inputs: Tensor) -> None:
            valid = self.graph.valid(site, batch, value)
            if isinstance(valid, str):
                self.unread[site.name] = valid
                return
            read = inputs if site.activation is not None else ()
            rows, *before = (site.rows(tensor.detach(), len(index)) for tensor in (value, *read))
            positions = rows.shape[1] if valid is None else int(valid.sum(1).max())
            self.positions[site.name] = max(self.positions[site.name], positions)
            sight = Sight(rows, tuple(before), index, fold, labels, valid)
            for state in self.states[site.name].values():
                state.update(sight)

        return tap


Seen = tuple[dict[str, int], dict[str, str]]
"""Positions and unread sites."""


def _pooled(mine: Seen, theirs: Seen) -> Seen:
    """Merge what two processes saw of the sites."""
    return {name: max(most, theirs[0][name]) for name, most in mine[0].items()}, theirs[1] | mine[1]
