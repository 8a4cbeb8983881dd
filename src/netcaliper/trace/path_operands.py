"""Which operands a path goes through where an operation has several, and where the units of a value lie."""

from collections.abc import Mapping, Sequence

from torch import Tensor
from torch.fx import Node

from netcaliper.trace.elementwise import Regions
from netcaliper.trace.names import operation
from netcaliper.trace.rules import RULES, move, reduce_, spatial
from netcaliper.trace.weighted import match

SUMS = ("aten.add", "aten.sub", "aten.rsub")

_COPIES = frozenset(
    f"aten.{name}"
    for name in ("clone", "alias", "detach", "contiguous", "dropout", "feature_dropout", "to", "_to_copy")
)
_SOFTMAX = frozenset(f"aten.{name}" for name in ("softmax", "_softmax", "_safe_softmax", "log_softmax", "_log_softmax"))
_SWAPS = frozenset(f"aten.{name}" for name in ("permute", "transpose", "t", "numpy_T", "mT", "movedim", "swapaxes"))


class Operands:
    """What was followed so far, and what it tells of the operands of the next node."""

    def __init__(self, regions: Regions, outputs: frozenset[str]) -> None:
        self.regions, self.outputs = regions, outputs
        self.followed: dict[Node, tuple[Node, ...]] = {}
        """By node the operands that the paths to it go through."""
        self._softmax: set[Node] = set()
        self._pooled: dict[Node, Node] = {}
        """By value that weight-free operations make of a pooled one, what was pooled."""

    def follow(self, node: Node, operands: tuple[Node, ...]) -> None:
        """Note which operands the paths to a node go through."""
        self.followed[node] = operands
        if operation(node) in _SOFTMAX or any(n in self._softmax for n in operands):
            self._softmax.add(node)
        sources = {self._pooled.get(n) for n in operands}
        weightless = match(node, self.regions.depends) is None
        if weightless and node not in self._pooled and len(sources) == 1 and (source := sources.pop()) is not None:
            self._pooled[node] = source

    def pooled(self, node: Node, operand: Node) -> None:
        """Note that a node is a mean, maximum or the like of parts of its operand."""
        self._pooled[node] = self._pooled.get(operand, operand)

    # ---- sums

    def branches(self, node: Node, sums: Mapping[Node, list[Node]]) -> list[Node]:
        """Return the branches of an operand of a sum: those of a sum that only this one reads, else the operand."""
        inner = node
        while self._read_once(inner):
            if inner in sums:
                return sums[inner]
            if operation(inner) not in _COPIES or len(self.followed.get(inner, ())) != 1:
                break
            (inner,) = self.followed[inner]
        return [node]

    def _read_once(self, node: Node) -> bool:
        readers = [user for user in node.users if user in self.regions.depends or user.op == "output"]
        return len(readers) == 1 and node.name not in self.outputs

    def without_statistics(self, operands: tuple[Node, ...]) -> tuple[Node, ...]:
        """Leave out of a sum the mean of another operand, which only centers it."""
        return tuple(n for n in operands if self._mean_of(n) not in operands) or operands

    def _mean_of(self, node: Node) -> Node | None:
        while operation(node) in _COPIES or RULES.get(operation(node)) is move:
            (node, *_) = self.followed[node]
        return self.followed[node][0] if operation(node) == "aten.mean" or "avg_pool" in operation(node) else None

    # ---- products

    def of_product(self, node: Node, operands: tuple[Node, ...], *, gate: bool) -> tuple[tuple[Node, ...], str]:
        """Return which operands of an elementwise product the paths go through, and what the product is.

        A *scale* is a pooled function of what it scales (squeeze-and-excite), or broadcast over it; *normalization* if
        it has no weights. A *gate* is a product with one operand that is a nonlinear function, which scales the other.
        Of a product with what is downstream of a softmax the other operand is followed; of any other both are.
        """
        if len(operands) == 1:
            return operands, ""
        if not gate:
            for value, scale in (operands, operands[::-1]):
                statistic = self._pooled.get(scale)
                if statistic is not None and (statistic is value or _smaller(scale, node)):
                    return (value,), "normalization"
                if self._summarizes(value, scale):
                    return (value,), "scale" if statistic is None else "normalization"
        for marked, why in ((self.regions.nonlinear, "gate"), (self._softmax, "scale")):
            values = tuple(n for n in operands if n not in marked)
            if len(values) == 1:
                small = any(_smaller(n, node) for n in operands)
                return values, "scale" if why == "gate" and small and not gate else why
        return operands, ""

    def of_matmul(self, operands: tuple[Node, ...]) -> tuple[tuple[Node, ...], bool]:
        """Return which operands of a matrix product are followed, and whether a softmax weighs them."""
        values = tuple(n for n in operands if n not in self._softmax)
        return (values, True) if len(operands) > 1 and len(values) == 1 else (operands, False)

    def _summarizes(self, value: Node, scale: Node) -> bool:
        """Tell whether a scale is made from a value by way of pooling."""
        seen, stack = set(), [(scale, False)]
        while stack:
            node, pools = stack.pop()
            if node is value:
                if pools:
                    return True
                continue
            if (node, pools) in seen:
                continue
            seen.add((node, pools))
            pools = pools or RULES.get(operation(node)) in (reduce_, spatial)
            stack.extend((n, pools) for n in self.followed.get(node, ()))
        return False


def unit_axis(node: Node, rank: int, followed: Sequence[Node], axes: Mapping[Node, int]) -> int:
    """Return the axis along which the units of a value lie, as far as it can be told from its operand's.

    Behind a view it is the second axis of a matrix or an image, the last one of a sequence.
    """
    usual = 1 if rank == 2 or rank > 3 else max(rank - 1, 0)
    if not followed or followed[0] not in axes:
        return usual
    value = followed[0].meta.get("val")
    if not isinstance(value, Tensor) or value.dim() != rank or rank == 0:
        return usual
    op, axis = operation(node), axes[followed[0]]
    if op in _SWAPS:
        return _swapped(node, op, rank).index(axis)
    views = ("aten.view", "aten.reshape", "aten._unsafe_view", "aten.flatten", "aten.unflatten")
    same_size = op not in views or node.meta["val"].shape == value.shape
    return axis if same_size else usual


def _swapped(node: Node, op: str, rank: int) -> list[int]:
    order = list(range(rank))
    if op == "aten.permute":
        return [int(axis) % rank for axis in node.args[1]]  # type: ignore[union-attr,call-overload]
    if op in ("aten.transpose", "aten.swapaxes"):
        a, b = (int(axis) % rank for axis in node.args[1:3])  # type: ignore[call-overload]
        order[a], order[b] = order[b], order[a]
        return order
    if rank > 1:
        order[-2:] = order[:-3:-1]
    return order


def _smaller(operand: Node, node: Node) -> bool:
    """Tell whether an operand is broadcast in the value of a node."""
    ours, theirs = node.meta["val"].shape, operand.meta["val"].shape
    return len(theirs) < len(ours) or any(
        isinstance(b, int) and b == 1 and not (isinstance(a, int) and a == 1) for a, b in zip(ours, theirs, strict=True)
    )
