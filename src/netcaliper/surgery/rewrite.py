"""The rewriting itself: which forms are put into which, what a partly linear site becomes, and what was refused.

Multiply-adds decide, then the number of passes over tensors: nothing is done that makes either worse.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph as Nodes
from torch.fx import Node

from netcaliper.surgery.affine import FREE, Affine, Cost, Term, agree, cost, joined, merged, put_into
from netcaliper.surgery.bends import Bend
from netcaliper.surgery.linear_maps import InexactError, Kernel, Scale, Sizes, columns, rows
from netcaliper.surgery.recognize import Constants, affine_nodes, is_identity
from netcaliper.trace.names import module_path, operation

LOOK_AHEAD = 12
"""How many forms are put into one before giving up: an expansion may pay only together with what comes before it."""


def affine(*_: Any) -> Any:
    """Stand in the graph for a form that is not written out yet."""
    raise AssertionError("a form was not written out")


@dataclass(frozen=True)
class Step:
    """One rewriting.

    Attributes:
        kind: ``activation removed``, ``merged`` or ``partly linear``.
        what: the site, or the operation into which others went.
        absorbed: the operations that went into it.
        exact: whether it is right at the border too.
        macs: multiply-adds an example before and after, of the operations named.
        parameters: their weights before and after.
        units: how many units of a site became linear, and of how many.
    """

    kind: str
    what: str
    absorbed: tuple[str, ...] = ()
    exact: bool = True
    macs: tuple[int, int] | None = None
    parameters: tuple[int, int] | None = None
    units: tuple[int, int] | None = None


@dataclass
class Rewriting:
    """A graph whose affine nodes have forms.

    Attributes:
        nodes: the graph.
        constants: values of its weights.
        batch: number of examples that were traced.
        interior: whether what is wrong at the border is accepted.
        forms: the form of every affine node.
        changed: nodes whose form is no longer what their operation says.
        steps: what was done.
        refused: sites that are partly linear and stay as they are, with the reason.
        names: what an affine node is called: its module's path, else its own name.
        narrowed: sites that were split, as they are over the units that still bend.
    """

    nodes: Nodes
    constants: Constants
    batch: int
    interior: bool
    forms: dict[Node, Affine] = field(default_factory=dict)
    changed: set[Node] = field(default_factory=set)
    steps: list[Step] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    names: dict[Node, str] = field(default_factory=dict)
    narrowed: dict[str, Bend] = field(default_factory=dict)
    _part_of: dict[Node, Node] = field(default_factory=dict)
    _pairs: dict[tuple[Node, Node], str] = field(default_factory=dict)
    _erased: set[Node] = field(default_factory=set)

    def recognize(self, keep: frozenset[Node]) -> None:
        """Find the affine nodes; copies and dropouts that are off are taken out, except those in ``keep``."""
        for node in list(self.nodes.nodes):
            if node.op == "call_function" and is_identity(node):
                source = node.args[0]
                assert isinstance(source, Node)
                if node in keep:
                    self.forms[node] = Affine((Term(source, Scale()),), None)
                else:
                    node.replace_all_uses_with(source)
                    self.nodes.erase_node(node)
        for node, form, inner in affine_nodes(self.nodes, self.constants):
            self.forms[node] = form
            self._part_of |= dict.fromkeys(inner, node)
        for node, form in self.forms.items():
            path = module_path(node)
            own = path and not all(isinstance(t.map, Scale) and t.map.factor is None for t in form.terms)
            self.names[node] = path if own else ".".join(filter(None, (path, node.name)))

    # ---- wholly linear sites

    def straighten(self, bend: Bend) -> None:
        """Replace a site all of whose units are linear by its affine target."""
        factor, shift = bend.target()
        scale = Scale() if bool((factor == 1).all()) else Scale(factor)
        bias = shift if bool(shift.any()) else None
        self.steps.append(Step("activation removed", bend.site.name, units=(bend.site.units, bend.site.units)))
        self.names[bend.exit] = bend.site.name
        self._set(bend.exit, Affine((Term(bend.carrier, scale),), bend.axis, bias))

    # ---- forms into forms

    def absorb(self) -> None:
        """Put forms into those that read them, from the inputs to the outputs, wherever it pays."""
        for node in list(self.nodes.nodes):
            while node in self.forms and self._absorb_into(node):
                pass

    def _absorb_into(self, node: Node) -> bool:
        form, plan = self.forms[node], self.forms[node].planned()
        start = self._cost(node, plan)
        moves: list[tuple[int, Node]] = []
        stuck: set[Node] = set()
        best: tuple[Cost, Cost] | None = None
        length = 0
        while len(moves) < LOOK_AHEAD and (number := self._inner(plan, stuck)) is not None:
            inner = plan.terms[number].source
            try:
                plan, _ = self._put(plan, number, self.forms[inner].planned())
            except InexactError as refusal:
                self._pairs[inner, node] = str(refusal)
                stuck.add(inner)
                continue
            moves.append((number, inner))
            gone = {inner for _, inner in moves}
            before = start + self._cost_of(gone)
            after = self._cost(node, plan) + self._cost_of(gone - self._dead(node, moves, plan))
            if after < before and (best is None or _gain(before, after) > _gain(*best)):
                best, length = (before, after), len(moves)
            elif best is None and len(moves) == 1:
                self._too_dear(node, inner, before, after)
        if best is None:
            return False
        done = list(dict.fromkeys(inner for _, inner in moves[:length]))
        right, weights = True, self._weights(form) + sum(self._weights(self.forms[inner]) for inner in done)
        for number, inner in moves[:length]:
            form, exact = self._put(form, number, self.forms[inner])
            right &= exact
        alive = set(done) - self._dead(node, moves[:length], form)
        kept = self._weights(form) + sum(self._weights(self.forms[inner]) for inner in alive)
        labels, what = tuple(self.names[inner] for inner in done), self.names[node]
        with_kernels = [inner for inner in done if _kernels(self.forms[inner])]
        if not _kernels(self.forms[node]) and len(with_kernels) == 1:
            self.names[node] = self.names[with_kernels[0]]  # a convolution that took up its BatchNorm keeps its name
        self._set(node, form)
        per_example = (best[0].macs // self.batch, best[1].macs // self.batch)
        if weights != kept or best[0].macs != best[1].macs:  # else a copy or an identity was taken out
            self.steps.append(Step("merged", what, labels, right, per_example, (weights, kept)))
        return True

    def _put(self, outer: Affine, number: int, inner: Affine) -> tuple[Affine, bool]:
        spatial = self._spatial(outer.terms[number].source)
        return put_into(outer, number, inner, spatial, interior=self.interior)

    def _inner(self, plan: Affine, stuck: set[Node]) -> int | None:
        """Return the number of the first term whose source is a form too."""
        for number, term in enumerate(plan.terms):
            if term.source in self.forms and term.source not in stuck:
                return number
        return None

    def _dead(self, node: Node, moves: list[tuple[int, Node]], plan: Affine) -> set[Node]:
        """Return which of the nodes that were put into ``node`` nothing reads any more."""
        dead: set[Node] = set()
        read = {term.source for term in plan.terms}
        for _, inner in moves:
            users = {self._part_of.get(user, user) for user in inner.users}
            if inner not in read and users <= dead | {node}:
                dead.add(inner)
        return dead

    def _too_dear(self, node: Node, inner: Node, before: Cost, after: Cost) -> None:
        others = [user for user in inner.users if self._part_of.get(user, user) is not node]
        also = f", since {self._words(others[0])} reads it too" if others else ""
        if after.macs > before.macs:
            macs = f"{after.macs // self.batch:,} multiply-adds an example instead of {before.macs // self.batch:,}"
            self._pairs[inner, node] = f"it would cost {macs}{also}"
        else:
            self._pairs[inner, node] = f"it would save nothing{also}"

    def not_done(self) -> dict[str, str]:
        """Return what was refused: of two operations that both are still there, or of a site."""
        pairs = {
            f"{self.names[inner]} into {self.names[node]}": why
            for (inner, node), why in self._pairs.items()
            if inner in self.forms and node in self.forms and inner in node.all_input_nodes
        }
        return {**self.refused, **pairs}

    # ---- partly linear sites

    def split(self, bend: Bend) -> str | None:
        """Give the units that still bend a narrow layer of their own, and the others a linear bypass.

        ``y = W2[:, A] f(W1[A] x + b1[A]) + (W2[:, L] diag(a) W1[L]) x + b``, where that takes fewer multiply-adds; the
        bypass goes into every operation that reads the site.

        Returns:
            ``None`` if it was done, else why not.
        """
        linear = bend.linear
        on, off = torch.nonzero(~linear).flatten(), torch.nonzero(linear).flatten()
        why = self._unfit(bend)
        if why is not None:
            return why
        factor, shift = bend.target()
        bypass = _rows(self.forms[bend.carrier], off, factor, shift)
        readers = list(dict.fromkeys(self._part_of.get(user, user) for user in bend.exit.users))
        forms: dict[Node, tuple[Affine, bool]] = {}
        try:
            for reader in readers:
                planned = self._bypassed(self.forms[reader].planned(), bend, on, off, bypass.planned())
                forms[reader] = planned
        except InexactError as refusal:
            return str(refusal)
        ahead = list(dict.fromkeys((bend.carrier, bend.root)))
        narrow = {node: _rows(self.forms[node], on) for node in ahead}
        before, after = self._cost_of({*readers, *ahead}), FREE
        for reader in readers:
            after = after + self._cost(reader, forms[reader][0])
        for node in ahead:
            after = after + self._cost(node, narrow[node])
        if after.macs >= before.macs:
            return (
                f"{len(off)} of {bend.site.units} units are linear, too few: a bypass would cost "
                f"{after.macs // self.batch:,} multiply-adds an example instead of {before.macs // self.batch:,}"
            )
        forms = {reader: self._bypassed(self.forms[reader], bend, on, off, bypass) for reader in readers}
        weights = [sum(self._weights(self.forms[n]) for n in (*readers, *ahead))]
        exit_ = self._narrow_copy(bend, narrow, on)
        for reader, (form, _) in forms.items():
            terms = tuple(Term(exit_ if t.source is bend.exit else t.source, t.map) for t in form.terms)
            self._set(reader, Affine(terms, form.axis, form.bias))
        weights.append(sum(self._weights(self.forms[n]) for n in readers) + sum(map(self._weights, narrow.values())))
        self.steps.append(
            Step(
                "partly linear", bend.site.name, tuple(self.names[n] for n in (*ahead, *readers)),
                all(exact for _, exact in forms.values()), (before.macs // self.batch, after.macs // self.batch),
                (weights[0], weights[1]), (len(off), bend.site.units),
            )
        )  # fmt: skip
        return None

    def _unfit(self, bend: Bend) -> str | None:
        """Say why a site cannot be split, if it cannot."""
        for node in dict.fromkeys((bend.carrier, bend.root)):
            form = self.forms.get(node)
            if form is None or any(not isinstance(term.map, Kernel) for term in form.terms):
                return f"its units are no rows of one weight: they come from {self._words(node)}"
            if any(term.map.groups != 1 for term in form.terms if isinstance(term.map, Kernel)):
                return f"{self._words(node)} has a row for each group, and cannot be narrowed"
            if not agree(form.axis, bend.axis):
                return f"{self._words(node)} makes its rows along another axis"
            others = [user for user in node.users if user not in bend.region]
            if others:
                return f"{self._words(others[0])} reads {self._words(node)} too"
        for node in bend.region:
            stored = [n for n in node.all_input_nodes if n.op == "get_attr" and n.meta["val"].numel() > 1]
            if stored:
                return f"{self._words(node)} has a parameter for every unit"
            if any(user not in bend.region for user in node.users) and node is not bend.exit:
                return f"the inside of {bend.site.name} is read elsewhere"
        for user in bend.exit.users:
            form = self.forms.get(self._part_of.get(user, user))
            mine = [] if form is None else [term.map for term in form.terms if term.source is bend.exit]
            if form is None or not mine:
                return f"{self._words(user)} reads it, which is not understood"
            if not all(isinstance(one, Kernel) and one.groups == 1 for one in mine) or not agree(form.axis, bend.axis):
                what = "a sum" if isinstance(mine[0], Scale) else "not one weight over all units"
                return f"{self._words(user)} reads it, {what}"
        return None

    def _bypassed(self, form: Affine, bend: Bend, on: Tensor, off: Tensor, bypass: Affine) -> tuple[Affine, bool]:
        """Return a reader's form with the linear units of a site put into it; the others are read as before."""
        terms, bias, right = [], form.bias, True
        for term in form.terms:
            if term.source is not bend.exit:
                terms.append(term)
                continue
            assert isinstance(term.map, Kernel)
            if len(on):
                terms.append(Term(bend.exit, columns(term.map, on)))
            part = Affine((Term(bend.exit, columns(term.map, off)),), form.axis)
            inner, exact = put_into(part, 0, bypass, self._spatial(bend.carrier), interior=self.interior)
            terms += inner.terms
            right &= exact
            if inner.bias is not None:
                bias = inner.bias if bias is None else joined(bias, inner.bias)
        return Affine(merged(terms), form.axis, bias), right

    def _narrow_copy(self, bend: Bend, narrow: Mapping[Node, Affine], on: Tensor) -> Node:
        """Write the site once more, over the units that still bend, and return its exit."""
        copies: dict[Node, Node] = {}
        with self.nodes.inserting_before(bend.region[0]):
            for wide, form in narrow.items():
                copies[wide] = self.nodes.call_function(affine, tuple(term.source for term in form.terms))
                copies[wide].meta = _cut(wide.meta, bend.axis, len(on))
                self.names[copies[wide]] = self.names[wide]
                self.forms[copies[wide]] = form
                self.changed.add(copies[wide])
        with self.nodes.inserting_before(bend.exit):
            for node in bend.region:
                copies[node] = self.nodes.node_copy(node, lambda n: copies.get(n, n))
                copies[node].meta = _cut(node.meta, bend.axis, len(on))
        self.narrowed[bend.site.name] = Bend(
            bend.site, bend.alpha[on], bend.a[on], bend.c[on], copies[bend.exit], copies[bend.carrier],
            copies[bend.root], copies[bend.phi], tuple(copies[node] for node in bend.region),
        )  # fmt: skip
        return copies[bend.exit]

    # ---- the graph

    def _words(self, node: Node) -> str:
        if node.op == "output":
            return "the output"
        path = module_path(node)
        return f"{operation(node) if node.target is not affine else 'sum'} at {path or node.name}"

    def _set(self, node: Node, form: Affine) -> None:
        """Give a node a new form, and take out of the graph what nothing reads any more."""
        self.forms[node] = form
        self.changed.add(node)
        read = node.all_input_nodes
        node.target, node.kwargs = affine, {}
        node.args = tuple(dict.fromkeys(term.source for term in form.terms))
        for source in read:
            self._sweep(source)

    def _sweep(self, node: Node) -> None:
        stack = [node]
        while stack:
            dead = stack.pop()
            if dead.op == "call_function" and not dead.users and dead not in self._erased:
                stack += dead.all_input_nodes
                self._erased.add(dead)
                self.nodes.erase_node(dead)
                self.forms.pop(dead, None)
                self.changed.discard(dead)

    def _cost_of(self, nodes: set[Node]) -> Cost:
        total = FREE
        for node in nodes:
            total = total + self._cost(node, self.forms[node])
        return total

    def _cost(self, node: Node, form: Affine) -> Cost:
        """Return what a form of a node costs in the traced batch."""
        sizes = [_number(size) for axis, size in enumerate(node.meta["val"].shape) if axis != form.axis]
        return cost(form, prod(sizes))

    def _spatial(self, node: Node) -> Sizes | None:
        """Return the sizes behind axis 1 of a value if they are fixed."""
        behind = node.meta["val"].shape[2:]
        return tuple(behind) if all(isinstance(size, int) for size in behind) else None

    def _weights(self, form: Affine) -> int:
        of_maps = sum(
            t.map.weight.numel() if isinstance(t.map, Kernel) else 0 if t.map.factor is None else t.map.factor.numel()
            for t in form.terms
        )
        return of_maps + (0 if form.bias is None else form.bias.numel())


