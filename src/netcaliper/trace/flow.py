"""The sweep over the graph that finds sites, their consumers, and what must change together.

Two kinds of ids go through the graph at once. *Site* ids start at a site and stop at weights, nonlinearities and gates:
they answer which columns of which weights read unit j. *Row* ids start at every producer, pass through nonlinearities,
and are united where values are added or multiplied: they answer on which axis of a value its units lie, and what must
change together.

One sweep over a real run does both; a residual sum is a site too, and the readers of the sums after it are composed at
the end, so that the cost does not grow with the square of the depth.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from netcaliper.trace.activations import ACTIVATIONS
from netcaliper.trace.elementwise import Regions, find_regions
from netcaliper.trace.export import source_line
from netcaliper.trace.groups import Side
from netcaliper.trace.ids import MIXED, NONE, Classes, Ids, along, compact, line, merge, varying, window
from netcaliper.trace.names import Namer, module_path, operation, short
from netcaliper.trace.program import Program, Step, Values, bound
from netcaliper.trace.rules import COMPARISONS, POINTWISE, RULES, Call, Layer, matmul, reduce_, spatial
from netcaliper.trace.site import Activation, Consumer, Kind
from netcaliper.trace.weighted import Weighted, match

_SUMS = ("aten.add", "aten.sub", "aten.rsub")
_GATES = {"silu": "swiglu", "gelu": "geglu", "sigmoid": "glu", "relu": "reglu", "tanh": "tanh_gate"}


@dataclass
class Carried:
    """What a value carries: layers of row ids (newest first), site ids, and where it comes from.

    Attributes:
        rows: compact row ids; more than one layer where a weight acted along another axis than the units'.
        sites: site ids by the number of the site.
        origin: weighted calls and residual sums that the value comes from directly.
        lost: in words, what mixed or hid the rows if ``rows`` is empty.
    """

    rows: tuple[Ids, ...] = ()
    sites: dict[int, Layer] = field(default_factory=dict)
    origin: frozenset[str] = frozenset()
    lost: str = ""


@dataclass
class Found:
    """A site while it is being found."""

    name: str
    kind: Kind
    op: str
    node: Node
    inputs: tuple[Node, ...]
    activation: Activation | None
    axis: int
    units: int
    rows: Ids
    consumers: dict[tuple[str, int], Consumer] = field(default_factory=dict)
    links: list[tuple[int, Ids | None, tuple[str, ...]]] = field(default_factory=list)
    readers: list[str] = field(default_factory=list)
    barriers: list[str] = field(default_factory=list)
    refused: str | None = None


class Sweep:
    """State of the sweep; ``visit`` is called after every step of a real run."""

    def __init__(self, model: nn.Module, program: Program, nodes: list[Node]) -> None:
        self.program = program
        self.regions: Regions = find_regions(nodes, frozenset(program.user_inputs))
        self.classes = Classes()
        self.found: list[Found] = []
        self.skipped: list[tuple[str, str]] = []
        self.axes: list[tuple[str, Side, Ids]] = []  # what every weighted call makes and reads
        self._namer = Namer(model)
        weighted = {
            node: found for node in nodes if node.op == "call_function" and (found := match(node, self.regions.depends))
        }
        self._weighted: Mapping[Node, Weighted] = weighted
        self._namer.weighted_paths = frozenset(module_path(node) for node in weighted)
        self._carried: dict[Node, Carried | list[Carried]] = {}
        self._axis_ids: dict[tuple[int | str, int], Ids] = {}

    # ---- one step

    def visit(self, step: Step, value: Any, values: Values) -> None:
        """Push the ids through one step."""
        node = step.node
        if node.op != "call_function" or node not in self.regions.depends:
            return
        if operation(node) == "getitem":
            parts = self._carried.get(node.args[0])  # type: ignore[arg-type]
            index = node.args[1]
            self._carried[node] = parts[index] if isinstance(parts, list) else parts or Carried()  # type: ignore[index]
            return
        if node in self._weighted:
            self._carried[node] = self._weigh(node, self._weighted[node], value)
            return
        carried = self._pass(node, value, values)
        if isinstance(carried, Carried) and isinstance(value, Tensor):
            carried = self._site(node, value, carried)
        self._carried[node] = carried

    def _of(self, node: object) -> Carried:
        carried = self._carried.get(node) if isinstance(node, Node) else None
        return carried if isinstance(carried, Carried) else Carried()

    # ---- weights

    def _weigh(self, node: Node, weighted: Weighted, value: Any) -> Carried | list[Carried]:
        name = self._namer.name(node, weighted.op, weighted=True)
        out = value[0] if isinstance(value, (tuple, list)) else value
        rank = out.dim()
        carried = self._of(weighted.operand) if weighted.operand is not None else Carried()
        depthwise = False
        passing: dict[int, Layer] = {}
        kept: list[Ids] = []
        if weighted.operand is not None:
            shape = weighted.operand.meta["val"].shape
            axis = weighted.reads % len(shape)
            columns = int(shape[axis])
            depthwise = weighted.groups > 1 and weighted.groups == columns
            spatial = _acts_spatially(weighted)
            for number, layer in carried.sites.items():
                others = set(varying(layer.ids)) - {axis}
                if axis not in varying(layer.ids) and others and not layer.mixed:
                    if spatial:
                        self.found[number].barriers.append(
                            f"{name} mixes the units (they lie along an axis it slides over)"
                        )
                    else:
                        passing[number] = replace(layer, ids=window(layer.ids, [axis], keepdim=True))
                    continue
                self._consume(number, layer, node, weighted, name, axis, columns, depthwise)
            read = [rows for rows in carried.rows if axis in varying(rows) or not varying(rows)]
            beside = [] if spatial else [rows for rows in carried.rows if axis not in varying(rows) and varying(rows)]
            kept = [window(rows, [axis], keepdim=True) for rows in beside]
            self._tie_columns(weighted, name, [line(rows, axis, columns) for rows in read], columns)
        rows_out = int(out.shape[weighted.makes])
        if weighted.recurrent:
            fresh = self.classes.fresh(rows_out)
            self.classes.freeze(fresh)
            inside = "the gates inside a recurrent cell are one operation of the graph, so they are no sites"
            self.skipped.append((name, f"{weighted.op}: {inside} ({rows_out} units)"))
        elif depthwise and carried.rows:
            fresh = line(carried.rows[0], weighted.reads % rank, columns).repeat_interleave(rows_out // columns)
            self.classes.union(fresh, self._weight_ids(weighted.weight, weighted.row_axis, rows_out))
        else:
            fresh = self._weight_ids(weighted.weight, weighted.row_axis, rows_out)
        if weighted.routed and carried.rows:
            # unit j of the next value is another unit in every expert, and its rows are no longer in the order of the
            # examples; what comes back from the experts is again one value for every token
            return Carried(lost=f"{name}, which sends tokens to experts with units of their own at one place")
        if not (depthwise or weighted.recurrent):
            self.axes.append((name, "rows", fresh))
        made = along(weighted.makes % rank, rank, fresh)
        result = Carried((made, *kept), passing, frozenset({node.name}))
        return [result, *[Carried() for _ in value[1:]]] if isinstance(value, (tuple, list)) else result

    def _consume(
        self,
        number: int,
        layer: Layer,
        node: Node,
        weighted: Weighted,
        name: str,
        axis: int,
        columns: int,
        depthwise: bool,
    ) -> None:
        site = self.found[number]
        units = line(layer.ids, axis, columns)
        if bool((units == MIXED).any()):
            if bool((layer.ids == MIXED).any()):
                by = layer.through[-1] if layer.through else "the path to it"
                site.barriers.append(f"{by} mixes the units before {name}")
            else:
                site.barriers.append(f"{name} reads several units with one column (they lie along another axis too)")
            return
        if bool((units < 0).all()):
            return  # it reads other parts of the value
        consumer = Consumer(
            name=name,
            op="depthwise" if depthwise else weighted.op,
            weight=self.program.parameters.get(weighted.weight.name),
            unit_of_column=units.clone().numpy(),
            through=layer.through,
            node=node.name,
            operand=weighted.operand_index,
        )
        _add_consumer(site, consumer)

    def _tie_columns(self, weighted: Weighted, name: str, lines: list[Ids], columns: int) -> None:
        if weighted.groups > 1:
            for ids in lines:
                if weighted.groups < columns:
                    self.axes.append((name, "columns", ids))
            return
        own = self._weight_ids(weighted.weight, weighted.column_axis, columns)
        for ids in lines:
            self.classes.union(own, ids)
        if not lines or any(bool((ids < 0).any()) for ids in lines):
            self.classes.freeze(own)
        self.axes.append((name, "columns", own))

    def _weight_ids(self, weight: Node, axis: int, size: int) -> Ids:
        """Return the row ids of one axis of a weight; one tensor under two names or in two calls has one set."""
        live = self.program.fixed(weight.name)
        key = (live.data_ptr() if isinstance(live, Tensor) and live.numel() else weight.name, axis)
        if key not in self._axis_ids or self._axis_ids[key].numel() != size:
            self._axis_ids[key] = self.classes.fresh(size)
            if not isinstance(live, Tensor):
                self.classes.freeze(self._axis_ids[key])
        return self._axis_ids[key]

    # ---- everything else

    def _pass(self, node: Node, value: Any, values: Values) -> Carried | list[Carried]:
        operands = [n for n in node.all_input_nodes if n in self.regions.depends]
        carrying = [n for n in operands if self._of(n).rows or self._of(n).sites]
        origin = frozenset().union(*(self._of(n).origin for n in operands)) if operands else frozenset()
        lost = next((self._of(n).lost for n in operands if self._of(n).lost), "")
        op = operation(node)
        if not carrying:
            return Carried(origin=origin, lost=lost)
        if op not in RULES or (op in POINTWISE and isinstance(value, (tuple, list))):  # RReLU returns its noise too
            return self._refuse(node, op, carrying)
        args, kwargs = bound(node, values)
        call = Call(node, op, module_path(node) or short(node), args, kwargs, value)
        rule = RULES[op]
        sites: dict[int, Layer | list[Layer]] = {}
        for number in dict.fromkeys(n for operand in carrying for n in self._of(operand).sites):
            sites[number] = rule(call, {n: self._of(n).sites[number] for n in carrying if number in self._of(n).sites})
        if op in POINTWISE:
            rows: list[Any] = list(self._combine(node, value, operands))
        elif rule is matmul:
            ordered = sorted(carrying, key=node.args.index, reverse=True)  # the value operand first
            rows = [rule(call, {n: Layer(ids)}) for n in ordered for ids in self._of(n).rows]
        elif op == "aten.glu":
            rows = self._halves(call, carrying[0])
        elif (joined := self._join(call, carrying)) is not None:
            rows = [joined]
        else:
            stacked = zip_longest(*(self._of(n).rows for n in carrying))
            rows = [
                rule(call, {n: Layer(ids) for n, ids in zip(carrying, layer, strict=True) if ids is not None})
                for layer in stacked
            ]
        for part in rows:
            for layer in part if isinstance(part, list) else [part]:
                # through a norm units stay in place, but cannot be removed exactly
                if isinstance(layer, Layer) and layer.through:
                    self.classes.freeze(layer.ids)
        if isinstance(value, (tuple, list)):
            return [
                Carried(
                    _clear([part[i].ids for part in rows]), {k: v[i] for k, v in sites.items() if isinstance(v, list)},
                    origin, lost or call.name,
                )
                for i in range(len(value))
            ]  # fmt: skip
        layers = [part.ids if isinstance(part, Layer) else part for part in rows]
        clear = _clear(layers)
        for mixed in rows if not clear else ():
            lost = f"{op} at {call.name}" if isinstance(mixed, Layer) else lost
        if not clear:
            for operand in carrying:
                for ids in self._of(operand).rows:
                    self.classes.freeze(ids)
        return Carried(clear, {k: v for k, v in sites.items() if isinstance(v, Layer)}, origin, lost)

    def _refuse(self, node: Node, op: str, carrying: list[Node]) -> Carried | list[Carried]:
        place = source_line(node)
        where = f" ({place})" if place else ""
        kind = (
            "compares the units, so what they change cannot be followed"
            if op in COMPARISONS
            else "is not in the rule table"
        )
        for operand in carrying:
            for number in self._of(operand).sites:
                self.found[number].refused = self.found[number].refused or f"{op} {kind}{where}"
            for ids in self._of(operand).rows:
                self.classes.freeze(ids)
        if op in ACTIVATIONS:
            name = self._namer.name(node, ACTIVATIONS[op](node).name, weighted=False)
            self.skipped.append((name, f"{op} returns more than its value{where}"))
        value = node.meta.get("val")
        empty = Carried(lost=f"{op}{where}")
        return [empty] * len(value) if isinstance(value, (tuple, list)) else empty

    def _combine(self, node: Node, value: Any, operands: list[Node]) -> tuple[Ids, ...]:
        """Unite the rows of the operands of an elementwise operation, layer by layer along the same axes."""
        rank = value.dim() if isinstance(value, Tensor) else 0
        lists = [
            [ids.reshape([1] * (rank - ids.dim()) + list(ids.shape)) for ids in self._of(n).rows] for n in operands
        ]
        if len(lists) == 1:
            return tuple(lists[0])
        matched: list[Ids] = []
        single: list[Ids] = []
        rest = lists[1:]
        for ids in lists[0]:
            partner = _partner(ids, rest)
            if partner is None:
                single.append(ids)
                continue
            theirs = partner[0].pop(partner[1])
            self.classes.union(ids, theirs)
            both = torch.where(ids == NONE, theirs, ids)
            found = compact(self.classes.find(both))
            matched.append(found if varying(found) else both)  # units that are all tied still lie along their axis
        single += [ids for other in rest for ids in other]
        # a layer that every operand has is the newest common unit axis; then what only one operand has
        layers = (*matched, *single)
        if not any(varying(ids) for ids in layers):
            return layers
        for ids in layers:
            if not varying(ids):  # the one row of a scale is no unit of what it scales
                self.classes.freeze(ids)
        return tuple(ids for ids in layers if varying(ids))

    def _join(self, call: Call, carrying: list[Node]) -> Ids | None:
        """Tie the rows of operands that are concatenated or stacked along another axis than their units'.

        A class token put before the patches has to keep their width, and whatever reads the result reads both.
        """
        if call.op not in ("aten.cat", "aten.stack"):
            return None
        axis = int(call.argument(1, "dim", 0)) % call.value.dim()
        layers = [self._of(node).rows for node in carrying]
        if any(len(rows) != 1 for rows in layers):
            return None
        ids = [rows.unsqueeze(axis) if call.op == "aten.stack" else rows for (rows,) in layers]
        if any(axis in varying(rows) or not varying(rows) for rows in ids):
            return None
        ids = [window(rows, [axis], keepdim=True) for rows in ids]
        for rows in ids[1:]:
            self.classes.union(ids[0], rows)
        return self.classes.find(ids[0])

    def _halves(self, call: Call, operand: Node) -> list[Ids]:
        """Tie the rows of the two halves that ``glu`` multiplies, and return those of the product."""
        axis = int(call.argument(1, "dim", -1)) % call.value.dim()
        rows = []
        for ids in self._of(operand).rows:
            if axis in varying(ids):
                first, second = ids.chunk(2, axis)
                self.classes.union(first, second)
                rows.append(torch.where(first == NONE, second, first))
            else:
                rows.append(ids)
        return rows

    # ---- sites

    def _site(self, node: Node, value: Tensor, carried: Carried) -> Carried:
        kind, op, inputs, activation = self._kind(node, value, carried)
        if kind is None:
            if node.name in self.program.output_names:
                self._mark_output(carried)
            return carried
        axis = self._unit_axis(value, carried.rows)
        if isinstance(axis, str) or bool((carried.rows[0] == MIXED).any()):
            if kind == "gate" or operation(node) in ACTIVATIONS or node in self.regions.joins:
                shape = tuple(value.shape)
                mixed = f"some units are mixtures of several producer rows in shape {shape}"
                reason = axis if isinstance(axis, str) else mixed
                if not carried.rows and carried.lost:
                    reason += f": lost at {carried.lost}"
                place = source_line(node)
                self.skipped.append(
                    (self._namer.name(node, op, weighted=False), reason + (f" ({place})" if place else ""))
                )
            return carried
        number = len(self.found)
        rows = carried.rows[0]
        site = Found(
            self._namer.name(node, op, weighted=False),
            kind,
            op,
            node,
            inputs,
            activation,
            axis,
            value.shape[axis],
            rows,
        )
        self.found.append(site)
        passing: dict[int, Layer] = {}
        for incoming, layer in carried.sites.items():
            reader = self.found[incoming]
            if kind == "stream" and any(size > 1 for other, size in enumerate(layer.ids.shape) if other != axis):
                passing[incoming] = layer  # only some positions carry it (not the class token): follow it on its own
                continue
            units = line(layer.ids, axis, site.units)
            if not bool((units == MIXED).any()):
                reader.links.append((number, units, layer.through))
            elif kind != "stream" and self._reads_apart(incoming, layer, inputs):
                reader.links.append((number, None, layer.through))
            else:
                reader.barriers.append(
                    f"{(layer.through or ('the path to it',))[-1]} mixes the units before {site.name}"
                )
                continue
            if kind != "stream":
                reader.readers.append(site.name)
        ids = along(axis, value.dim(), torch.arange(site.units))
        origin = frozenset({node.name}) if kind == "stream" else carried.origin
        fresh = Carried(carried.rows, {number: Layer(ids), **passing}, origin)
        if node.name in self.program.output_names:
            self._mark_output(fresh)
        return fresh

    def _reads_apart(self, number: int, layer: Layer, operands: tuple[Node, ...]) -> bool:
        """Tell whether every factor of every entry of a site reads one unit at most, though not at the site's own axis.

        A token-mixing layer makes units along the tokens and leaves the channels where they are. A product of two units
        (``a, b = sigmoid(x).chunk(2)``, ``a * b``) is no mixture either: both are named by the place that reads them.
        """
        parts = [self._of(n).sites[number] for n in operands if number in self._of(n).sites]
        return not any(bool((part.ids == MIXED).any()) for part in parts or [layer])

    def _kind(
        self, node: Node, value: Tensor, carried: Carried
    ) -> tuple[Kind | None, str, tuple[Node, ...], Activation | None]:
        op = operation(node)
        operands = [n for n in node.all_input_nodes if n in self.regions.depends]
        if op == "aten.glu":
            return "gate", "glu", tuple(operands), None
        if self.regions.root.get(node) is not node and self.regions.exits(node):
            if op not in ACTIVATIONS and self._feeds_a_statistic(node, carried):
                return None, "", (), None
            if _guards_a_norm(node) or self._clamps_nothing(node):
                return None, "", (), None
            root = self.regions.root[node]
            if op in ACTIVATIONS and node not in self.regions.joins:
                activation = ACTIVATIONS[op](node)
                return "activation", activation.name, (operands[0],), activation
            if node not in self.regions.joins:
                name = "square" if node in self.regions.squares else short(node)
                return "activation", name, (operands[0],), Activation(name)
            parts = self.regions.parts(node)
            name = f"composite({'+'.join(parts)})" if parts else short(node)
            return "activation", name, (root,), Activation(name)
        if len(operands) != 2 or self.regions.root.get(node) is not node or not value.is_floating_point():
            return None, "", (), None
        a, b = (self._of(n) for n in operands)
        shapes = [tuple(n.meta["val"].shape) for n in operands]
        if not a.rows or not b.rows or str(shapes[0]) != str(shapes[1]):
            return None, "", (), None
        if not any(_partner(ids, [list(b.rows)]) for ids in a.rows):
            return None, "", (), None
        if op == "aten.mul" and not bool((carried.rows[0] == MIXED).any()) and not _summarizes(*operands):
            inner = [operation(n).split(".")[-1] for n in operands if n in self.regions.nonlinear]
            return "gate", _GATES.get(inner[0], f"{inner[0]}_gate") if inner else "product", tuple(operands), None
        if op in _SUMS and a.origin != b.origin:
            return "stream", short(node).replace("rsub", "sub"), tuple(operands), None
        return None, "", (), None

    def _clamps_nothing(self, node: Node) -> bool:
        """Tell whether the bounds of a clamp are stored and infinite, as those of a layer that was not calibrated."""
        bounds = [self.program.fixed(bound.name) for bound in node.args[1:] if isinstance(bound, Node)]
        if operation(node) != "aten.clamp" or not bounds or len(bounds) < sum(b is not None for b in node.args[1:]):
            return False
        return all(isinstance(bound, Tensor) and bool(torch.isinf(bound).all()) for bound in bounds)

    def _feeds_a_statistic(self, node: Node, carried: Carried) -> bool:
        """Tell whether only reductions over the units read a node: ``x.pow(2).mean(-1)`` inside a normalization."""
        axes = {axis for rows in carried.rows[:1] for axis in varying(rows)}
        rank = node.meta["val"].dim()

        def over_units(user: Node) -> bool:
            dims = user.args[1] if len(user.args) > 1 else None
            fixed = isinstance(dims, (list, tuple)) and all(isinstance(d, int) for d in dims)
            places = {d % rank for d in dims} if fixed else None  # type: ignore[operator,union-attr]
            return RULES.get(operation(user)) is reduce_ and (places is None or bool(places & axes))

        return bool(node.users) and all(over_units(user) for user in node.users)

    def _unit_axis(self, value: Tensor, rows: tuple[Ids, ...]) -> int | str:
        if not rows:
            return f"the axis of its units is not known in shape {tuple(value.shape)}"
        axes = varying(rows[0])
        if len(axes) == 1:
            return axes[0]
        if len(axes) > 1:
            return f"its units lie along {len(axes)} axes {axes} of shape {tuple(value.shape)}"
        single = [axis for axis in range(1, value.dim()) if value.shape[axis] == 1]
        if single:
            return single[0]
        return f"the axis of its units is not known in shape {tuple(value.shape)} (its producer has one row)"

    def _mark_output(self, carried: Carried) -> None:
        for number, layer in carried.sites.items():
            site = self.found[number]
            (site.barriers if layer.mixed else site.readers).append(
                f"{(layer.through or ('the path to it',))[-1]} mixes the units before the output"
                if layer.mixed
                else "output"
            )

    # ---- at the end

    def finish(self) -> list[Found]:
        """Compose the readers of residual sums, drop what only serves a gate, and return the sites in graph order."""
        for site in reversed(self.found):
            for number, units, through in site.links:
                later = self.found[number]
                if later.kind == "stream" and units is not None:
                    self._compose(site, later, units, through)
        internal = {number for number, site in enumerate(self.found) if self._serves_a_gate(site)}
        unread = {number for number, site in enumerate(self.found) if not self._has_reader(site)}
        kept = [site for number, site in enumerate(self.found) if number not in internal | unread]
        for site in kept:
            self._pass_over(site, unread)
            if site.refused is None and not site.consumers and not site.readers:
                site.refused = "; ".join(dict.fromkeys(site.barriers)) or "nothing in the graph reads it"
        return kept

    def _pass_over(self, site: Found, unread: set[int]) -> None:
        """Name, on the way to every consumer, what made a statistic of the units (``x * x`` in a normalization)."""
        for number, _, _ in site.links:
            if number in unread:
                by = self.found[number]
                site.readers.remove(by.name)
                name = module_path(by.node) or by.name
                for key, consumer in site.consumers.items():
                    site.consumers[key] = replace(consumer, through=tuple(dict.fromkeys((name, *consumer.through))))

    def _compose(self, site: Found, later: Found, units: Ids, through: tuple[str, ...]) -> None:
        table = torch.cat([units, torch.tensor([NONE, NONE])])  # index -1 (none) and -2 stay none
        for consumer in later.consumers.values():
            columns = table[torch.as_tensor(consumer.unit_of_column)].numpy()
            _add_consumer(
                site,
                replace(consumer, unit_of_column=columns, through=tuple(dict.fromkeys((*through, *consumer.through)))),
            )
        site.readers += later.readers
        site.barriers += later.barriers
        site.refused = site.refused or later.refused

    def _serves_a_gate(self, site: Found) -> bool:
        """An activation whose only reader is a gated product is part of that gate."""
        if site.kind != "activation" or site.consumers or len(site.links) != 1 or "output" in site.readers:
            return False
        number, units, _ = site.links[0]
        gate = self.found[number]
        return (
            gate.kind == "gate"
            and units is not None
            and site.node in gate.node.all_input_nodes
            and torch.equal(units, torch.arange(site.units))
        )

    def _has_reader(self, site: Found) -> bool:
        """Drop what a normalization computes (``x * x``, ``pow``): nonlinear, but every reader mixes its units."""
        parts = self.regions.parts(site.node) if site.node in self.regions.joins else ()
        ops = {operation(site.node), *(f"aten.{part}" for part in parts)}
        listed = bool(ops & ACTIVATIONS.keys()) or site.kind != "activation"
        return listed or bool(site.consumers) or bool(site.readers) or site.refused is not None


def _add_consumer(site: Found, consumer: Consumer) -> None:
    key = (consumer.node, consumer.operand)
    if key in site.consumers:
        old = site.consumers[key]
        both = merge(torch.as_tensor(old.unit_of_column), torch.as_tensor(consumer.unit_of_column))
        both = both.expand(len(old.unit_of_column)).clone()
        if bool((both == MIXED).any()):
            site.barriers.append(f"a sum mixes the units before {consumer.name}")
            both[both == MIXED] = NONE
        through = tuple(dict.fromkeys((*old.through, *consumer.through)))
        consumer = replace(consumer, unit_of_column=both.numpy(), through=through)
    site.consumers[key] = consumer


def _acts_spatially(weighted: Weighted) -> bool:
    """Tell whether a convolution's kernel slides over axes on which units could lie."""
    if not weighted.op.startswith("conv"):
        return False
    value = weighted.weight.meta.get("val")
    return isinstance(value, Tensor) and any(int(size) > 1 for size in value.shape[2:])


