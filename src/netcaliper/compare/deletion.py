"""Deletion: residual blocks are left out, one, several or all of them, and the network answers again.

A block is left out by overriding its branch with zero, so that its skip alone goes on; nothing is trained again
(Nguyen, Raghu and Kornblith 2021). Blocks whose shortcut has weights or another shape stay.

Three sweeps on examples that are not kept for verification: from the end of each stage, each block alone, and all
blocks in random orders. From the first one follows an order in which blocks could go together; how many of them can is
then read once on the verify examples.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float64, Int

from netcaliper.compare.left_out_blocks import Answers, Dropped, Leaving, Metric
from netcaliper.errors import DataError, InputError
from netcaliper.feed.one_pass import Tell
from netcaliper.feed.outputs import MAJORITY
from netcaliper.feed.protocol import Plan
from netcaliper.measure.ablation_cost import operations
from netcaliper.reading.layers import Deletion
from netcaliper.reading.layers import ResidualBlock as BlockRecord
from netcaliper.stats.ablation_curve import t_interval
from netcaliper.stats.intervals import clopper_pearson
from netcaliper.stats.paired_loss import Loss, fewest_examples, paired_loss
from netcaliper.stats.sampling import VERIFY
from netcaliper.trace.graph import Graph
from netcaliper.trace.residual import Residuals, residual_blocks

MARGIN = 0.01
"""Share of the metric (1.0 points) that may be lost; set before any run."""

ORDERS = 3
"""Random orders of the blocks."""

MOST_EXAMPLES = 1000
"""Examples of the sweeps; a proportion of 1,000 is known to +-.031 or better."""


class Sweeps:
    """Which sets of blocks are left out.

    Args:
        found: residual blocks of a network.
        orders: number of random orders.
        seed: of the orders.

    Attributes:
        stage_end: by droppable block the set of it and all droppable blocks after it in its stage.
        alone: by droppable block the set of it alone.
        order: by random order the droppable blocks as they go.
    """

    def __init__(self, found: Residuals, orders: int, seed: int) -> None:
        blocks, droppable = found.blocks, found.droppable
        self.stage_end = {
            b: frozenset(later for later in droppable if later >= b and blocks[later].stage == blocks[b].stage)
            for b in droppable
        }
        self.alone = {b: frozenset({b}) for b in droppable}
        self.order = [
            tuple(int(b) for b in np.random.default_rng([seed % 2**64, number]).permutation(np.array(droppable, int)))
            for number in range(orders)
        ]

    def sets(self) -> list[Dropped]:
        """Return every different set once, the empty one first."""
        random = (frozenset(order[:count]) for order in self.order for count in range(1, len(order) + 1))
        return list(dict.fromkeys([frozenset(), *self.alone.values(), *self.stage_end.values(), *random]))


@dataclass(frozen=True)
class Confirmed:
    """How many blocks can go together.

    Attributes:
        chosen: how many the sweep examples allow, by point estimate.
        droppable: how many of them the verify examples confirm; ``None`` with too few examples to confirm anything.
        loss: what the confirmed blocks (or, if there is none, the first one) lose on verify examples.
        examples: verify examples.
        needed: examples with which no loss at all shows that the loss is within the margin.
    """

    chosen: int
    droppable: int | None
    loss: Loss | None
    examples: int
    needed: int


@dataclass(frozen=True)
class Deletions:
    """What came of leaving blocks out.

    Attributes:
        found: the residual blocks.
        sweeps: the sets of blocks.
        metric: ``accuracy`` if the examples have class labels, else ``agreement`` with the whole network.
        binary: an example scores 0 or 1 (not so for tokens).
        scores: by set and example.
        together: the order in which blocks go together.
        confirmed: how many of them can.
        margin: share of the metric that may be lost.
        warnings: in words.
    """

    found: Residuals
    sweeps: Sweeps
    metric: Metric
    binary: bool
    scores: Mapping[Dropped, Float64[np.ndarray, " examples"]]
    together: tuple[int, ...]
    confirmed: Confirmed
    margin: float
    warnings: tuple[str, ...]

    @property
    def plain(self) -> Float64[np.ndarray, " examples"]:
        """Scores with nothing left out."""
        return self.scores[frozenset()]

    def loss(self, dropped: Dropped) -> Loss:
        """Return what a set costs on the sweep examples."""
        return _loss(self.plain, self.scores[dropped], self.metric, self.binary)

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of ``LayersOf``, B = residual blocks; NaN (order: -1) for blocks that cannot be left out."""
        blocks, arrays = len(self.found.blocks), {}
        for name, sets in (("stage_end", self.sweeps.stage_end), ("leave_one_out", self.sweeps.alone)):
            rows = np.full((3, blocks), np.nan)
            for block, dropped in sets.items():
                rows[:, block] = _interval(self.scores[dropped], self.binary)
            arrays |= {f"drop_{name}": rows[0], f"drop_{name}_low": rows[1], f"drop_{name}_high": rows[2]}
        curves = [self._cumulative(order) for order in self.sweeps.order]
        nothing = np.empty((0, blocks))
        arrays["drop_random"] = np.stack([curve for curve, _ in curves]) if curves else nothing
        arrays["drop_random_order"] = np.stack([order for _, order in curves]) if curves else nothing
        arrays["drop_together"], arrays["drop_together_order"] = self._cumulative(self.together)
        return arrays

    def _cumulative(
        self, order: Sequence[int]
    ) -> tuple[Float64[np.ndarray, " blocks"], Float64[np.ndarray, " blocks"]]:
        """Return the metric with the first 1 .. B blocks of an order left out, and the order."""
        curve, blocks = np.full(len(self.found.blocks), np.nan), np.full(len(self.found.blocks), -1.0)
        for count, block in enumerate(order):
            curve[count], blocks[count] = self.scores[frozenset(order[: count + 1])].mean(), block
        return curve, blocks

    def record(self, layer_of: Mapping[str, int]) -> Deletion:
        """Return the record.

        Args:
            layer_of: index among the compared layers by name of the residual sum; others have none.
        """
        judged = {block: _verdict(self.loss(dropped), self.margin) for block, dropped in self.sweeps.alone.items()}
        confirmed = self.confirmed
        return Deletion(
            blocks=tuple(
                BlockRecord(
                    name=block.name,
                    stage=block.stage,
                    layer=layer_of.get(block.name),
                    droppable=judged.get(index),
                    reason=block.reason,
                )
                for index, block in enumerate(self.found.blocks)
            ),
            metric=self.metric,
            plain=float(self.plain.mean()),
            examples=len(self.plain),
            margin=self.margin,
            droppable=confirmed.droppable,
            verified=confirmed.examples,
            lost=None if confirmed.loss is None else confirmed.loss.value,
            lost_high=None if confirmed.loss is None else confirmed.loss.high,
            needed=confirmed.needed,
            sentence=self.sentence,
        )

    @property
    def sentence(self) -> str:
        """How many blocks can go, in words."""
        confirmed, margin = self.confirmed, f"{100 * self.margin:.1f} points of {self.metric}"
        every, possible = len(self.found.blocks), len(self.together)
        if not possible:
            return f"None of the {every} residual blocks can be left out: {self.found.blocks[0].reason}."
        if confirmed.droppable is None:
            return (
                f"Whether residual blocks can go together cannot be said with {confirmed.examples:,} verify examples: "
                f"a loss within {margin} takes at least {confirmed.needed:,}."
            )
        assert confirmed.loss is not None
        lost = (
            f"{100 * confirmed.loss.value:.1f} points on {confirmed.examples:,} verify examples (one-sided 95 % bound "
            f"{100 * confirmed.loss.high:.1f}, margin {100 * self.margin:.1f}, set beforehand)"
        )
        if confirmed.droppable == 0:
            return (
                f"None of {possible} residual blocks is shown to lose less than {margin}: without "
                f"{self.found.blocks[self.together[0]].name} the network loses {lost}."
            )
        return (
            f"{confirmed.droppable} of {possible} residual blocks can go together: without them the network loses "
            f"{lost}."
        )


