"""Fit every weighted call again, in the order of execution, to what the calls before it leave of its input.

Both networks walk over the held examples side by side. At a call with ``y = W x + b`` in the original network and the
input z in the smaller one (without the columns that go, and changed by all that was fitted before), W becomes

    ``V = argmin E |t - V z - c|^2 + lambda tr((V - W) D (V - W)^T)``,   ``t = y + (s - r) / g``,

D the diagonal of the second moments of z (W as the exact steps left it), and c a constant where there is a place for
it. ``s - r`` is what the other operand of the call's residual sum has lost by then, g the factor between the call and
the sum: so errors do not add up along a residual stream. lambda is the one of a fixed grid that leaves the least on the
fifth of the examples that it was not fitted to; a call that no lambda improves stays as it is.

The same goes, one layer at a time and without the last term, by the names of interpolative decomposition with
next-layer correction (Chee et al. 2022) and layer-wise reconstruction (He, Zhang and Sun 2017).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from netcaliper.feed.protocol import rows_wanted
from netcaliper.shrink.calls import Call
from netcaliper.shrink.held import Held
from netcaliper.stats.covariance import Covariance, Moments
from netcaliper.trace.graph import Graph
from netcaliper.trace.walk import Walk

RIDGES = (1e-12, 1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""What lambda is chosen from; the first one leaves an exact relation between units exact."""

FIRST = 3
"""Index of the lambda that is tried first; from there it goes up or down as long as less is left."""

FOLDS = 5


@dataclass
class Fits:
    """What came of the calls.

    Attributes:
        state: of the network, with the fitted weights.
        fitted: names of the calls that were fitted, with the lambda that was chosen.
        kept: calls that were not, by name, with the reason.
    """

    state: dict[str, Tensor]
    fitted: dict[str, float] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)


def refit(
    graph: Graph,
    calls: Sequence[Call],
    smaller: Graph,
    gone: Mapping[str, Bool[np.ndarray, " columns"]],
    held: Held,
    dropped: Sequence[str] = (),
) -> Fits:
    """Fit the calls of a smaller network to what the original one computes.

    Args:
        graph: the original network.
        calls: of the original network, from ``find_calls``.
        smaller: the same graph over the smaller network's state: units that go are 0 wherever they are.
        gone: by the node of a call the columns of W that read units that go.
        held: examples to fit on.
        dropped: nodes whose value is 0 in the smaller network (branches of residual blocks).
    """
    found = Fits(dict(smaller.program.tensors))
    nodes = {name: node for node, name in graph.program.parameters.items()}
    before, after = Walk(graph, held.batches), Walk(smaller, held.batches, zero=dropped)
    for call in calls:
        before.before(call.step)
        after.before(call.step)
        lost = gone.get(call.node)
        x, z = before.value(call.source.source), after.value(call.source.source)
        losing = lost is not None and lost.any()
        mends = call.beside is not None and not _alike(before, after, call.beside.node)
        if not losing and not mends and all(torch.equal(a, b) for a, b in zip(x, z, strict=True)):
            continue
        stay = np.ones(call.source.columns, dtype=bool) if lost is None else ~lost
        moments = _moments(graph, call, stay, held, before, after)
        if isinstance(moments, str):
            found.kept[call.name] = moments
            continue
        fit = _best(call, call.matrix(found.state[call.weight]), stay, *moments)
        if fit is None:
            found.kept[call.name] = "no fit leaves less than its own weights on examples that it was not fitted to"
            continue
        weight, constant, ridge = fit
        stored = call.source.as_stored(weight)
        found.state[call.weight] = stored
        after.replace(nodes[call.weight], stored)
        if call.constant is not None and constant is not None:
            old = found.state[call.constant.name].detach()
            new = old + call.constant.sign * torch.from_numpy(constant).to(old)
            found.state[call.constant.name] = new
            after.replace(call.constant.node, new)
        found.fitted[call.name] = ridge
    return found


def _alike(before: Walk, after: Walk, node: str) -> bool:
    return all(torch.equal(a, b) for a, b in zip(before.value(node), after.value(node), strict=True))


def _moments(
    graph: Graph, call: Call, stay: Bool[np.ndarray, " columns"], held: Held, before: Walk, after: Walk
) -> tuple[Moments, Moments] | str:
    """Return the joint moments of z and t over four fifths of the examples and over the rest."""
    columns = int(stay.sum())
    wanted = rows_wanted(call.source.columns)
    weight = torch.from_numpy(call.source.weight)
    inside = torch.from_numpy(np.flatnonzero(stay))
    states = [Covariance(columns + len(weight)) for _ in range(2)]
    values = zip(before.value(call.source.source), after.value(call.source.source), strict=True)
    for number, (x, z) in enumerate(values):
        size = held.batches[number].size
        valid = call.source.valid(graph, held.batches[number], x)
        if isinstance(valid, str):
            return valid
        example, position = held.rows(number, call.source.width(x, size), wanted, valid)
        target = call.source.rows(x, size, example, position).double().cpu() @ weight.T
        if call.beside is not None:
            a, b = (walk.value(call.beside.node)[number] for walk in (before, after))
            error = call.outputs(a - b, size, example, position).cpu()
            target += error if call.beside.scale is None else error * _inverse(call.beside.scale)
        rows = call.source.rows(z, size, example, position).double().cpu()[:, inside]
        joint = torch.cat([rows, target], 1)
        last = torch.from_numpy(held.fold(number, FOLDS)[example] == FOLDS - 1)
        for state, which in zip(states, (~last, last), strict=True):
            state.update(joint[which])
    if states[0].count <= columns + 1 or states[1].count < 2:
        return f"too few rows ({states[0].count + states[1].count:,} for {columns:,} columns); give more examples"
    return states[0].finish(), states[1].finish()