def _guards_a_norm(node: Node) -> bool:
    """Tell whether a clamp only keeps the divisor of ``x / max(|x|, eps)`` from zero, as in ``F.normalize``."""
    divisors = {node, *(user for user in node.users if operation(user) == "aten.expand")}
    users = {user for divisor in divisors for user in divisor.users} - divisors
    return (
        operation(node) == "aten.clamp_min"
        and operation(node.args[0]) == "aten.linalg_vector_norm"  # type: ignore[arg-type]
        and all(operation(user) == "aten.div" and user.args[1] in divisors for user in users)
    )


def _summarizes(a: Node, b: Node) -> bool:
    """Tell whether one operand is a pooled function of the other, as the gate of a squeeze-and-excite block.

    Such a product scales a path and is no gate, also where the map happens to be one pixel large.
    """
    between = _between(a, b) | _between(b, a)  # one of them is empty
    return any(RULES.get(operation(node)) in (reduce_, spatial) for node in between)


def _between(a: Node, b: Node) -> set[Node]:
    """Return the nodes on the paths from ``a`` to ``b``, without ``a``; empty if there is none."""
    order = {node: i for i, node in enumerate(a.graph.nodes)}
    behind, stack = set(), [b]
    while stack:
        node = stack.pop()
        if node not in behind and order[node] > order[a]:
            behind.add(node)
            stack.extend(node.all_input_nodes)
    ahead, stack = set(), list(a.users)
    while stack:
        node = stack.pop()
        if node in behind and node not in ahead:
            ahead.add(node)
            stack.extend(node.users)
    return ahead if b in ahead else set()


def _covers(operand: Node, ids: Ids, rank: int) -> bool:
    """Tell whether an operand has full size along the axes on which ids vary."""
    value = operand.meta.get("val")
    if not isinstance(value, Tensor):
        return False
    shape = [1] * (rank - value.dim()) + list(value.shape)
    return all(not (isinstance(shape[axis], int) and shape[axis] == 1) for axis in varying(ids))


def _partner(ids: Ids, others: list[list[Ids]]) -> tuple[list[Ids], int] | None:
    """Find the layer that lies along the same axes; else along more or fewer (a class token put first)."""
    axes = set(varying(ids))
    places = [(other, i, set(varying(theirs))) for other in others for i, theirs in enumerate(other)]
    same = next(((other, i) for other, i, theirs in places if theirs == axes), None)
    return same or next(
        ((o, i) for o, i, theirs in places if axes and theirs and (theirs < axes or axes < theirs)), None
    )


def _clear(layers: list[Ids]) -> tuple[Ids, ...]:
    """Keep the layers that still hold at least one row id."""
    return tuple(ids for ids in layers if bool((ids >= 0).any()))