def deletion_passes(
    graph: Graph, plan: Plan, *, examples: int = MOST_EXAMPLES, orders: int = ORDERS, found: Residuals | None = None
) -> float:
    """Return what ``delete_blocks`` costs at most, in forward passes of all the data.

    A block alone costs the part of the network behind it, every other set a whole pass; all on the sweep examples. On
    the verify examples each block adds one pass at most.

    Args:
        graph: the network.
        plan: which examples are kept for verification.
        examples: the most examples of the sweeps.
        orders: random orders.
        found: the residual blocks, if they are known.
    """
    found = found or residual_blocks(graph)
    if not found.droppable or not plan.examples:
        return 0.0
    counts = operations(graph)
    total = sum(counts.values())
    alone = 0.0
    for index in found.droppable:
        suffix = graph.program.suffix(found.blocks[index].branch)
        alone += sum(counts.get(step.name, 0) for step in (*suffix.ahead, *suffix.dependent)) / total
    several = sum(len(dropped) > 1 for dropped in Sweeps(found, orders, plan.seed).sets())
    together = len(found.droppable)
    swept, kept = len(_swept(plan, examples)), plan.sizes["verify"]
    return (swept * (2 + alone + several + together) + kept * (1 + together)) / plan.examples


def delete_blocks(
    graph: Graph,
    data: Iterable[Any],
    plan: Plan,
    *,
    examples: int = MOST_EXAMPLES,
    margin: float = MARGIN,
    orders: int = ORDERS,
    tell: Tell = lambda phase, done, total: None,
) -> Deletions | str:
    """Leave residual blocks out, and see what the network loses.

    An example's score is whether its class is right, without class labels whether it is the one that the whole network
    names, and for tokens the share of the tokens that are.

    Blocks go together from the ends of the stages: next is always the block whose stage loses least with it and all
    later ones gone. The longest row of them that loses at most ``margin`` on the sweep examples is chosen; on the
    verify examples one block after the other is then confirmed while the one-sided 95 % upper bound of the paired loss
    stays within ``margin``, and the first that is not ends it. The order is fixed before, so that all these tests
    together keep 5 % (fixed-sequence testing, Maurer, Hothorn and Lehmacher 1995).

    Args:
        graph: the network.
        data: any re-iterable of batches.
        plan: which examples are kept for verification; nothing is fitted, so that all others may choose.
        examples: the most examples of the sweeps, evenly spaced.
        margin: share of the metric that may be lost, in (0, 1), set before the run.
        orders: random orders of the blocks.
        tell: called with a phase, the examples done and the examples in all.

    Returns:
        What came of it, or why nothing could: no residual block, or no prediction that can be compared.

    Raises:
        InputError: ``margin``, ``examples`` or ``orders`` out of range.
        DataError: no example for the sweeps, labels that do not fit, or data that change between passes.
    """
    if not 0 < margin < 1:
        raise InputError(f"`margin` must be a share in (0, 1), got {margin}; 0.01 are 1.0 points.")
    if examples < 1 or orders < 0:
        raise InputError(f"`examples` must be at least 1 and `orders` at least 0, got {examples} and {orders}.")
    found = residual_blocks(graph)
    if not found.blocks:
        return "the network has no residual blocks"
    sweeps = Sweeps(found, orders, plan.seed)
    run = Leaving(graph, data, plan, found.blocks, tell)
    swept = _swept(plan, examples)
    answers = run.answers(swept, sweeps.sets(), "leaving blocks out")
    if isinstance(answers, str):
        return answers
    metric: Metric = "accuracy" if np.isfinite(answers.right).any() else "agreement"
    scores = answers.scores(metric)
    together = _together(sweeps, scores)
    rows = [frozenset(together[:count]) for count in range(len(together) + 1)]
    missing = [dropped for dropped in rows if dropped not in scores]
    if missing:
        more = run.answers(swept, [frozenset(), *missing], "leaving blocks out together")
        assert not isinstance(more, str)
        scores |= more.scores(metric)
    losses = [_loss(scores[frozenset()], scores[row], metric, answers.binary).value for row in rows]
    chosen = next((count for count, loss in enumerate(losses) if loss > margin), len(rows)) - 1
    confirmed = _confirm(run, rows, chosen, metric, answers.binary, margin)
    warnings = _warnings(answers, metric)
    return Deletions(found, sweeps, metric, answers.binary, scores, together, confirmed, margin, warnings)