def _rows(form: Affine, index: Tensor, factor: Tensor | None = None, shift: Tensor | None = None) -> Affine:
    """Return some rows of a form, each times its factor, plus its shift."""
    terms = []
    for term in form.terms:
        assert isinstance(term.map, Kernel)
        one = rows(term.map, index)
        if factor is not None:
            scaled = one.weight * factor[index].reshape(-1, *[1] * (one.weight.dim() - 1))
            one = Kernel(scaled, one.stride, one.padding, one.dilation, one.groups)
        terms.append(Term(term.source, one))
    bias = None if form.bias is None else form.bias[index]
    if bias is not None and factor is not None:
        bias = bias * factor[index].reshape(-1, *[1] * (bias.dim() - 1))
    if shift is not None and bool(shift[index].any()):
        bias = shift[index] if bias is None else joined(bias, shift[index])
    return Affine(tuple(terms), form.axis, bias)


def _cut(meta: Mapping[str, Any], axis: int, units: int) -> dict[str, Any]:
    """Return what is known of a node for fewer units."""
    value = meta["val"]
    return {**meta, "val": value.narrow(axis, 0, 1).expand(*[units if a == axis else -1 for a in range(value.dim())])}


def _kernels(form: Affine) -> list[Kernel]:
    return [term.map for term in form.terms if isinstance(term.map, Kernel)]


def _gain(before: Cost, after: Cost) -> tuple[int, int]:
    return before.macs - after.macs, before.passes - after.passes


def _number(size: int | torch.SymInt) -> int:
    if isinstance(size, int):
        return size
    hint = size.node.hint
    return 1 if hint is None else int(hint)
