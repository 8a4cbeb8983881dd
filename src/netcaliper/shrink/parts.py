"""The parts of the data: examples to fit on, to choose on, and to prove on; none of them in two parts."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool
from torch import Tensor

from netcaliper.errors import DataError
from netcaliper.feed.examples import chosen_examples
from netcaliper.feed.fingerprint import DataFingerprint
from netcaliper.feed.protocol import Plan
from netcaliper.reading.shrinking import Splits
from netcaliper.shrink.held import Held, hold
from netcaliper.stats.intervals import fewest_trials
from netcaliper.stats.sampling import CALIBRATE, SELECT, VERIFY
from netcaliper.trace.batches import Batch, batches, count_examples
from netcaliper.trace.graph import Graph

FITTED = 1024
"""Examples that are held to fit on, if there are so many."""

CHOSEN = 2048
"""Examples that are held to choose on."""


@dataclass(frozen=True, eq=False)
class Parts:
    """Data in three parts.

    Attributes:
        calibrate: examples to fit on.
        select: examples to choose on.
        forced: whether verify examples are among the others.
        fingerprint: of the data.
        sizes: number of examples of every part.
        seed: of the split.
    """

    graph: Graph
    data: Iterable[Any]
    verification: Iterable[Any] | None
    calibrate: Held
    select: Held
    forced: bool
    fingerprint: str
    sizes: Splits
    wanted: Bool[np.ndarray, " examples"]

    def verify(self) -> Iterator[Batch]:
        """Read the verify examples, in batches; this is done once."""
        yield from chosen_examples(
            self.graph, self.data if self.verification is None else self.verification, self.wanted
        )


def parts_of(
    graph: Graph,
    data: Iterable[Any],
    verification: Iterable[Any] | None,
    *,
    seed: int,
    force: bool,
    most: int,
    agreement: float | None,
) -> Parts:
    """Split the data by example index: half to fit on, a quarter to choose on, a quarter to prove on.

    With data of their own for the proof, a half of the others is chosen on.

    Args:
        graph: that will run them.
        data: any re-iterable of batches.
        verification: other data for the proof.
        seed: of the split.
        force: allow examples of the proof among the others.
        most: examples that fit into memory at once.
        agreement: that a bound must be able to reach.

    Raises:
        DataError: too few examples, for anything or for the bound; examples of the proof among the others.
    """
    plan = Plan(count_examples(data, form=graph.form), seed)
    plan.check()
    calibrate = plan.split == CALIBRATE
    select = plan.split == SELECT if verification is None else ~calibrate
    if verification is None:
        wanted, digest = plan.split == VERIFY, DataFingerprint()
        for batch in batches(data, form=graph.form):
            digest.update(batch)
        fingerprint, shared = digest.finish(), 0
    else:
        wanted = np.ones(count_examples(verification, form=graph.form), dtype=bool)
        fingerprint, shared = _compared(graph, data, verification)
    if shared and not force:
        raise DataError(
            f"`verification` must hold no example of `data`, got {shared:,} that are in both: what was chosen on them "
            "proves nothing; give other examples, or leave `verification` out and a part of `data` is kept for it. "
            "With `force` they are used, and the proof says so."
        )
    sizes = Splits(calibrate=int(calibrate.sum()), select=int(select.sum()), verify=int(wanted.sum()))
    few = min(sizes.select, sizes.verify, CHOSEN)
    if sizes.verify < 1 or sizes.calibrate < 2:
        raise DataError(
            f"`data` must give calibrate, select and verify examples, got {sizes.calibrate}, {sizes.select} and "
            f"{sizes.verify}; give more examples, 1,000 or more for useful numbers."
        )
    if agreement is not None and few < fewest_trials(agreement):
        need = fewest_trials(agreement)
        share = 4 if verification is None else 2
        raise DataError(
            f"`agreement` {agreement:g} needs {need:,} select and as many verify examples at least (the 95 % lower "
            f"bound of {need:,} equal answers of {need:,} just reaches it), got {sizes.select:,} and "
            f"{sizes.verify:,}; give about {share * need:,} examples or more, or ask for less."
        )
    return Parts(
        graph=graph,
        data=data,
        verification=verification,
        calibrate=hold(graph, data, calibrate, min(FITTED, most), seed),
        select=hold(graph, data, select, CHOSEN, seed),
        forced=bool(shared),
        fingerprint=fingerprint,
        sizes=sizes,
        wanted=wanted,
    )


def _compared(graph: Graph, data: Iterable[Any], verification: Iterable[Any]) -> tuple[str, int]:
    """Return the fingerprint of the data and how many verification examples are among them."""
    digest, known = DataFingerprint(), set()
    for batch in batches(data, form=graph.form):
        digest.update(batch)
        known.update(_digests(batch))
    others = (one for batch in batches(verification, form=graph.form) for one in _digests(batch))
    return digest.finish(), sum(one in known for one in others)


def _digests(batch: Batch) -> list[bytes]:
    """Return a digest of the inputs of every example."""
    tensors = [t.detach().cpu().contiguous() for t in batch.tensors() if t.dim() and t.shape[0] == batch.size]
    return [
        hashlib.blake2b(b"|".join(_bytes(t[number]) for t in tensors), digest_size=16).digest()
        for number in range(batch.size)
    ]


def _bytes(tensor: Tensor) -> bytes:
    return f"{tuple(tensor.shape)}".encode() + tensor.reshape(-1).float().numpy().tobytes()