def _inverse(scale: Float64[np.ndarray, " outputs"]) -> Tensor:
    """Return ``1 / scale``, 0 for channels that the sum does not see."""
    seen = np.abs(scale) > 1e-6 * np.abs(scale).max(initial=0)
    return torch.from_numpy(np.where(seen, 1 / np.where(seen, scale, 1), 0))


def _best(
    call: Call,
    whole_own: Float64[np.ndarray, "outputs columns"],
    stay: Bool[np.ndarray, " columns"],
    fitted: Moments,
    other: Moments,
) -> tuple[Float64[np.ndarray, "outputs columns"], Float64[np.ndarray, " outputs"] | None, float] | None:
    """Return the weight and the constant of the lambda that leaves the least, ``None`` if W itself leaves no more."""
    own = whole_own[:, stay]
    free = call.constant is not None
    parts = [_Part(moments, int(stay.sum()), free) for moments in (fitted, other)]
    kept = parts[1].left(own, np.zeros(len(own)))
    left: dict[int, float] = {}

    def tried(index: int) -> float:
        if index not in left:
            weight = parts[0].fit(own, RIDGES[index]) if 0 <= index < len(RIDGES) else None
            left[index] = np.inf if weight is None else parts[1].left(weight, parts[0].constant(weight))
        return left[index]

    best = FIRST
    for way in (1, -1):
        while tried(best + way) < tried(best):
            best += way
    if not tried(best) < kept:
        return None
    ridge = RIDGES[best]
    whole = _Part(_merged(fitted, other), int(stay.sum()), free)
    weight = whole.fit(own, ridge)
    if weight is None:
        return None
    full = np.zeros_like(whole_own)
    full[:, stay] = weight
    return full, whole.constant(weight) if free else None, ridge


def _merged(a: Moments, b: Moments) -> Moments:
    """Return the moments over the rows of both (Chan, Golub and LeVeque 1983)."""
    count = a.count + b.count
    shift = b.mean - a.mean
    scatter = (
        a.covariance * (a.count - 1)
        + b.covariance * (b.count - 1)
        + np.outer(shift, shift) * (a.count * b.count / count)
    )
    mean = a.mean + shift * (b.count / count)
    return Moments(count, mean, scatter / max(count - 1, 1), max(a.eps, b.eps))


class _Part:
    """Moments of z and t over some rows, centered where a constant is free, else about zero."""

    def __init__(self, moments: Moments, columns: int, free: bool) -> None:
        whole = moments.covariance * ((moments.count - 1) / moments.count)
        self.about_zero = whole + np.outer(moments.mean, moments.mean)
        used = whole if free else self.about_zero
        self.free = free
        self.mean_z, self.mean_t = moments.mean[:columns], moments.mean[columns:]
        self.zz, self.tz = used[:columns, :columns], used[columns:, :columns]
        self.columns = columns

    def fit(self, own: Float64[np.ndarray, "outputs columns"], ridge: float) -> np.ndarray | None:
        """Return V at one lambda; columns that are 0 on every row keep their weight."""
        scale = np.sqrt(np.maximum(np.diag(self.zz), 0))
        there = scale > 1e-12 * scale.max(initial=0)
        if not there.any():
            return own.copy()
        d = scale[there]
        matrix = self.zz[np.ix_(there, there)] / d[:, None] / d + ridge * np.eye(len(d))
        # solved for V - W, so that what is well fitted already is not rounded
        gap = (self.tz - own @ self.zz)[:, there] / d
        factor, failed = torch.linalg.cholesky_ex(torch.from_numpy(matrix))
        if int(failed):
            return None
        weight = own.copy()
        weight[:, there] += torch.cholesky_solve(torch.from_numpy(gap.T), factor).numpy().T / d
        return weight

    def constant(self, weight: Float64[np.ndarray, "outputs columns"]) -> Float64[np.ndarray, " outputs"]:
        """Return c, 0 where it is not free."""
        return self.mean_t - weight @ self.mean_z if self.free else np.zeros(len(self.mean_t))

    def left(self, weight: Float64[np.ndarray, "outputs columns"], constant: Float64[np.ndarray, " outputs"]) -> float:
        """Return ``E |t - V z - c|^2``."""
        k = self.columns
        zz, tz, tt = self.about_zero[:k, :k], self.about_zero[k:, :k], np.diag(self.about_zero)[k:]
        product = (torch.from_numpy(weight) @ torch.from_numpy(zz)).numpy()
        residual = tt.sum() - 2 * np.sum(weight * tz) + np.sum(product * weight)
        mean = self.mean_t - weight @ self.mean_z
        return float(residual - 2 * constant @ mean + constant @ constant)