def _swept(plan: Plan, examples: int) -> Int[np.ndarray, " examples"]:
    """Return the indices of the sweep examples, evenly spaced over all that are not kept for verification."""
    free = np.flatnonzero(plan.split != VERIFY)
    if not len(free):
        raise DataError(
            f"`data` must give examples that are not kept for verification, got none of {plan.examples}; give more "
            "examples, 1,000 or more for useful numbers."
        )
    count = min(examples, len(free))
    return free[np.arange(count) * len(free) // count]


def _together(sweeps: Sweeps, scores: Mapping[Dropped, Float64[np.ndarray, " examples"]]) -> tuple[int, ...]:
    """Return the order in which blocks go together: the one that is next in its stage, and leaves most of the metric.

    The metric is the one with its stage cut to there and all other stages whole; of equal ones the last block.
    """
    left, order = dict(sweeps.stage_end), []
    while left:
        following = [b for b, dropped in left.items() if not any(later in left for later in dropped - {b})]
        order.append(max(following, key=lambda b: (scores[sweeps.stage_end[b]].mean(), b)))
        del left[order[-1]]
    return tuple(order)


def _confirm(
    run: Leaving, rows: Sequence[Dropped], chosen: int, metric: Metric, binary: bool, margin: float
) -> Confirmed:
    """Confirm rows of blocks on the verify examples, one block more at a time, until one is not."""
    needed = fewest_examples(margin, gains=metric == "accuracy")
    kept = np.flatnonzero(run.plan.split == VERIFY)
    if len(rows) == 1 or len(kept) < needed:
        return Confirmed(chosen, None if len(rows) > 1 else 0, None, len(kept), needed)
    tested = rows[: max(chosen, 1) + 1]
    answers = run.answers(kept, tested, "confirming on verify examples")
    assert not isinstance(answers, str)
    scores = answers.scores(metric)
    plain = scores[frozenset()]
    if len(plain) < needed:
        return Confirmed(chosen, None, None, len(plain), needed)
    losses = [_loss(plain, scores[row], metric, binary) for row in tested[1:]]
    count = next((i for i, loss in enumerate(losses) if loss.high > margin), len(losses))
    return Confirmed(chosen, count, losses[max(count, 1) - 1], len(plain), needed)


def _loss(
    plain: Float64[np.ndarray, " examples"], scores: Float64[np.ndarray, " examples"], metric: Metric, binary: bool
) -> Loss:
    # a network agrees with itself, so that agreement cannot rise
    return paired_loss(plain, scores, binary=binary, gains=metric == "accuracy")


def _verdict(loss: Loss, margin: float) -> bool | None:
    """Return whether a loss is within the margin, ``None`` where the examples are too few to say."""
    if loss.high <= margin:
        return True
    return False if loss.low > margin else None


def _interval(scores: Float64[np.ndarray, " examples"], binary: bool) -> tuple[float, float, float]:
    """Return the mean and its 95 % interval over examples: Clopper-Pearson, or t for shares of tokens."""
    interval = clopper_pearson(int(scores.sum()), len(scores)) if binary else t_interval(scores)
    return float(scores.mean()), *(interval or (np.nan, np.nan))


def _warnings(answers: "Answers", metric: Metric) -> tuple[str, ...]:
    """Say when the metric leaves little to lose."""
    if metric == "agreement":
        if answers.most_chosen <= MAJORITY:
            return ()
        return (
            f"the whole network gives one answer in {answers.most_chosen:.1%} of all cases (more than {MAJORITY:.0%}), "
            "so that a constant answer would agree with it too: leaving blocks out shows little.",
        )
    plain = float(answers.scores(metric)[frozenset()].mean())
    if plain > answers.most_frequent:
        return ()
    return (
        f"the network is right for {plain:.1%} of the examples, no more than always naming the most frequent class "
        f"({answers.most_frequent:.1%}): it has nothing to lose, whatever is left out.",
    )
