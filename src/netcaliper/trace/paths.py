"""A walk over all paths of a network: how many active units lie on them, exactly, from the structure alone.

A path runs from an input channel to an output channel through channels; its length is the number of active units on it
(Mehmeti-Goepel and Disselhoff 2023). Weights play no role, nor do positions: all pixels or tokens of a channel are one
node. The walk pushes ids of exact states (see ``path_states.py``) through one run of the graph:

- a layer with weights mixes the channels that it reads, each with the same chance (a kernel's taps count once);
- a sum of k branches mixes them, each with the same chance, whatever it holds; sums of sums are one sum;
- a unit adds one where it is active; nothing comes through a unit that is always off;
- attention follows its values, a gated product its value operand, a scaled map the map (see ``path_operands.py``).
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor
from torch.fx import Node
from torch.utils import _pytree as pytree

from netcaliper.errors import InputError
from netcaliper.trace.elementwise import find_regions
from netcaliper.trace.export import source_line
from netcaliper.trace.graph import Graph
from netcaliper.trace.ids import NONE, Ids, compact
from netcaliper.trace.names import module_path, operation, short
from netcaliper.trace.path_operands import SUMS, Operands, unit_axis
from netcaliper.trace.path_states import State, States
from netcaliper.trace.program import Step, Values, bound
from netcaliper.trace.rules import POINTWISE, RULES, SHAPES, Call, Layer, extreme, move, pad, ranked, reduce_, spatial
from netcaliper.trace.site import Site
from netcaliper.trace.weighted import Weighted, match

Units = Mapping[str, Bool[np.ndarray, "_"]]

_START = 0
_LINEAR = frozenset(f"aten.{name}" for name in ("mean", "sum", "nansum"))
_CHOSEN = frozenset(f"aten.{name}" for name in ("topk", "sort", "kthvalue", "median", "mode", "cummax", "cummin"))
_SCATTERED = frozenset(f"aten.{name}" for name in ("index_add", "scatter_add", "scatter", "index_copy"))
_ATTENTION = ("aten.scaled_dot_product_attention", "aten._scaled_dot_product_flash_attention_for_cpu")
_PRODUCTS = frozenset(f"aten.{name}" for name in ("matmul", "mm", "bmm", "baddbmm"))


@dataclass(frozen=True)
class Walked:
    """What the walk found at the output.

    Attributes:
        state: of all output channels together; ``None`` if no path arrives.
        sites: names by the numbers in ``state.passed``.
        gaps: layers with weights through which no path comes, since all that they read is always off.
        bilinear: products of two data-dependent values that the paths go through, both followed.
        not_counted: nonlinear operations on the paths that are no units, with their number.
        skipped: elementwise nonlinearities on the paths that are no sites, counted as wholly active.
    """

    state: State | None
    sites: tuple[str, ...]
    gaps: tuple[str, ...]
    bilinear: tuple[str, ...]
    not_counted: dict[str, int]
    skipped: tuple[str, ...]


def walk(graph: Graph, active: Units, absent: Units, main: Callable[[Any], Tensor | None]) -> Walked:
    """Follow all paths to the main output of a graph, in one run of the example that it was traced with.

    Args:
        graph: the network.
        active: by site the units that count; all units of a site that is not named do.
        absent: by site the units that nothing comes through; none at a site that is not named.
        main: chooses the main output of what the model returns.

    Raises:
        InputError: a path goes through an operation that the rules do not know, by name, or nothing that the output
            depends on carries a path.
    """
    for casts in (False, True):  # integers are masks and places, unless there is nothing else
        walked = _Walk(graph, active, absent, casts=casts)
        output = walked.run(main)
        if output is not None:
            return walked.result(output)
    raise InputError(f"the main output of {graph.name} has no path from an input: it is no tensor that depends on one.")


@dataclass
class _Marks:
    """What has to be told of a node, if the paths go through it."""

    gap: str | None = None
    bilinear: str | None = None
    not_counted: list[str] = field(default_factory=list)
    skipped: str | None = None


class _Walk:
    """Ids of all values while the graph runs, and by which operands each was reached."""

    def __init__(self, graph: Graph, active: Units, absent: Units, *, casts: bool) -> None:
        self.graph, self.casts = graph, casts
        nodes = [node for node in graph.program.steps[0].node.graph.nodes if node.op != "output"]
        self.regions = find_regions(nodes, frozenset(graph.program.user_inputs))
        self.operands = Operands(self.regions, graph.program.output_names)
        self.states = States()
        self.states.add(State())
        self.names: list[str] = []
        self.ids: dict[Node, Ids | list[Ids | None]] = {}
        self.axis: dict[Node, int] = {}
        """By node the axis along which its units lie."""
        self.marks: dict[Node, _Marks] = {}
        self.sums: dict[Node, list[Node]] = {}
        """By sum the branches that it mixes."""
        self.compared: set[Node] = set()
        """Integers and truth values that are made of what carries paths, and what is made of these alone."""
        self.after_gap: set[Node] = set()
        self.sites = {site.node: site for site in graph.sites if site.kind != "stream"}
        self.active = {name: torch.from_numpy(np.asarray(units)) for name, units in active.items()}
        self.absent = {name: torch.from_numpy(np.asarray(units)) for name, units in absent.items()}
        for node in nodes:
            value = node.meta.get("val")
            given = node.name in graph.program.user_inputs
            if given and isinstance(value, Tensor) and not _is_integer(value):
                self._begin(node, value.dim())

    def run(self, main: Callable[[Any], Tensor | None]) -> Node | None:
        """Run the example and return the node of the main output, if paths can lead there."""
        program, batch = self.graph.program, self.graph.example
        outputs: dict[int, Node] = {}
        by_name = {node.name: node for node in program.steps[0].node.graph.nodes}

        def visit(step: Step, value: Any, values: Values) -> None:
            if step.name in program.output_names:
                outputs[id(value)] = step.node
            if step.node.op == "call_function" and step.node in self.regions.depends:
                self._visit(step.node, value, values)

        leaves = pytree.tree_leaves((*batch.args, *batch.kwargs.values()))
        output, _ = program.run(leaves, keep=visit)
        for name in program.output_names & set(program.user_inputs):
            outputs[id(dict(zip(program.user_inputs, leaves, strict=True))[name])] = by_name[name]
        found = outputs.get(id(main(output)))
        return found if found is not None and isinstance(self.ids.get(found), Tensor) else None

    def result(self, output: Node) -> Walked:
        """Mix the output channels, and tell what lies on the way there."""
        value, ids = output.meta["val"], self._of(output)
        if value.dim():
            axis = self.axis[output]
            ids = self.states.positions(ids, [other for other in range(value.dim()) if other != axis])
            size = value.shape[axis]
            # an output with one axis has one value an example
            ids = self.states.dense(ids, axis, int(size) if value.dim() > 1 and isinstance(size, int) else 1)
        number = int(ids.flatten()[0])
        state = self.states[number] if number >= 0 else None
        if state is not None and state.unknown:
            raise InputError(f"the paths of {self.graph.name} cannot be followed: {state.unknown}.")
        marks = [self.marks[node] for node in self._way(output) if node in self.marks]
        return Walked(
            state,
            tuple(self.names),
            tuple(dict.fromkeys(mark.gap for mark in marks if mark.gap)),
            tuple(dict.fromkeys(mark.bilinear for mark in marks if mark.bilinear)),
            dict(sorted(Counter(op for mark in marks for op in mark.not_counted).items())),
            tuple(dict.fromkeys(mark.skipped for mark in marks if mark.skipped)),
        )

    def _way(self, output: Node) -> list[Node]:
        """Return what is followed on the way to the output, in the order of the graph."""
        seen, stack = set(), [output]
        while stack:
            node = stack.pop()
            if node not in seen:
                seen.add(node)
                stack.extend(self.operands.followed.get(node, ()))
        return [node for node in output.graph.nodes if node in seen]

    # ---- one step

    def _visit(self, node: Node, value: Any, values: Values) -> None:
        first = value[0] if isinstance(value, (tuple, list)) and value else value
        if operation(node) == "getitem":
            parts = self.ids.get(node.args[0])  # type: ignore[arg-type]
            ids = parts[node.args[1]] if isinstance(parts, list) else None  # type: ignore[index]
            if ids is not None:
                self._enter(node, value, ids, (node.args[0],))  # type: ignore[arg-type]
            elif parts is not None:
                self.compared.add(node)
            return
        compared = any(n in self.compared for n in node.all_input_nodes)
        if not isinstance(first, Tensor) or _is_integer(first):
            if compared or any(n in self.ids for n in node.all_input_nodes):
                self.compared.add(node)
            return
        weighted = match(node, self.regions.depends)
        if weighted is not None:
            self._weigh(node, weighted, value)
            return
        carrying = tuple(n for n in node.all_input_nodes if n in self.ids)
        if carrying:
            if compared and operation(node) in POINTWISE:
                self._mark(node).not_counted.append("comparison")
            self._pass(node, value, values, carrying)
        elif self._looks_up(node) or (self.casts and not compared):
            self._begin(node, first.dim())
        elif compared:
            self.compared.add(node)

    def _looks_up(self, node: Node) -> bool:
        """Tell whether a node takes rows of a fixed table by integers of the input, as an embedding does."""
        source = node.args[0] if node.args else None
        return operation(node) in ("aten.index", "aten.index_select", "aten.gather", "aten.embedding_bag") and (
            isinstance(source, Node) and source not in self.regions.depends
        )

    def _begin(self, node: Node, rank: int) -> None:
        self.ids[node] = torch.full([1] * rank, _START)
        self.axis[node] = 1 if rank == 2 or rank > 3 else max(rank - 1, 0)

    def _enter(self, node: Node, value: Any, ids: Ids | list[Ids | None], followed: tuple[Node, ...]) -> None:
        self.ids[node] = ids
        self.operands.follow(node, followed)
        parts = [part for part in (ids if isinstance(ids, list) else [ids]) if part is not None]
        if any(n in self.after_gap for n in followed) and all(bool((part < 0).all()) for part in parts):
            self.after_gap.add(node)
        if isinstance(value, Tensor):
            self.axis[node] = unit_axis(node, value.dim(), followed, self.axis)

    def _of(self, node: Node) -> Ids:
        ids = self.ids[node]
        assert isinstance(ids, Tensor)
        return ids

    def _mark(self, node: Node) -> _Marks:
        return self.marks.setdefault(node, _Marks())

    # ---- weights

    def _weigh(self, node: Node, weighted: Weighted, value: Any) -> None:
        several = isinstance(value, (tuple, list))
        out = value[0] if several else value
        operand = weighted.operand
        if operand is None:
            self._begin(node, out.dim())
            return
        if operand not in self.ids:
            return
        if weighted.recurrent:
            why = f"`{weighted.op}` at {_place(node)} is one operation that hides its gates"
            self._enter(node, out, self._unknown(why, value), (operand,))
            return
        ids = self._of(operand)
        axis = weighted.reads % ids.dim()
        groups = weighted.groups
        if weighted.op.startswith("conv"):
            ids = self.states.positions(ids, [other for other in range(ids.dim()) if other not in (0, axis)])
        shape = operand.meta["val"].shape
        mixed = self.states.dense(ids, axis, int(shape[axis]), groups)
        made, rank = weighted.makes % out.dim(), out.dim()
        if mixed.shape[axis] > 1:
            mixed = mixed.repeat_interleave(int(out.shape[made]) // groups, axis)
        mixed = mixed.squeeze(axis) if mixed.dim() > rank else ranked(mixed, rank)  # a weight may be a vector
        self._enter(node, out, [mixed, *[None] * (len(value) - 1)] if several else mixed, (operand,))
        self.axis[node] = made
        if bool((mixed < 0).all()) and bool((mixed != NONE).any()) and operand not in self.after_gap:
            self._mark(node).gap = _place(node)
            self.after_gap.add(node)

    # ---- units

    def _units(self, node: Node, ids: Ids, value: Tensor) -> Ids:
        """Pass the units of a site; where there is none, a nonlinearity counts as wholly active, by name."""
        site: Site | None = self.sites.get(node.name)
        name = site.name if site is not None else f"{_place(node)}.{short(node)}".lstrip(".")
        if site is None:
            self._mark(node).skipped = name
        self.names.append(name)
        units = 1 if site is None else site.units
        active = self.active.get(name, torch.ones(units, dtype=torch.bool)) if site else torch.ones(1, dtype=torch.bool)
        absent = self.absent.get(name, torch.zeros(units, dtype=torch.bool)) if site else ~active
        axis = site.axis if site is not None else 0
        return self.states.step(ranked(ids, value.dim()), axis, len(self.names) - 1, active, absent)

    # ---- everything else

    def _pass(self, node: Node, value: Any, values: Values, carrying: tuple[Node, ...]) -> None:
        op, rank = operation(node), value.dim() if isinstance(value, Tensor) else 0
        root = self.regions.root.get(node, node)
        if op == "aten.glu":
            self._glu(node, value, carrying[0])
        elif root is not node and root in self.ids:
            self._scalar(node, value, root, carrying[0])
        elif op in SUMS:
            self._sum(node, value, carrying)
        elif op in ("aten.mul", "aten.div"):
            self._product(node, value, carrying)
        elif op in POINTWISE:
            self._pointwise(node, value, carrying)
        elif op in _PRODUCTS:
            self._matmul(node, value, carrying)
        elif op in _ATTENTION:
            self._attention(node, value)
        else:
            ids, followed = self._by_rule(node, op, value, values, carrying)
            if isinstance(ids, Tensor):
                ids = ranked(ids, rank)
            self._enter(node, value, ids, followed)

    def _scalar(self, node: Node, value: Tensor, root: Node, operand: Node) -> None:
        """Follow a scalar function of one earlier value: where its region ends in a nonlinearity units lie."""
        if node in self.regions.joins or node in self.regions.absorbed:
            operand = root
        ids = ranked(self._of(operand), value.dim())
        if self.regions.exits(node) and not self._is_no_unit(node):
            ids = self._units(node, ids, value)
        self._enter(node, value, ids, (operand,))

    def _is_no_unit(self, node: Node) -> bool:
        """Tell whether a nonlinearity is part of a gated product, or a clamp whose stored bounds are infinite."""
        if node.name in self.sites:
            return False
        if any(user.name in self.sites and self.sites[user.name].kind == "gate" for user in node.users):
            return True
        bounds = [self.graph.program.fixed(bound.name) for bound in node.args[1:] if isinstance(bound, Node)]
        infinite = [isinstance(bound, Tensor) and bool(torch.isinf(bound).all()) for bound in bounds]
        return operation(node) == "aten.clamp" and bool(infinite) and all(infinite)

    def _sum(self, node: Node, value: Tensor, carrying: tuple[Node, ...]) -> None:
        carrying = self.operands.without_statistics(carrying)
        if len(carrying) == 1:
            self._enter(node, value, ranked(self._of(carrying[0]), value.dim()), carrying)
            return
        branches = [branch for n in carrying for branch in self.operands.branches(n, self.sums)]
        self.sums[node] = branches
        ids = self.states.branches([ranked(self._of(branch), value.dim()) for branch in branches])
        self._enter(node, value, ids, tuple(branches))

    def _product(self, node: Node, value: Tensor, carrying: tuple[Node, ...]) -> None:
        site = self.sites.get(node.name)
        followed, why = self.operands.of_product(node, carrying, gate=site is not None)
        ids = self._mean(value, followed)
        if why == "gate" or site is not None:
            ids = self._units(node, ids, value)
        elif why:
            self._mark(node).not_counted.append(why)
        if len(followed) > 1:
            self._mark(node).bilinear = site.name if site is not None else _place(node)
        self._enter(node, value, ids, followed)

    def _pointwise(self, node: Node, value: Tensor, carrying: tuple[Node, ...]) -> None:
        """Follow all values that an elementwise operation chooses from or mixes, each with the same chance."""
        op = operation(node)
        if op in ("aten.type_as", "aten.copy"):  # one of the two gives its type or its shape only
            kept = node.args[op == "aten.copy"]
            carrying = tuple(n for n in carrying if n is kept)
            if not carrying:
                return
        if len(carrying) > 1 and op != "aten.lerp":
            self._mark(node).not_counted.append(short(node))
        self._enter(node, value, self._mean(value, carrying), carrying)

    def _mean(self, value: Tensor, nodes: tuple[Node, ...]) -> Ids:
        ids = [ranked(self._of(n), value.dim()) for n in nodes]
        return ids[0] if len(ids) == 1 else self.states.branches(ids)

    def _glu(self, node: Node, value: Tensor, operand: Node) -> None:
        """Follow the first half of ``a * sigmoid(b)``."""
        ids = self._of(operand)
        axis = int(node.args[1]) if len(node.args) > 1 else -1  # type: ignore[call-overload]
        if ids.shape[axis] > 1:
            ids = compact(ids.narrow(axis, 0, ids.shape[axis] // 2))
        self._enter(node, value, self._units(node, ids, value), (operand,))

    def _matmul(self, node: Node, value: Tensor, carrying: tuple[Node, ...]) -> None:
        """Follow the operand that is not downstream of a softmax, else both; their contracted axis is mixed."""
        a, b = node.args[1:3] if operation(node) == "aten.baddbmm" else node.args[:2]
        followed, softmax = self.operands.of_matmul(tuple(n for n in carrying if n in (a, b)))
        parts = []
        for n in followed:
            ids = self._of(n)
            axis = ids.dim() - 1 if n is a else max(ids.dim() - 2, 0)
            other = b if n is a else a
            if isinstance(other, Node) and other in self.regions.depends:
                ids = self.states.positions(ids, [axis])
            else:
                ids = self.states.dense(ids, axis, int(n.meta["val"].shape[axis]))
            parts.append(ranked(ids, value.dim()) if ids.dim() <= value.dim() else ids.squeeze(axis))
        added = tuple(n for n in carrying if n not in (a, b))
        parts += [ranked(self._of(n), value.dim()) for n in added]
        if softmax:
            self._mark(node).not_counted.append("softmax")
        if len(followed) > 1:
            self._mark(node).bilinear = _place(node)
        self._enter(node, value, parts[0] if len(parts) == 1 else self.states.branches(parts), (*followed, *added))

    def _attention(self, node: Node, value: Any) -> None:
        """Follow the values: tokens are mixed; one head of keys and values may serve several of the queries."""
        values = node.args[2]
        if not isinstance(values, Node) or values not in self.ids:
            return
        out = value if isinstance(value, Tensor) else value[0]
        ids = self.states.positions(self._of(values), [out.dim() - 2])
        if out.dim() > 2 and ids.shape[-3] > 1:
            ids = ids.repeat_interleave(int(out.shape[-3]) // ids.shape[-3], dim=-3)
        self._mark(node).not_counted.append("attention")
        several = not isinstance(value, Tensor)
        self._enter(node, value, [ids, *[None] * (len(value) - 1)] if several else ids, (values,))

    def _by_rule(
        self, node: Node, op: str, value: Any, values: Values, carrying: tuple[Node, ...]
    ) -> tuple[Ids | list[Ids | None], tuple[Node, ...]]:
        """Follow what is moved, reduced, pooled, normalized or chosen."""
        rule = RULES.get(op)
        operand = carrying[0]
        several = isinstance(value, (tuple, list))
        args, kwargs = bound(node, values)
        call = Call(node, op, _place(node), args, kwargs, value)
        if rule in (move, pad):
            ids = self._moved(call, carrying)
            return ids, carrying
        if op in _CHOSEN or op in _SCATTERED or (rule is extreme and several):
            return self._chosen(call, carrying), carrying
        if rule is None:
            place = source_line(node)
            before = [self.states[int(self._of(n).max())].unknown for n in carrying if bool((self._of(n) >= 0).any())]
            why = f"{op} at {_place(node)}{f' ({place})' if place else ''} is not in the rule table"
            return self._unknown(next(filter(None, before), why), value), carrying
        if rule is reduce_ or (rule is extreme and len(carrying) == 1):
            if op not in _LINEAR:
                self._mark(node).not_counted.append(short(node))
            self.operands.pooled(node, operand)
            return self._reduced(call, operand), (operand,)
        if rule is extreme:
            self._mark(node).not_counted.append(short(node))
            return self._mean(value, carrying), carrying
        ids = self._of(operand)
        if rule is spatial or "pool" in op:
            dims = int(next(c for c in reversed(op) if c.isdigit())) if any(c.isdigit() for c in op) else ids.dim() - 2
            ids = self.states.positions(ids, range(ids.dim() - dims, ids.dim()))
            if "max_pool" in op:
                self._mark(node).not_counted.append("max_pool")
            self.operands.pooled(node, operand)
        elif "softmax" in op or "cum" in op:
            dims = int(call.argument(1, "dim", -1))
            ids = self.states.positions(ids, [dims % ids.dim()])
            if op != "aten.cumsum":
                self._mark(node).not_counted.append("softmax" if "softmax" in op else short(node))
        elif "batch_norm" not in op or call.argument(3, "running_mean", None) is None:
            self._mark(node).not_counted.append(short(node).removeprefix("native_").removeprefix("_fused_"))
        return ([ids, *[None] * (len(value) - 1)] if several else ids), (operand,)

    def _moved(self, call: Call, carrying: tuple[Node, ...]) -> Ids | list[Ids | None]:
        """Run the operation on the ids; where all that it moves is the same there is nothing to run."""
        parts = [self._of(n) for n in carrying]
        floats = [n for n in call.node.all_input_nodes if _is_float(n)]
        same = {int(part.flatten()[0]) for part in parts} if all(part.numel() == 1 for part in parts) else set()
        several = isinstance(call.value, (tuple, list))
        if len(same) == 1 and len(floats) == len(carrying) and RULES[call.op] is move:
            uniform = [torch.full([1] * part.dim(), *same) for part in (call.value if several else [call.value])]
            return list(uniform) if several else uniform[0]
        found = RULES[call.op](call, {n: Layer(ids) for n, ids in zip(carrying, parts, strict=True)})
        return [layer.ids for layer in found] if isinstance(found, list) else found.ids

    def _reduced(self, call: Call, operand: Node) -> Ids:
        ids = self._of(operand)
        dims = call.argument(2 if call.op == "aten.linalg_vector_norm" else 1, "dim", None)
        dims = list(range(ids.dim())) if dims in (None, []) else [dims] if isinstance(dims, int) else list(dims)
        dims = sorted({dim % ids.dim() for dim in dims if isinstance(dim, int)})
        axis = self.axis[operand]
        ids = self.states.positions(ids, [dim for dim in dims if dim != axis])
        if axis in dims:
            ids = self.states.dense(ids, axis, int(operand.meta["val"].shape[axis]))
        return ids if call.value.dim() == ids.dim() else ids.squeeze(dims)

    def _chosen(self, call: Call, carrying: tuple[Node, ...]) -> Ids | list[Ids | None]:
        """Follow what a sort or a choice along an axis returns, or what is put or added in along an axis."""
        several = isinstance(call.value, (tuple, list))
        out = call.value[0] if several else call.value
        if call.op in _SCATTERED:
            dim = int(call.args[1])
        else:
            dim = int(call.argument(2 if call.op in ("aten.topk", "aten.kthvalue") else 1, "dim", -1))
            self._mark(call.node).not_counted.append(short(call.node))
        parts = []
        for n in carrying:
            ids = self.states.positions(self._of(n), [dim % max(self._of(n).dim(), 1)])
            parts.append(ids if ids.dim() == out.dim() else ids.squeeze(dim))
        ids = parts[0] if len(parts) == 1 else self.states.branches(parts)
        return [ids, *[None] * (len(call.value) - 1)] if several else ids

    def _unknown(self, why: str, value: Any) -> Ids | list[Ids | None]:
        number = self.states.add(State(unknown=why))
        if isinstance(value, Tensor):
            return torch.full([1] * value.dim(), number)
        return [torch.full([1] * v.dim(), number) if isinstance(v, Tensor) else None for v in value]


def _place(node: Node) -> str:
    return module_path(node) or short(node)


def _is_float(node: Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) and not _is_integer(value) and operation(node) not in SHAPES


def _is_integer(value: Tensor) -> bool:
    return not (value.is_floating_point() or value.is_complex())
